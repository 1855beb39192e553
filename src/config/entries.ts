/** The accepted lines of a file, asked for their values; and what is found wrong with them. */
import { OPTIONS, type OptionName, type OptionValue } from "./options.ts";
import type { Entry } from "./parse.ts";

/** Sentences about a configuration, gathered from all that look at it. */
export interface Findings {
  /** Any of them forbids the start. */
  readonly errors: string[];
  /** To be logged. */
  readonly warnings: string[];
}

/** The lines that set `name`, in order. */
export function linesOf<Name extends OptionName>(
  entries: readonly Entry[],
  name: Name,
): { readonly value: OptionValue<Name>; readonly at: string }[] {
  return entries
    .filter((entry) => entry.name === name)
    .map(({ value, at }) => ({ value: value as OptionValue<Name>, at }));
}

/** The value on the last line that sets `name`, or its default; null: it has none. */
export function valueIn<Name extends OptionName>(
  entries: readonly Entry[],
  name: Name,
): OptionValue<Name> | null {
  const last = linesOf(entries, name).at(-1);
  return last === undefined ? (OPTIONS[name].defaultValue as OptionValue<Name> | null) : last.value;
}

/** A `listener` line with the lines below it; null: the lines above the first one. */
export interface Section {
  readonly head: OptionValue<"listener"> | null;
  /** The listener's own options. */
  readonly entries: Entry[];
  /** What says who may connect. */
  readonly access: Entry[];
}

/** The lines of each listener, behind those that stand below none. */
export function sectionsOf(entries: readonly Entry[]): readonly [Section, ...Section[]] {
  const first: Section = { head: null, entries: [], access: [] };
  const sections: [Section, ...Section[]] = [first];
  for (const entry of entries) {
    const { scope } = OPTIONS[entry.name];
    const section = sections[entry.section] ?? first;
    if (entry.name === "listener") {
      const head = entry.value as OptionValue<"listener">;
      sections[entry.section] = { head, entries: [], access: [] };
    } else if (scope === "listener") {
      section.entries.push(entry);
    } else if (scope === "access") {
      section.access.push(entry);
    }
  }
  return sections;
}

/** The second and later lines of options of which only the last counts. */
export function entriesSetTwice(entries: readonly Entry[]): Entry[] {
  const isPerListener = valueIn(entries, "per_listener_settings") === true;
  const isGlobal = (name: OptionName): boolean =>
    OPTIONS[name].scope === "global" || (OPTIONS[name].scope === "access" && !isPerListener);
  const again: Entry[] = [];
  const seen = new Set<string>();
  for (const entry of entries) {
    // A listener's options may be set once for each listener.
    const { name, section } = entry;
    const key = isGlobal(name) ? name : `${section} ${name}`;
    if (seen.has(key) && OPTIONS[name].repeats !== true) again.push(entry);
    seen.add(key);
  }
  return again;
}
