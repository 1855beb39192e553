/** The ACL file of mosquitto-go-auth, as rules, against a model of what its backend answers. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { mayReadAll, mayUseFilter, mayWrite } from "../../src/access/access-check.ts";
import { SUBSCRIBE } from "../../src/access/access-rules.ts";
import { parseGoAuthAclFile } from "../../src/access/go-auth-acl-file.ts";
import { GoAuthFileAuthorizer } from "../../src/access/go-auth-authorizer.ts";

const RUNS = Number(process.env["PROPERTY_RUNS"] ?? 5_000);
const ACCESSES = ["read", "write", "readwrite", "subscribe", "deny"] as const;
const IDENTITY = { clientId: "b", userName: "a", rules: null };

interface Line {
  readonly word: "topic" | "pattern" | "user";
  readonly access: (typeof ACCESSES)[number];
  readonly filter: string;
}

const level = fc.constantFrom("a", "b", "c", "");
const topicName = fc
  .array(level, { minLength: 1, maxLength: 3 })
  .map((levels) => levels.join("/"))
  .filter((name) => name !== "");
const topicFilter = fc
  .tuple(
    fc.array(fc.oneof(level, fc.constantFrom("+", "%c", "%u")), { minLength: 1, maxLength: 3 }),
    fc.boolean(),
  )
  .map(([levels, isOpen]) => [...(isOpen ? levels.slice(1) : levels), ...(isOpen ? ["#"] : [])])
  .map((levels) => levels.join("/"))
  .filter((filter) => filter !== "");
const line: fc.Arbitrary<Line> = fc.record({
  word: fc.constantFrom("topic", "topic", "pattern", "user"),
  access: fc.constantFrom(...ACCESSES),
  filter: topicFilter,
});

/** Levels beside levels: a wildcard of the topic is a level as others are. */
function isMatch(saved: string, topic: string): boolean {
  const wanted = saved.split("/");
  const given = topic.split("/");
  if (wanted.at(-1) !== "#") {
    return wanted.length === given.length && wanted.every((w, i) => w === "+" || w === given[i]);
  }
  const front = wanted.slice(0, -1);
  return given.length >= front.length && front.every((w, i) => w === "+" || w === given[i]);
}

/** Users in turn: the client's own, one that is not in the password file, another. */
const USERS = ["a", "nobody", "other"];

/** What `CheckAcl` of go-auth says: 1 read, 2 write, 4 subscribe. */
function model(lines: readonly Line[], topic: string, action: 1 | 2 | 4): boolean {
  const records: { readonly access: Line["access"]; readonly filter: string }[] = [];
  let users = 0;
  for (const { word, access, filter } of lines) {
    if (word === "user") users++;
    else if (word === "pattern" || users === 0) {
      records.push({ access, filter: filter.replaceAll("%c", "b").replaceAll("%u", "a") });
    } else if (USERS[(users - 1) % USERS.length] === "a") records.push({ access, filter });
  }
  const matching = records.filter(({ filter }) => isMatch(filter, topic));
  if (matching.some(({ access }) => access === "deny")) return false;
  return matching.some(({ access }) => {
    if (access === "readwrite") return true;
    if (action === 4) return access === "subscribe" || (access === "read" && topic !== "#");
    return access === (action === 1 ? "read" : "write");
  });
}

function textOf(lines: readonly Line[]): string {
  let users = 0;
  return lines
    .map(({ word, access, filter }) =>
      word === "user" ? `user ${USERS[users++ % USERS.length]}` : `${word} ${access} ${filter}`,
    )
    .join("\n");
}

test("rules say what it answers", () => {
  const property = fc.property(
    fc.array(line, { maxLength: 8 }),
    topicName,
    topicFilter,
    (lines, topic, written) => {
      const filter = written.replaceAll("%", "c");
      const known = new Set(["a", "other"]);
      const file = parseGoAuthAclFile("acl", textOf(lines), known);
      const rules = new GoAuthFileAuthorizer(file).rulesOf(IDENTITY);
      expect(mayReadAll(rules, IDENTITY, topic)).toBe(model(lines, topic, 1));
      expect(mayWrite(rules, IDENTITY, topic)).toBe(model(lines, topic, 2));
      expect(mayUseFilter(rules, IDENTITY, SUBSCRIBE, filter)).toBe(model(lines, filter, 4));
    },
  );
  fc.assert(property, { numRuns: RUNS });
});
