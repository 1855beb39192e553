/** What a Topic Filter is, §4.7, for rules that people write. */

/** Longest, in bytes of UTF-8.                                                         [§1.5.4] */
const TOPIC_FILTER_BYTES_MAX = 65_535;

/** `+` and `#` fill a level, and nothing follows `#` [MQTT-4.7.1-1] [MQTT-4.7.1-2]. */
export function isTopicFilter(text: string): boolean {
  const levels = text.split("/");
  if (!levels.every((level) => level.length === 1 || !/[+#]/.test(level))) return false;
  return !levels.slice(0, -1).includes("#") && Buffer.byteLength(text) <= TOPIC_FILTER_BYTES_MAX;
}
