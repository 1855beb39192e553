/**
 * Chapter 4, continued: which Topic Filter matches which Topic Name. MQTT 5.0 §4.7.
 */
import { describe, test } from "vitest";
import { startChapter } from "./chapter.ts";

const chapter = startChapter();
const { connect } = chapter;

/** Filter, topics that it matches, topics that it does not. */
const TABLE: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  ["a/b", ["a/b"], ["a", "a/b/c", "A/b", "/a/b", "a/b/", "ab"]],
  ["/", ["/"], ["//", "a", "/a", "a/"]],
  ["/a", ["/a"], ["a", "a/", "//a"]],
  ["a/", ["a/"], ["a", "a//", "a/b"]],
  ["a//b", ["a//b"], ["a/b", "a/x/b", "a///b"]],
  ["+", ["a", "aa", " "], ["/a", "a/", "a/b", "/"]],
  ["/+", ["/a", "/"], ["a", "/a/b", "//"]],
  ["+/", ["a/", "/"], ["a", "a/b"]],
  ["+/+", ["/a", "a/b", "/", "a/"], ["a", "a/b/c", "//"]],
  ["a/+", ["a/b", "a/"], ["a", "a/b/c", "b/a"]],
  ["+/b", ["a/b", "/b"], ["b", "a/b/c", "a/c"]],
  ["a/+/c", ["a/b/c", "a//c"], ["a/c", "a/b/b/c", "a/b/c/d"]],
  ["+/+/+", ["a/b/c", "//"], ["a/b", "a/b/c/d"]],
  ["#", ["a", "a/b", "/", "/a", "a/b/c/d/e/f"], []],
  ["a/#", ["a", "a/", "a/b", "a/b/c"], ["ab", "b/a", "/a"]],
  ["/#", ["/", "/a", "/a/b", "//"], ["a", "a/b"]],
  ["+/#", ["a", "a/b", "/", "/a/b"], []],
  ["a/+/#", ["a/b", "a/", "a/b/c"], ["a", "b/a/c"]],
  ["+/b/#", ["a/b", "/b", "a/b/c/d"], ["b", "a/c/b"]],
  ["a b/c d", ["a b/c d"], ["ab/cd"]],
  ["é/温", ["é/温"], ["e\u0301/温"]],
  ["\ufeffa", ["\ufeffa"], ["a"]],
];

/** The same for topics that begin with a dollar sign. */
const DOLLAR: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  ["#", [], ["$fleet", "$fleet/a", "$/a"]],
  ["+", [], ["$fleet"]],
  ["+/a", ["x/a"], ["$fleet/a", "$/a"]],
  ["+/#", [], ["$fleet/a"]],
  ["$fleet/#", ["$fleet", "$fleet/a", "$fleet/a/b"], ["$other/a", "fleet/a"]],
  ["$fleet/+", ["$fleet/a"], ["$fleet", "$fleet/a/b"]],
  ["a/+", ["a/$b"], []],
  ["a/#", ["a/$b", "a/$b/c"], []],
];

async function judge(
  filter: string,
  matching: readonly string[],
  others: readonly string[],
): Promise<void> {
  const client = await connect();
  await client.subscribe(filter);
  for (const topic of [...others, ...matching]) await client.publish(topic, topic);
  for (const topic of matching) await client.expectPublish({ topic, payload: topic });
  await client.expectNothing();
}

describe("Topic Filters", () => {
  test.for(TABLE)(
    "%j matches %j only [MQTT-3.3.2-3] [MQTT-4.7.1-1, -2] [MQTT-4.7.3-4]",
    ([filter, matching, others]) => judge(filter, matching, others),
  );

  test.for(DOLLAR)(
    "%j and topics with $: %j only [MQTT-4.7.2-1] [MQTT-4.7.2-1 @3.1.1]",
    ([filter, matching, others]) => judge(filter, matching, others),
  );

  test("# brings nothing of $SYS, retained or live [MQTT-4.7.2-1]", async () => {
    const client = await connect();
    for (const filter of ["#", "+/+/+", "+/#"]) await client.subscribe(filter);
    await client.expectNothing();
  });
});
