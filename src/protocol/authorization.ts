/**
 * What each client may do, told to the engine: at CONNECT, and again whenever rules change.
 *
 * The engine judges each message (assembly/access.ts). Here is what it asks back: a PUBLISH that
 * only somebody outside can decide waits with its connection; SUBSCRIBE and UNSUBSCRIBE are judged
 * by their Topic Filters.
 */
import * as abi from "#assembly/abi";
import { FLAG_DUP, FLAG_QOS_SHIFT, FLAG_RETAIN, QUOTA_EXCEEDED } from "#assembly/spec";
import { type Answer, mayReadAll, mayUseFilter, mayWrite } from "../access/access-check.ts";
import { type AccessRules, type Authorizer, SUBSCRIBE, WRITE } from "../access/access-rules.ts";
import type { Identity } from "../access/identity.ts";
import { internRules } from "../access/rule-set.ts";
import { ProtocolError } from "../base/errors.ts";
import { RENEWED_MILLISECONDS_MAX } from "../base/limits.ts";
import type { Log } from "../base/log.ts";
import type { AccessSettings } from "../config/settings.ts";
import type { Engine } from "../engine/engine.ts";
import type { NetworkConnection } from "../session/network-connection.ts";
import type { Turn } from "../session/turn.ts";
import type { Will, WillVerdict } from "../session/wills.ts";
import { mountedFilter } from "./mounted-filter.ts";
import { loggedName } from "./plane.ts";

/** Who decides for the clients of a listener. */
export interface Deciding {
  /** null: everything is allowed. */
  readonly authorizer: Authorizer | null;
  /** Whether SUBSCRIBE is refused where not all that the filter matches may be read. */
  readonly deniesSubscribe: boolean;
}

export interface Decidings {
  of(settings: AccessSettings): Deciding;
  /** Of Sessions whose client is away: the key of the listener it came by; null: it is gone. */
  ofListener(key: number): Deciding | null;
  /** Whether anybody decides anything. */
  isActive(): boolean;
  /** Whether a retained message is delivered only while its publisher may write there. */
  checksSources(): boolean;
  /** Whether listeners have access settings of their own. */
  areSeveral(): boolean;
}

/** What is known of a connection whose client may not do everything. */
interface Access {
  readonly identity: Identity;
  readonly rules: AccessRules;
  readonly deniesSubscribe: boolean;
}

/** What becomes of each Topic Filter of a packet, in order; null: all are taken. */
export type FilterVerdicts = readonly boolean[] | null;

/** Nothing at all: of a Session whose listener is no more. */
const NOTHING: AccessRules = { rules: [], defaults: 0 };

/** No listener has it. */
const NO_KEY = -1;

/**
 * In place of a key: what the client may do came with its login, a token's claims, and is known as
 * long as its connection lasts.
 */
const OWN_RULES = 0xffff;

/** Sessions that are looked at between two looks at the clock. */
const RENEWED_AT_ONCE = 64;

export class Authorization {
  readonly #engine: Engine;
  readonly #turn: Turn;
  readonly #log: Log;
  readonly #decidings: Decidings;
  readonly #accesses = new WeakMap<NetworkConnection, Access>();
  /** The renewal under way is this one; an older one ends. */
  #renewal = 0;

  constructor(
    { engine, turn, log }: { readonly engine: Engine; readonly turn: Turn; readonly log: Log },
    decidings: Decidings,
  ) {
    this.#engine = engine;
    this.#turn = turn;
    this.#log = log;
    this.#decidings = decidings;
    this.#tellEngine();
  }

  /** What the engine has to know of rules besides them. */
  #tellEngine(): void {
    const { calls } = this.#engine;
    calls.setTellsDenied(this.#log.has("debug") ? 1 : 0);
    const checksSources = this.#decidings.isActive() && this.#decidings.checksSources();
    calls.setSources(checksSources ? this.#renewal + 1 : 0);
  }

  /**
   * Lets the connection, whose Session is open, do what its identity may.
   *
   * @throws ProtocolError 0x97: no memory for its rules
   */
  attach(connection: NetworkConnection, identity: Identity): void {
    const engine = this.#engine;
    const { session } = connection;
    const { authorizer, deniesSubscribe } = this.#decidings.of(connection.rules.access);
    const userBytes = engine.scratch.write(identity.userName);
    const rules = identity.rules ?? authorizer?.rulesOf(identity) ?? null;
    // Where nobody decides, on no listener, it does not matter, and is not kept.
    const matters = authorizer !== null || this.#decidings.areSeveral();
    const own = matters ? connection.rules.key : 0;
    const key = identity.rules === null ? own : OWN_RULES;
    const isKnown = engine.calls.setUser(session, abi.SCRATCH, userBytes, key) === 0;
    if (!isKnown || !this.#setRules(session, rules)) {
      throw new ProtocolError(QUOTA_EXCEEDED, "no memory for what it may do");
    }
    if (rules === null) this.#accesses.delete(connection);
    else this.#accesses.set(connection, { identity, rules, deniesSubscribe });
  }

  /**
   * Whether a Session is of another user than the connection's, and somebody outside was asked what
   * that one may subscribe to: nobody would ask again.
   */
  isOfAnother(session: number, { clientId, rules, userName }: NetworkConnection): boolean {
    // Nearly always it is the same user: only of another one are there rules to be made.
    if (this.#identityOf(session).userName === userName) return false;
    const { authorizer } = this.#decidings.of(rules.access);
    const own = authorizer?.rulesOf({ clientId, userName, rules: null }) ?? null;
    return own !== null && own.question !== undefined;
  }

  /** Whether the client, whose rules end with its connection, may publish its will. */
  allowsWill({ topicAt, topicBytes }: Will, session: number): boolean {
    return this.#engine.calls.mayPublishWill(session, topicAt, topicBytes) === 1;
  }

  /** @returns false: no memory, and the Session may do nothing until there is */
  #setRules(session: number, rules: AccessRules | null): boolean {
    const { calls } = this.#engine;
    const set = rules === null ? 0 : internRules(this.#engine, rules);
    if (rules !== null && set === 0) return false;
    calls.setRules(session, set);
    return true;
  }

  /**
   * Judges the Topic Filters of the SUBSCRIBE or UNSUBSCRIBE in DECODED.
   *
   * @param action  SUBSCRIBE or UNSUBSCRIBE
   * @returns a promise where somebody outside is asked
   */
  judgeFilters(
    connection: NetworkConnection,
    action: number,
  ): FilterVerdicts | Promise<FilterVerdicts> {
    const access = this.#accesses.get(connection);
    if (access === undefined) return null;
    const { calls } = this.#engine;
    const judged: (boolean | Promise<boolean>)[] = [];
    for (let more = calls.firstFilter(); more === 1; more = calls.nextFilter()) {
      const { at, byteCount } = mountedFilter(this.#engine, connection.rules.mountPoint);
      const filter = this.#engine.text(at, byteCount);
      judged.push(this.#judgeFilter(access, action, filter));
    }
    if (judged.every((verdict) => verdict === true)) return null;
    if (judged.every((verdict) => typeof verdict === "boolean")) return judged;
    return Promise.all(judged.map(async (verdict) => await allowedOf(verdict)));
  }

  #judgeFilter(access: Access, action: number, filter: string): boolean | Promise<boolean> {
    const { identity, rules, deniesSubscribe } = access;
    const answer: Answer = mayUseFilter(rules, identity, action, filter);
    if (answer === null) return rules.question?.ask(identity, action, filter) ?? false;
    if (!answer) return false;
    return action !== SUBSCRIBE || !deniesSubscribe || mayReadAll(rules, identity, filter);
  }

  /** Whether the Session, which is still there, may publish its will. */
  judgeWill({ topicAt, topicBytes }: Will, session: number): WillVerdict {
    const { calls } = this.#engine;
    // Judged when it came: see allowsWill().
    if (this.#keyOf(session) === OWN_RULES) return true;
    const judged = calls.mayPublishWill(session, topicAt, topicBytes);
    if (judged >= 0) return judged === 1;
    const { identity, rules } = this.#ownerOf(session);
    const topic = this.#engine.text(topicAt, topicBytes);
    return allowedOf(rules?.question?.ask(identity, WRITE, topic) ?? false);
  }

  /** Judges who published the retained message that SCRATCH tells of. */
  judgeSource(): void {
    const engine = this.#engine;
    const topicBytes = engine.word(abi.SCRATCH + abi.A_TOPIC_BYTES);
    const topicAt = abi.SCRATCH + abi.A_TOPIC;
    const topic = engine.text(topicAt, topicBytes);
    const publisherBytes = engine.word(abi.SCRATCH + abi.A_PACKET_ID);
    const publisher = engine.text(topicAt + topicBytes, publisherBytes);
    const [clientId = "", userName = ""] = publisher.split("\0");
    const identity = { clientId, userName, rules: null };
    // Where several decide it is not known which of them did: then nobody does.
    const rules = this.#decidings.ofListener(NO_KEY)?.authorizer?.rulesOf(identity) ?? null;
    const isAllowed = rules === null || mayWrite(rules, identity, topic);
    engine.calls.judgeSource(engine.word(abi.SCRATCH + abi.A_FIRST), isAllowed ? 1 : 0);
  }

  /**
   * Acts on R_ACCESS: what is to be done stands in SCRATCH.
   *
   * @param goOn  called when it is answered later, with the connection still open
   * @returns true where it is answered, and the connection goes on at once
   */
  act(connection: NetworkConnection, goOn: () => void): boolean {
    const engine = this.#engine;
    const topicBytes = engine.word(abi.SCRATCH + abi.A_TOPIC_BYTES);
    const topic = engine.text(abi.SCRATCH + abi.A_TOPIC, topicBytes);
    if (engine.word(abi.SCRATCH + abi.A_KIND) === abi.A_DENIED) {
      this.#tellDenied(connection, topic);
      engine.calls.answerAccess(connection.session, 0, 0, 0, 0);
      return true;
    }
    const access = this.#accesses.get(connection);
    const question = access?.rules.question;
    if (access === undefined || question === undefined) {
      engine.calls.answerAccess(connection.session, 0, 0, 0, 0);
      return true;
    }
    const answer = question.ask(access.identity, WRITE, topic);
    if (typeof answer === "boolean") {
      this.#answer(connection, topic, answer, question.holdsSeconds);
      return true;
    }
    allowedOf(answer).then((isAllowed) => {
      if (connection.phase !== "open") return;
      this.#answer(connection, topic, isAllowed, question.holdsSeconds);
      goOn();
    });
    return false;
  }

  #answer(connection: NetworkConnection, topic: string, isAllowed: boolean, seconds: number): void {
    const { calls, scratch } = this.#engine;
    // What holds for no time is the answer about this PUBLISH only.
    const topicBytes = seconds === 0 ? 0 : scratch.write(topic);
    calls.answerAccess(connection.session, isAllowed ? 1 : 0, abi.SCRATCH, topicBytes, seconds);
  }

  /** As mosquitto words it. */
  #tellDenied(connection: NetworkConnection, topic: string): void {
    const engine = this.#engine;
    const first = engine.word(abi.SCRATCH + abi.A_FIRST);
    const packetIdentifier = engine.word(abi.SCRATCH + abi.A_PACKET_ID);
    const payloadBytes = engine.word(abi.SCRATCH + abi.A_PAYLOAD_BYTES);
    const flags = [
      `d${first & FLAG_DUP ? 1 : 0}`,
      `q${(first >> FLAG_QOS_SHIFT) & 3}`,
      `r${first & FLAG_RETAIN ? 1 : 0}`,
      `m${packetIdentifier}`,
    ];
    this.#log.debug(
      `Denied PUBLISH from ${loggedName(connection.clientId)} ` +
        `(${flags.join(", ")}, '${loggedName(topic)}', ... (${payloadBytes} bytes))`,
    );
  }

  /**
   * Rules have changed: each Session gets those of now, connected ones at once, the others in
   * slices.
   *
   * @returns a promise that settles when all have them
   */
  async renew(): Promise<void> {
    const renewal = ++this.#renewal;
    this.#tellEngine();
    for (const connection of this.#turn.all()) {
      const access = this.#accesses.get(connection);
      if (connection.session !== 0) this.#renewConnected(connection, access);
    }
    const { calls } = this.#engine;
    if (!this.#decidings.isActive() && calls.ruleSetCount() === 0) return;
    let number = 1;
    while (number !== 0 && renewal === this.#renewal) {
      const due = performance.now() + RENEWED_MILLISECONDS_MAX;
      do number = this.#renewNext(number);
      while (number !== 0 && performance.now() < due);
      if (number !== 0) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #renewConnected(connection: NetworkConnection, access: Access | undefined): void {
    const { clientId, userName } = connection;
    const identity = access?.identity ?? { clientId, userName, rules: null };
    if (identity.rules !== null) return;
    const { authorizer, deniesSubscribe } = this.#decidings.of(connection.rules.access);
    const rules = authorizer?.rulesOf(identity) ?? null;
    this.#setRules(connection.session, rules);
    if (rules === null) this.#accesses.delete(connection);
    else this.#accesses.set(connection, { identity, rules, deniesSubscribe });
  }

  /**
   * Renews the rules of the next Sessions whose clients are away.
   *
   * @param from  number of the first that may be next
   * @returns the number to go on with; 0: there are no more
   */
  #renewNext(from: number): number {
    const { calls } = this.#engine;
    const end = calls.nextSessionNumber() >>> 0;
    for (let number = from; number < Math.min(end, from + RENEWED_AT_ONCE); number++) {
      const session = calls.sessionOfNumber(number) >>> 0;
      if (session !== 0) this.#renewAway(session);
    }
    return from + RENEWED_AT_ONCE < end ? from + RENEWED_AT_ONCE : 0;
  }

  #renewAway(session: number): void {
    const engine = this.#engine;
    if (engine.word(session + abi.SESSION_CONNECTION) !== 0) return;
    const at = engine.word(session + abi.SESSION_ID_AT);
    const idBytes = engine.word(session + abi.SESSION_ID_BYTES);
    // It is no client's: its members are judged.
    if (idBytes > 0 && engine.bytes[at] === 0) return;
    // What it may read is judged again when its client is back, by what that shows then.
    if (this.#keyOf(session) === OWN_RULES) return;
    this.#setRules(session, this.#ownerOf(session).rules);
  }

  /** Whose Session it is, as is kept with it. */
  #identityOf(session: number): Identity {
    const engine = this.#engine;
    const at = engine.word(session + abi.SESSION_ID_AT);
    const idBytes = engine.word(session + abi.SESSION_ID_BYTES);
    const userBytes = engine.word(session + abi.SESSION_USER_BYTES) & 0xffff;
    const userName = engine.text(at + idBytes + 1, userBytes);
    return { clientId: engine.text(at, idBytes), userName, rules: null };
  }

  /** The same, and what that client may do now. */
  #ownerOf(session: number): { readonly identity: Identity; readonly rules: AccessRules | null } {
    const identity = this.#identityOf(session);
    const key = this.#keyOf(session);
    const deciding = this.#decidings.ofListener(key);
    // Of what was kept when nobody decided there is no key.
    if (deciding === null) return { identity, rules: key === 0 ? null : NOTHING };
    return { identity, rules: deciding.authorizer?.rulesOf(identity) ?? null };
  }

  #keyOf(session: number): number {
    return this.#engine.word(session + abi.SESSION_USER_BYTES) >>> 16;
  }
}

/** Who cannot be asked allows nothing. */
async function allowedOf(answer: boolean | Promise<boolean>): Promise<boolean> {
  try {
    return await answer;
  } catch {
    return false;
  }
}
