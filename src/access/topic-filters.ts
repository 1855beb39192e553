/**
 * Topic Filters against each other, §4.7: whether one covers another, and what both match.
 *
 * A Topic Filter matches whole levels, of which there are more than all filters name. So a name
 * that no filter has, in each place that `+` leaves open, stands for all that may be there: what
 * matches it matches all of them.
 */

/** Stands for a level that nobody names; no Topic Filter has U+0000 [MQTT-4.7.3-2]. */
const ANY_LEVEL = "\0";

/** Whether a filter matches a Topic Name. */
export function filterMatches(filter: string, topic: string): boolean {
  if (topic.startsWith("$") && !filter.startsWith("$")) return false; // [MQTT-4.7.2-1]
  return levelsMatch(filter, topic);
}

/** The same, without regard to what begins with `$`. */
export function levelsMatch(filter: string, topic: string): boolean {
  const wanted = filter.split("/");
  const levels = topic.split("/");
  for (const [index, level] of wanted.entries()) {
    if (level === "#") return true;
    if (index >= levels.length || (level !== "+" && level !== levels[index])) return false;
  }
  return wanted.length === levels.length;
}

/** Whether all that `filter` matches is matched by one or another of `others`. */
export function isCovered(filter: string, others: readonly string[]): boolean {
  const levels = filter.split("/").map((level) => (level === "+" ? ANY_LEVEL : level));
  if (levels.at(-1) !== "#") return isMatched(levels, others);
  levels.pop();
  // `#` stands for any number of levels: past the longest of the others only their `#` tell.
  const longest = Math.max(0, ...others.map((other) => other.split("/").length));
  // The filters `#` and `/#` match no empty name: there is none [MQTT-4.7.3-1].
  if (levels.join("/") === "") levels.push(ANY_LEVEL);
  for (;;) {
    if (!isMatched(levels, others)) return false;
    if (levels.length > longest) return true;
    levels.push(ANY_LEVEL);
  }
}

function isMatched(levels: readonly string[], others: readonly string[]): boolean {
  const topic = levels.join("/");
  return others.some((other) => filterMatches(other, topic));
}

/** The filter that matches what both match; null: nothing. */
export function intersectionOf(one: string, other: string): string | null {
  if (isHidden(one, other) || isHidden(other, one)) return null;
  const left = one.split("/");
  const right = other.split("/");
  const levels: string[] = [];
  for (let index = 0; ; index++) {
    const a = left[index];
    const b = right[index];
    if (a === "#") return [...levels, ...right.slice(index)].join("/");
    if (b === "#") return [...levels, ...left.slice(index)].join("/");
    if (a === undefined || b === undefined) {
      return a === b ? levels.join("/") : null;
    }
    if (a !== b && a !== "+" && b !== "+") return null;
    levels.push(a === "+" ? b : a);
  }
}

/** A filter that starts with a wildcard matches no topic that starts with `$` [MQTT-4.7.2-1]. */
function isHidden(one: string, other: string): boolean {
  return one.startsWith("$") && !other.startsWith("$");
}
