/**
 * The claim of a token that says what its bearer may do, in either of the forms that others use:
 *
 *   [{"permission": "allow", "action": "publish", "topic": "trucks/${clientid}/#"}, …]
 *   {"pub": ["trucks/%u/#"], "sub": […], "all": […]}
 *
 * The first that matches decides; where none does nothing is allowed. A topic `eq a/+/b` is that
 * text and no pattern. `%c`, `${clientid}`, `%u`, `${username}` stand for the bearer's names.
 */
import {
  type AccessRule,
  type AccessRules,
  READ,
  SUBSCRIBE,
  UNSUBSCRIBE,
  WRITE,
} from "./access-rules.ts";
import { TOKEN_RULES_MAX } from "./limits.ts";
import { isTopicFilter } from "./topic-filter.ts";

/** By the names of actions, of both forms. */
const ACTIONS: Readonly<Record<string, number>> = {
  publish: WRITE,
  pub: WRITE,
  subscribe: READ | SUBSCRIBE,
  sub: READ | SUBSCRIBE,
  all: READ | WRITE | SUBSCRIBE,
};

/** The names of a token's bearer. */
export interface Bearer {
  readonly clientId: string;
  readonly userName: string;
}

/** @returns the rules, or why the claim has none, which is nobody's permission */
export function readTokenRules(claim: unknown, bearer: Bearer): AccessRules | string {
  const written = Array.isArray(claim) ? claim : listed(claim);
  if (written === null) return "expected a list of rules, or an object with pub, sub, all";
  if (written.length > TOKEN_RULES_MAX) return `more than ${TOKEN_RULES_MAX} rules`;
  const rules: AccessRule[] = [];
  for (const one of written) {
    const rule = readRule(one, bearer);
    if (typeof rule === "string") return rule;
    rules.push(rule);
  }
  // To give up a subscription is nobody's loss.
  return { rules, defaults: UNSUBSCRIBE };
}

/** The rules of the form that lists topics by action; null: it is not of that form. */
function listed(claim: unknown): unknown[] | null {
  if (typeof claim !== "object" || claim === null) return null;
  const entries = Object.entries(claim);
  if (entries.some(([name, topics]) => !isActionName(name) || !Array.isArray(topics))) return null;
  return entries.flatMap(([action, topics]) =>
    (topics as unknown[]).map((topic) => ({ permission: "allow", action, topic })),
  );
}

function isActionName(name: string): boolean {
  return Object.hasOwn(ACTIONS, name);
}

function readRule(written: unknown, bearer: Bearer): AccessRule | string {
  if (typeof written !== "object" || written === null) return "a rule has to be an object";
  const { permission = "allow", action = "all", topic } = written as Record<string, unknown>;
  const actions = typeof action === "string" && isActionName(action) ? ACTIONS[action] : undefined;
  if (actions === undefined) return "action has to be publish, subscribe or all";
  if (permission !== "allow" && permission !== "deny") return "permission has to be allow or deny";
  if (typeof topic !== "string") return "a rule needs a topic";
  const filter = substituted(topic.replace(/^eq /, ""), bearer);
  if (filter === null) return "a name that stands in a topic holds +, # or /, or is empty";
  if (filter === "" || !isTopicFilter(filter)) return "a topic is no Topic Filter";
  const isLiteral = topic.startsWith("eq ");
  return { actions, allows: permission === "allow", filter, isLiteral };
}

/** @returns null: a name would change what the topic matches */
function substituted(topic: string, { clientId, userName }: Bearer): string | null {
  let isSound = true;
  const filter = topic.replaceAll(/%[cu]|\$\{(?:clientid|username)\}/g, (name) => {
    const value = name === "%c" || name === `\${clientid}` ? clientId : userName;
    if (value === "" || /[+#/]/.test(value)) isSound = false;
    return value;
  });
  return isSound ? filter : null;
}
