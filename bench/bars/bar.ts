/** What a bar is: a measurement beside what it must not exceed. */

/** One line of the table. */
export interface BarRow {
  readonly name: string;
  readonly measured: string;
  /** What is asked for; "" where the figure is for information. */
  readonly bar: string;
  /** null where nothing is asked for. */
  readonly met: boolean | null;
  /** The figures behind `measured`, in the units that their names tell. */
  readonly figures: Readonly<Record<string, number | readonly number[]>>;
}

/** Tells how far a bar is, on stderr. */
export type Say = (line: string) => void;

export interface Bar {
  readonly name: string;
  readonly sentence: string;
  measure(say: Say): Promise<BarRow[]>;
}

/** @returns a whole number with separators, or one with `digits` behind the point */
export function count(value: number, digits = 0): string {
  return value.toLocaleString("en", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

export function sleep(millis: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, millis);
  });
}
