/**
 * What clients may do by word of the HTTP backend: it is asked where no rule of an ACL file
 * matches.
 *
 * A message is delivered where its subscription was allowed; so that a rule of the file that lets a
 * topic be read lets it be subscribed to.
 */
import {
  type AccessQuestion,
  type AccessRule,
  type AccessRules,
  type Authorizer,
  READ,
  SUBSCRIBE,
  UNSUBSCRIBE,
  WRITE,
} from "./access-rules.ts";
import type { HttpBackend } from "./http-backend.ts";
import type { Identity } from "./identity.ts";

/** Allowed without a question: it is decided by SUBSCRIBE, or nobody's loss. */
const DEFAULTS = READ | UNSUBSCRIBE;

export class HttpAuthorizer implements Authorizer {
  readonly #file: Authorizer | null;
  readonly #question: AccessQuestion;
  readonly #onlyAsked: AccessRules;
  /** By what the file says, so that who may do the same has the same object. */
  readonly #combined = new WeakMap<AccessRules, AccessRules>();

  /**
   * @param file  who decides by an ACL file; null: nobody
   * @param holdsSeconds  how long an answer about a topic holds
   */
  constructor(backend: HttpBackend, file: Authorizer | null, holdsSeconds: number) {
    this.#file = file;
    this.#question = {
      actions: WRITE | SUBSCRIBE,
      holdsSeconds,
      ask: (identity, action, name) => backend.checkAccess(identity, name, action),
    };
    this.#onlyAsked = { rules: [], defaults: DEFAULTS, question: this.#question };
  }

  rulesOf(identity: Identity): AccessRules {
    const written = this.#file?.rulesOf(identity) ?? null;
    if (written === null) return this.#onlyAsked;
    const known = this.#combined.get(written);
    if (known !== undefined) return known;
    const rules = written.rules.map(subscribingAsReading).filter(({ actions }) => actions !== 0);
    const combined = { rules, defaults: DEFAULTS, question: this.#question };
    this.#combined.set(written, combined);
    return combined;
  }
}

/** What a rule allows to subscribe to, all of that may be read. */
function subscribingAsReading(rule: AccessRule): AccessRule {
  const { actions } = rule;
  if (!rule.allows) return actions & READ ? { ...rule, actions: actions | SUBSCRIBE } : rule;
  const { comparesText: _, ...covering } = rule;
  return { ...covering, actions: actions & READ ? actions | SUBSCRIBE : actions & ~SUBSCRIBE };
}
