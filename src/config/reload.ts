/**
 * A configuration that is read while the broker runs: what of it counts from now on, and what
 * after a restart only.
 *
 * Lines of reloadable options are taken from what was read, all others from what the broker runs
 * with; a listener is known again by its `listener` line. What says who may connect is the whole
 * file's, below whatever listener it stands, unless the broker runs with per_listener_settings.
 */
import { type Configuration, configureEntries } from "./configuration.ts";
import { type Findings, valueIn } from "./entries.ts";
import { OPTIONS, type OptionName } from "./options.ts";
import type { Entry } from "./parse.ts";
import type { CommandLine, ListenerSettings } from "./settings.ts";

export interface Reloaded {
  /** What the broker is to run with; null: nothing changes, as `sentences` say why. */
  readonly configuration: Configuration | null;
  /** Options that have changed and count. */
  readonly changed: readonly OptionName[];
  /** What does not count yet: to be logged. */
  readonly sentences: readonly string[];
}

/** The configuration to run with, from the one that is running and one without errors. */
export function reconcile(
  running: Configuration,
  read: Configuration,
  flags: CommandLine,
): Reloaded {
  const sections = sectionsKnownAgain(running.entries, read.entries);
  const isOfFile = ofFileIn(running.entries);
  const isPlaced = ({ name, section }: Entry): boolean => sections.has(section) || isOfFile(name);
  const placed = read.entries
    .filter(isPlaced)
    .map((entry) => ({ ...entry, section: sections.get(entry.section) ?? 0 }));
  const open = new Set(sections.values());
  // Lines of a listener that is open and that the file has no more: they still count.
  const kept = running.entries.filter(({ name, section }) => !isOfFile(name) && !open.has(section));
  const names = changedNames(running.entries, [...placed, ...kept], isOfFile);
  // Lines that are to count for other listeners than now could let in whom neither file does.
  const isSameScope = isPerListener(running.entries) === isPerListener(read.entries);
  const isReloadable = (name: OptionName): boolean =>
    OPTIONS[name].reloadable && (isSameScope || OPTIONS[name].scope !== "access");
  const changed = names.filter(isReloadable);
  const sentences = names
    .filter((name) => !isReloadable(name))
    .map((name) => `${placeOf(name, read, running)}${name} has changed; it counts after a restart`);
  for (const entry of read.entries) {
    if (isPlaced(entry)) continue;
    const { at, name } = entry;
    sentences.push(`${at}: ${name} is of a listener that is not open; it counts after a restart`);
  }
  const entries = [
    ...running.entries.filter((entry) => !isReloadable(entry.name) || kept.includes(entry)),
    ...placed.filter(({ name }) => isReloadable(name)),
  ];
  const findings: Findings = { errors: [], warnings: [] };
  const { included, lineWarnings } = read;
  const configured = configureEntries(entries, running.hasFile, flags, findings);
  const configuration = { ...configured, lineWarnings, included };
  const isSame = placesOf(configuration).join("\n") === placesOf(running).join("\n");
  if (isSame && findings.errors.length === 0) {
    return { configuration, changed, sentences };
  }
  const why = isSame ? findings.errors : ["other listeners would open; restart to open them"];
  return { configuration: null, changed: [], sentences: [...sentences, ...why] };
}

function isPerListener(entries: readonly Entry[]): boolean {
  return valueIn(entries, "per_listener_settings") === true;
}

/** Where the running broker has the listeners of what was read; by the sections of the latter. */
function sectionsKnownAgain(
  running: readonly Entry[],
  read: readonly Entry[],
): ReadonlyMap<number, number> {
  const heads = running.filter(({ name }) => name === "listener");
  const known = new Map([[0, 0]]);
  const taken = new Set<Entry>();
  for (const { name, value, section } of read) {
    if (name !== "listener") continue;
    const same = heads.find((head) => !taken.has(head) && textOf(head.value) === textOf(value));
    if (same === undefined) continue;
    taken.add(same);
    known.set(section, same.section);
  }
  return known;
}

/** Which options count for the whole file, below whatever listener their lines stand. */
function ofFileIn(running: readonly Entry[]): (name: OptionName) => boolean {
  const areOfListeners = isPerListener(running);
  return (name) => {
    const { scope } = OPTIONS[name];
    return scope === "global" || (scope === "access" && !areOfListeners);
  };
}

/** Options whose lines are not the same as before, in the order of the table. */
function changedNames(
  before: readonly Entry[],
  after: readonly Entry[],
  isOfFile: (name: OptionName) => boolean,
): readonly OptionName[] {
  const names = new Set([...before, ...after].map(({ name }) => name));
  const textOfLines = (entries: readonly Entry[], name: OptionName): string =>
    linesAsText(entries, name, isOfFile(name));
  return [...names].filter((name) => textOfLines(before, name) !== textOfLines(after, name));
}

function linesAsText(entries: readonly Entry[], name: OptionName, isOfFile: boolean): string {
  const lines = entries
    .filter((entry) => entry.name === name)
    .map(({ section, value }) => ({ section: isOfFile ? 0 : section, value }))
    .sort((one, other) => one.section - other.section)
    .map(({ section, value }) => `${section} ${textOf(value)}`);
  return lines.join("\n");
}

function textOf(value: unknown): string {
  return JSON.stringify(value instanceof Set ? [...value] : value);
}

/** `FILE:LINE: ` of the option's last line, in what was read or in what is running. */
function placeOf(name: OptionName, read: Configuration, running: Configuration): string {
  const last =
    read.entries.findLast((entry) => entry.name === name) ??
    running.entries.findLast((entry) => entry.name === name);
  return last === undefined ? "" : `${last.at}: `;
}

function placesOf({ settings }: Configuration): readonly string[] {
  return settings.listeners.map(({ address, port, protocol, socketPath }: ListenerSettings) =>
    textOf([address, port, protocol, socketPath]),
  );
}
