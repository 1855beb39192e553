/**
 * From roles to the rules that the engine keeps (access-rules.ts).
 *
 *   roles of the client, then those of its groups, each by priority
 *     └─ of a role: what it says literally, then its patterns, each by priority
 *          └─ the defaults, which never open $CONTROL
 *               └─ what they leave closed: an ACL file, if there is one
 *
 * Clients of the same roles share one set of rules, in which %c and %u stand for who asks.
 */
import {
  type AccessRule,
  type AccessRules,
  READ,
  SUBSCRIBE,
  UNSUBSCRIBE,
  WRITE,
} from "./access-rules.ts";
import type {
  Acl,
  AclType,
  DefaultType,
  DynamicSecurityModel,
  Membership,
  Role,
} from "./dynamic-security-model.ts";
import type { Identity } from "./identity.ts";
import { isTopicFilter } from "./topic-filter.ts";

const ACTIONS: Readonly<Record<AclType | DefaultType, number>> = {
  publishClientSend: WRITE,
  publishClientReceive: READ,
  subscribeLiteral: SUBSCRIBE,
  subscribePattern: SUBSCRIBE,
  subscribe: SUBSCRIBE,
  unsubscribeLiteral: UNSUBSCRIBE,
  unsubscribePattern: UNSUBSCRIBE,
  unsubscribe: UNSUBSCRIBE,
};

const LITERAL: ReadonlySet<AclType> = new Set(["subscribeLiteral", "unsubscribeLiteral"]);

/** Control topics are for whom they are opened explicitly, whatever the defaults say. */
const NO_CONTROL: AccessRule = {
  actions: READ | WRITE | SUBSCRIBE | UNSUBSCRIBE,
  allows: false,
  filter: "$CONTROL/#",
  isLiteral: false,
};

/** Of a role whose holders may not subscribe with wildcards; as text no filter is so. */
const NO_WILDCARDS: AccessRule = {
  actions: SUBSCRIBE,
  allows: false,
  filter: "",
  isLiteral: true,
  meansWildcards: true,
};

const NOTHING: AccessRules = { rules: [], defaults: 0 };

/** Those of the rules, and that part of them, that are about some of these actions. */
function about(actions: number, rules: readonly AccessRule[]): AccessRule[] {
  const some = rules.filter((rule) => (rule.actions & actions) !== 0);
  return some.map((rule) => ({ ...rule, actions: rule.actions & actions }));
}

/**
 * Rules of dynamic security with those behind them that decide, as in mosquitto, where no role says
 * anything and the defaults open nothing.
 *
 * @param others  without a question
 */
export function followedBy(rules: AccessRules, others: AccessRules): AccessRules {
  if (rules === NOTHING) return rules;
  const { defaults } = rules;
  const ofRoles = rules.rules.filter((rule) => rule !== NO_CONTROL);
  const ofControl = others.rules.filter(({ filter }) => filter.startsWith("$CONTROL/"));
  return {
    rules: [
      ...ofRoles,
      ...about(defaults, ofControl),
      ...about(defaults & ~others.defaults, [NO_CONTROL]),
      ...about(~defaults, others.rules),
    ],
    defaults: defaults | others.defaults,
  };
}

/** Whether a level of the filter is one of the two that stand for who asks. */
function isPersonal(filter: string): boolean {
  return /(?:^|\/)%[cu](?:\/|$)/.test(filter);
}

/**
 * Puts who asks into a filter, where a name has wildcards; other names the engine puts in.
 *
 * A name with wildcards must not widen what is allowed: where it has some, only this very text is
 * meant, or nothing at all.
 *
 * @returns null where the rule can match nothing
 */
function personalRule(shared: AccessRule, identity: Identity): AccessRule | null {
  const { substitutes: _, ...rule } = shared;
  const names = { "%c": identity.clientId, "%u": identity.userName };
  const used: string[] = [];
  const levels = rule.filter.split("/").map((level) => {
    if (level !== "%c" && level !== "%u") return level;
    used.push(names[level]);
    return names[level];
  });
  if (used.includes("")) return null;
  const filter = levels.join("/");
  if (!used.some((name) => /[+#]/.test(name))) return { ...rule, filter };
  const hasWildcards = /[+#]/.test(rule.filter);
  // As a Topic Filter the name would match others' topics.
  const actions = rule.allows ? rule.actions & ~(SUBSCRIBE | READ) : rule.actions;
  if (actions === 0) return null;
  if (!hasWildcards) return { ...rule, actions, filter, isLiteral: true };
  // A rule that denies may deny more than it was meant to; one that allows may not allow more.
  return rule.allows ? null : { ...rule, filter };
}

function ruleOf({ type, topic, allows }: Acl): AccessRule {
  const isLiteral = LITERAL.has(type);
  const rule = { actions: ACTIONS[type], allows, filter: topic, isLiteral };
  return !isLiteral && isPersonal(topic) ? { ...rule, substitutes: true } : rule;
}

/** Literal ones decide before patterns do, whatever their priority. */
function rulesOfRole(role: Role): AccessRule[] {
  // A pattern that is no Topic Filter matches nothing; files may hold some.
  const usable = role.acls.filter(({ topic, type }) => LITERAL.has(type) || isTopicFilter(topic));
  const rules = usable.map(ruleOf);
  return [
    ...(role.allowsWildcards ? [] : [NO_WILDCARDS]),
    ...rules.filter((rule) => rule.isLiteral),
    ...rules.filter((rule) => !rule.isLiteral),
  ];
}

/** Rules of one model; a change of the model needs another. */
export class DynamicSecurityRules {
  readonly #model: DynamicSecurityModel;
  readonly #defaults: number;
  /** Rules of a role, and of a sequence of roles, as far as they were asked for. */
  readonly #ofRole = new Map<string, readonly AccessRule[]>();
  readonly #ofRoles = new Map<string, AccessRules>();

  constructor(model: DynamicSecurityModel) {
    this.#model = model;
    let defaults = 0;
    for (const [type, isAllowed] of model.defaults) if (isAllowed) defaults |= ACTIONS[type];
    this.#defaults = defaults;
  }

  rulesOf(identity: Identity): AccessRules {
    const names = this.#rolesOf(identity);
    if (names === null) return NOTHING;
    const shared = this.#shared(names);
    if (!/[+#]/.test(identity.clientId + identity.userName)) return shared;
    const rules = shared.rules.map((rule) =>
      rule.substitutes === true ? personalRule(rule, identity) : rule,
    );
    return { ...shared, rules: rules.filter((rule) => rule !== null) };
  }

  /** Names of its roles in the order they are asked; null: it has no rights at all. */
  #rolesOf({ userName }: Identity): readonly string[] | null {
    const { anonymousGroup, clients, groups } = this.#model;
    const ofGroup = (name: string): readonly Membership[] => groups.get(name)?.roles ?? [];
    if (userName === "") {
      return anonymousGroup === null ? [] : ofGroup(anonymousGroup).map(({ name }) => name);
    }
    const client = clients.get(userName);
    // It may have come by a certificate, where no password says that it is disabled.
    if (client === undefined || client.isDisabled) return null;
    const memberships = [...client.roles, ...client.groups.flatMap(({ name }) => ofGroup(name))];
    return [...new Set(memberships.map(({ name }) => name))];
  }

  #shared(names: readonly string[]): AccessRules {
    const key = JSON.stringify(names);
    let shared = this.#ofRoles.get(key);
    if (shared === undefined) {
      const rules = [...names.flatMap((name) => this.#role(name)), NO_CONTROL];
      shared = { rules, defaults: this.#defaults };
      this.#ofRoles.set(key, shared);
    }
    return shared;
  }

  #role(name: string): readonly AccessRule[] {
    let rules = this.#ofRole.get(name);
    if (rules === undefined) {
      const role = this.#model.roles.get(name);
      rules = role === undefined ? [] : rulesOfRole(role);
      this.#ofRole.set(name, rules);
    }
    return rules;
  }
}
