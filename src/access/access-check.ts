/**
 * What rules say, asked per packet of the control plane: SUBSCRIBE and UNSUBSCRIBE. What is decided
 * per message, READ and WRITE, the engine evaluates (assembly/access.ts).
 */
import { type AccessRule, type AccessRules, READ, WRITE } from "./access-rules.ts";
import type { Identity } from "./identity.ts";
import { filterMatches, intersectionOf, isCovered, levelsMatch } from "./topic-filters.ts";

/** What a rule says, or null where no rule matches and it is to be asked outside. */
export type Answer = boolean | null;

const SHARED_PREFIX = "$share/";

/** The Topic Filter that a shared subscription has behind its name; others as they are. */
export function filterOfShared(filter: string): string {
  if (!filter.startsWith(SHARED_PREFIX)) return filter;
  return filter.slice(filter.indexOf("/", SHARED_PREFIX.length) + 1);
}

/** A rule's filter with the names in it; null: one of them is empty, and it matches nothing. */
export function filterOf(rule: AccessRule, identity: Identity): string | null {
  if (rule.substitutes !== true) return rule.filter;
  const { clientId, userName } = identity;
  let isEmpty = false;
  const filter = rule.filter.replaceAll(/%[cu]/g, (name) => {
    const value = name === "%c" ? clientId : userName;
    if (value === "") isEmpty = true;
    return value;
  });
  return isEmpty ? null : filter;
}

/**
 * Whether a Topic Filter may be subscribed to, or unsubscribed from, by rules that speak of that:
 * the first decides that has the same text, or that covers it.
 *
 * @param action  SUBSCRIBE or UNSUBSCRIBE
 */
export function mayUseFilter(
  rules: AccessRules,
  identity: Identity,
  action: number,
  filter: string,
): Answer {
  const plain = filterOfShared(filter);
  for (const rule of rules.rules) {
    if ((rule.actions & action) === 0) continue;
    const own = filterOf(rule, identity);
    if (own === null) continue;
    let isMatch = rule.meansWildcards === true && /[+#]/.test(plain);
    if (rule.comparesText !== undefined) isMatch ||= matchesAsText(rule, own, filter);
    else if (rule.isLiteral) isMatch ||= own === filter || own === plain;
    else isMatch ||= isCovered(plain, [own]) || isCovered(filter, [own]);
    if (isMatch) return rule.allows;
  }
  if (rules.question !== undefined && (rules.question.actions & action) !== 0) return null;
  return (rules.defaults & action) !== 0;
}

/** @param own  the rule's filter with the names in it */
function matchesAsText({ allows, comparesText }: AccessRule, own: string, filter: string): boolean {
  if (comparesText === "all but #" && filter === "#") return false;
  return levelsMatch(own, filter) || (!allows && levelsMatch(own, filterOfShared(filter)));
}

/** Whether a topic may be published to; what is to be asked outside is. */
export function mayWrite(rules: AccessRules, identity: Identity, topic: string): boolean {
  for (const rule of rules.rules) {
    if ((rule.actions & WRITE) === 0) continue;
    const own = filterOf(rule, identity);
    if (own === null) continue;
    const isHidden = topic.startsWith("$") && !rule.filter.startsWith("$");
    if (!isHidden && (rule.isLiteral ? own === topic : filterMatches(own, topic))) {
      return rule.allows;
    }
  }
  if (rules.question !== undefined && (rules.question.actions & WRITE) !== 0) return true;
  return (rules.defaults & WRITE) !== 0;
}

/**
 * Whether all topics that a Topic Filter matches may be read. A rule that denies some of them is no
 * hindrance where rules before it allow just those.
 */
export function mayReadAll(rules: AccessRules, identity: Identity, filter: string): boolean {
  const plain = filterOfShared(filter);
  const allowed: string[] = [];
  for (const rule of rules.rules) {
    if ((rule.actions & READ) === 0) continue;
    const own = filterOf(rule, identity);
    // As text a wildcard is in no Topic Name.
    if (own === null || (rule.isLiteral && /[+#]/.test(own))) continue;
    if (rule.allows) {
      allowed.push(own);
      continue;
    }
    const denied = intersectionOf(plain, own);
    if (denied !== null && !isCovered(denied, allowed)) return false;
  }
  return (rules.defaults & READ) !== 0 || isCovered(plain, allowed);
}
