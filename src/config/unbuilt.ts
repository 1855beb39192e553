/**
 * Options that are read but not obeyed yet, and that keep somebody out or apart: they are refused,
 * as a broker that ignored them would be open where its owner believes it closed. Whoever builds
 * one takes it off this list.
 */

/** What would stand open if the option were ignored. */
const UNBUILT: ReadonlyMap<string, string> = new Map();

/** What is not obeyed yet, and harmless: its line is warned of. */
const HARMLESS: ReadonlySet<string> = new Set([
  // Authorisation.
  "auth_plugin_deny_special_chars",
  "check_retain_source",
]);

/** Whether a line is to be warned of, as nothing obeys it yet. */
export function isUnbuilt(name: string): boolean {
  return HARMLESS.has(name);
}

/**
 * Why a line is refused; null: it is obeyed, or harmless.
 *
 * @param written  its value: a switch that is off asks for nothing
 */
export function reasonUnbuilt(name: string, written: string): string | null {
  const reason = UNBUILT.get(name) ?? null;
  return written === "false" || written === "0" ? null : reason;
}

/** All names that are refused. */
export const UNBUILT_NAMES: readonly string[] = [...UNBUILT.keys()];
