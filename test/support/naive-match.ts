/** What a Topic Filter matches, as plainly as it can be said.                     MQTT 5.0 §4.7 */

/** Whether the filter matches the Topic Name. */
export function naiveMatch(filter: string, topic: string): boolean {
  if (/^[+#]/.test(filter) && topic.startsWith("$")) return false; // [MQTT-4.7.2-1]
  const wanted = filter.split("/");
  const levels = topic.split("/");
  for (const [index, label] of wanted.entries()) {
    if (label === "#") return true;
    const level = levels[index];
    // "a/#" matches "a" as well: the parent level is included.
    if (level === undefined) return false;
    if (label !== "+" && label !== level) return false;
    if (wanted[index + 1] === "#" && levels.length === index + 1) return true;
  }
  return wanted.length === levels.length;
}
