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

/** How the bars of the store are to be measured. */
export interface BarOptions {
  /** Part of the full load, above 0 and to 1. */
  readonly scale: number;
  /** Lines of the broker's configuration, for all bars that take them. */
  readonly config: readonly string[];
}

export interface Bar {
  readonly name: string;
  readonly sentence: string;
  /** Whether it takes a part of the load for the whole; then it only shows that it runs. */
  readonly scales?: boolean;
  measure(say: Say, options: BarOptions): Promise<BarRow[]>;
}

/** @returns that part of `full`, a multiple of `step` and at least that */
export function scaled(full: number, { scale }: BarOptions, step = 1): number {
  return Math.max(1, Math.round((full * scale) / step)) * step;
}

/** @returns a row that asks for at most `max` */
export function atMost(
  name: string,
  value: number,
  max: number,
  unit: string,
  detail = "",
  digits = 1,
): BarRow {
  return {
    name,
    measured: `${count(value, digits)} ${unit}${detail === "" ? "" : ` (${detail})`}`,
    bar: `≤ ${count(max, max % 1 === 0 || max >= 100 ? 0 : 2)} ${unit}`,
    met: value <= max,
    figures: { value },
  };
}

/** @returns a row that asks for at least `min` */
export function atLeast(
  name: string,
  value: number,
  min: number,
  unit: string,
  detail = "",
  digits = 1,
): BarRow {
  const row = atMost(name, value, min, unit, detail, digits);
  return { ...row, bar: row.bar.replace("≤", "≥"), met: value >= min };
}

/** @returns a row that asks for nothing */
export function told(name: string, measured: string, figures: BarRow["figures"] = {}): BarRow {
  return { name, measured, bar: "", met: null, figures };
}

/** @returns a row that asks for a fault, which is not there */
export function faultless(name: string, measured: string, fault: string): BarRow {
  return {
    name,
    measured: fault === "" ? measured : fault,
    bar: "no fault",
    met: fault === "",
    figures: {},
  };
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
