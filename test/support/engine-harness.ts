/**
 * A broker without sockets: the engine and the control plane wired as broker.ts wires them, with
 * Network Connections that live in memory.
 *
 * Nothing happens by itself: bytes go in with `send`, turns of the event loop pass with `settle`,
 * the clock stands still until `advance`. A trap or a failed assertion inside a turn is kept and
 * thrown to whoever waits for the turn.
 */

import * as abi from "#assembly/abi";
import { KEEP_ALIVE_TIMEOUT } from "#assembly/spec";
import { AccessDomain } from "../../src/access/domain.ts";
import type { Authenticator } from "../../src/access/identity.ts";
import { PasswordHasher } from "../../src/access/password-hasher.ts";
import type { ScramCredentials } from "../../src/access/scram-credentials.ts";
import { machine } from "../../src/base/clock.ts";
import type { Log } from "../../src/base/log.ts";
import { configure } from "../../src/config/configuration.ts";
import { NO_FLAGS, type Settings } from "../../src/config/settings.ts";
import { Engine, type EngineBuild } from "../../src/engine/engine.ts";
import { Authorization, type Decidings } from "../../src/protocol/authorization.ts";
import { Dispatch } from "../../src/protocol/dispatch.ts";
import type { Plane } from "../../src/protocol/plane.ts";
import { KeepAlive } from "../../src/session/keep-alive.ts";
import type { ListenerRules, NetworkConnection } from "../../src/session/network-connection.ts";
import { Sessions } from "../../src/session/sessions.ts";
import { Turn } from "../../src/session/turn.ts";
import { Wills } from "../../src/session/wills.ts";
import { MemoryWire } from "./engine-harness-wire.ts";
import { LISTENER_RULES } from "./listener-rules.ts";

const { HOLDFAST_ENGINE } = process.env;

/** The build that the suites run on: HOLDFAST_ENGINE, release where it says nothing. */
export const ENGINE_BUILD: EngineBuild = HOLDFAST_ENGINE === "debug" ? "debug" : "release";

/** A heap that no test fills by accident, bytes. */
const MEMORY_BYTES_MAX = 512 * 1024 * 1024;

/** u32 and f64 have no infinity. */
const QUEUED_MAX = 2 ** 30;

/** Turns after which a broker that still has something to do is taken for stuck. */
const TURNS_MAX = 100_000;

/** Turns between the answer to a promise and what comes of it, at most. */
const LATE_TURNS = 8;

/** How far advance() has moved the time of this process, milliseconds. */
let shiftedMs = 0;
/** By how much setMachineClock() has set the machine's clock, milliseconds. */
let setByMs = 0;
const realNow = Date.now;
Date.now = () => realNow() + shiftedMs + setByMs;
machine.monotonicMs = () => Date.now() - setByMs;

/** What of the defaults of a broker a test changes. */
export type HarnessSettings = Partial<Omit<Settings, "listeners" | "log">>;

/** The client's end of a connection, and the broker's. */
export interface Peer {
  readonly connection: NetworkConnection;
  readonly wire: MemoryWire;
}

type EngineCall = (...values: number[]) => number;

export class EngineHarness {
  readonly settings: Settings;
  readonly engine: Engine;
  readonly turn: Turn;
  readonly sessions: Sessions;
  readonly wills: Wills;
  readonly keepAlive: KeepAlive;
  /** Who may connect. */
  readonly domain: AccessDomain;
  readonly authorization: Authorization;
  readonly dispatch: Dispatch;
  /** What was logged as a warning. */
  readonly warnings: string[] = [];
  /** What was logged as a notice, where a test asks for it with an empty list. */
  notices: string[] | null = null;
  /** The same of what is logged for debugging. */
  debugs: string[] | null = null;
  /** Unix time of the engine, milliseconds. */
  nowMs = Date.now();
  /** How far that is ahead of the machine's clock, which was set back, milliseconds. */
  #aheadMs = 0;
  #monotonicMs = machine.monotonicMs();
  /** Turns that have passed. */
  turnCount = 0;
  readonly #peers = new Map<NetworkConnection, Peer>();
  readonly #senders = new Set<Peer>();
  #fault: unknown = null;

  constructor(
    changes: HarnessSettings = {},
    credentials: ScramCredentials | null = null,
    authenticators: readonly Authenticator[] = [],
    decide: Partial<Decidings> = {},
  ) {
    const defaults = configure(null, NO_FLAGS).settings;
    this.settings = {
      ...defaults,
      memoryBytesMax: MEMORY_BYTES_MAX,
      refusalDelayMillisecondsMax: 0,
      overloadMilliseconds: Number.POSITIVE_INFINITY,
      ...changes,
    };
    this.engine = this.#startEngine();
    this.turn = new Turn(this.engine);
    const now = this.nowSeconds;
    this.wills = new Wills(this.engine, this.turn, now);
    this.sessions = new Sessions(this.engine, this.wills);
    this.keepAlive = new KeepAlive(this.engine, this.#monotonicSeconds, (connection) =>
      this.dispatch.close(connection, KEEP_ALIVE_TIMEOUT),
    );
    const { engine, turn, sessions, wills, keepAlive, settings } = this;
    const log = this.#recordingLog();
    const hasher = new PasswordHasher();
    const nobody = { authorizer: null, deniesSubscribe: false };
    const files = { credentials, authenticators, ...nobody };
    this.domain = new AccessDomain(files, { hasher, log });
    const { domain } = this;
    const access = { of: () => domain };
    const decidings = {
      ...access,
      ofListener: () => null,
      isActive: () => false,
      checksSources: () => false,
      areSeveral: () => false,
      ...decide,
    };
    this.authorization = new Authorization({ engine, turn, log }, decidings);
    const { authorization } = this;
    const parts = { engine, turn, sessions, wills, keepAlive, access, authorization };
    const plane: Plane = { ...parts, settings, log };
    this.dispatch = new Dispatch(plane, (connection) => this.#peers.delete(connection));
    this.turn.start(this.dispatch);
  }

  get nowSeconds(): number {
    return Math.floor(this.nowMs / 1000);
  }

  get #monotonicSeconds(): number {
    return Math.floor(this.#monotonicMs / 1000);
  }

  /** The engine's exports, each keeping what it throws; the clock is the harness's. */
  #startEngine(): Engine {
    const { settings } = this;
    const engine = new Engine({ build: ENGINE_BUILD, memoryBytesMax: settings.memoryBytesMax });
    // The engine's clock never goes back, and it has just been set.
    this.nowMs = Date.now();
    const raw = engine.calls as unknown as Record<string, EngineCall>;
    const guarded: Record<string, EngineCall> = {};
    for (const [name, call] of Object.entries(raw)) guarded[name] = this.#guard(call);
    const setClock = guarded["setClock"] as EngineCall;
    // Only Turn sets the clock, once a turn.
    guarded["setClock"] = () => {
      this.turnCount++;
      return setClock(this.nowMs, this.#monotonicSeconds);
    };
    Object.defineProperty(engine, "calls", { value: guarded });
    engine.calls.setHashSeed(1n);
    engine.calls.setSessionSeed(1n);
    engine.calls.configure(
      settings.packetBytesMax,
      settings.receiveMaximum,
      settings.inflightMessagesMax,
      Math.min(settings.queuedMessagesMax, QUEUED_MAX),
      Math.min(settings.queuedBytesMax, 2 ** 52),
      settings.outgoingBytesMax,
      settings.topicAliasMax,
      settings.payloadBytesMax,
      settings.retainAvailable ? 1 : 0,
      settings.topicAliasOutMax,
    );
    const { queueOverflow, queueQos0, messageExpirySecondsMax, retainedExpirySecondsMax } =
      settings;
    engine.calls.configureQueues(
      ["drop-oldest", "drop-newest", "reject"].indexOf(queueOverflow),
      queueQos0 ? 1 : 0,
      Number.isFinite(messageExpirySecondsMax) ? messageExpirySecondsMax : 0,
      Number.isFinite(retainedExpirySecondsMax) ? retainedExpirySecondsMax : 0,
    );
    engine.calls.setPayloadsChecked(settings.payloadUtf8Checked ? 1 : 0);
    const strategies = ["round-robin", "least-inflight", "sticky-by-publisher"];
    engine.calls.configureShared(strategies.indexOf(settings.sharedStrategy));
    setClock(this.nowMs, this.#monotonicSeconds);
    return engine;
  }

  #guard(call: EngineCall): EngineCall {
    return (...values) => {
      try {
        return call(...values);
      } catch (error) {
        this.#fault ??= error;
        return 0;
      }
    };
  }

  /** True once the engine trapped: nothing more can be had of it. */
  get isBroken(): boolean {
    return this.#fault !== null;
  }

  #throwFault(): void {
    if (this.#fault !== null) throw this.#fault;
  }

  /** A new Network Connection, before its CONNECT. */
  open(listener: ListenerRules = LISTENER_RULES): Peer {
    const wire = new MemoryWire(this.engine, this.turn);
    const connection = this.turn.open(wire, listener);
    if (connection === null) throw new Error("no connection is free");
    wire.connection = connection;
    const peer = { connection, wire };
    this.#peers.set(connection, peer);
    this.keepAlive.watchConnect(connection, this.#monotonicSeconds);
    return peer;
  }

  /**
   * Sends bytes to the broker, a chunk of READ_BYTES at a time; what it does not read now it reads
   * in a later turn. On a connection that the broker closed they are lost.
   */
  send(peer: Peer, bytes: Uint8Array): void {
    if (peer.wire.isEnded) return;
    for (let at = 0; at < bytes.length; at += abi.READ_BYTES) {
      peer.wire.inbox.push(bytes.subarray(at, at + abi.READ_BYTES));
    }
    if (!this.#deliver(peer)) this.#senders.add(peer);
    this.#throwFault();
  }

  /** @returns whether all that was sent is read */
  #deliver(peer: Peer): boolean {
    const { wire, connection } = peer;
    while (wire.inbox.length > 0 && wire.isReading) {
      const chunk = wire.inbox.shift() as Uint8Array;
      // Not Buffer's own writes: they fail in a buffer of 4 GiB.
      this.engine.bytes.set(chunk, abi.READ);
      this.turn.received(connection, chunk.length);
    }
    if (wire.isEnded) wire.inbox.length = 0;
    return wire.inbox.length === 0;
  }

  /** Lets one turn of the event loop pass. */
  async turnOnce(): Promise<void> {
    for (const peer of this.#senders) {
      if (this.#deliver(peer)) this.#senders.delete(peer);
    }
    await new Promise((resolve) => setImmediate(resolve));
    this.#throwFault();
  }

  /** Lets turns pass until the broker has nothing more to do. */
  async settle(): Promise<void> {
    for (let turns = 0; turns < TURNS_MAX; turns++) {
      const before = this.turnCount;
      await this.turnOnce();
      if (this.turnCount === before && ![...this.#senders].some(canBeRead)) return;
    }
    throw new Error(`the broker is not done after ${TURNS_MAX} turns`);
  }

  /** The same where promises settle, which are acted on behind the turn in which they do. */
  async settleLate(): Promise<void> {
    for (let turn = 0; turn < LATE_TURNS; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
      await this.settle();
    }
  }

  /** The peer is gone without a word. */
  hangUp(peer: Peer): void {
    const { connection, wire } = peer;
    if (!wire.isEnded) this.dispatch.lost(connection, "closed");
    wire.cut();
    this.#throwFault();
  }

  /** Lets time pass, for the whole process, and what is due happen; turns do not pass. */
  advance(seconds: number): void {
    shiftedMs += seconds * 1000;
    this.nowMs += seconds * 1000;
    this.#monotonicMs += seconds * 1000;
    this.#tick();
  }

  /**
   * Sets the clock of the machine, for the whole process, forward or back; no time passes. Unix
   * time is what src/base/clock.ts makes of that.
   */
  setMachineClock(seconds: number): void {
    setByMs += seconds * 1000;
    this.#aheadMs -= seconds * 1000;
    this.nowMs += Math.max(-this.#aheadMs, 0);
    this.#aheadMs = Math.max(this.#aheadMs, 0);
    this.#tick();
  }

  /** As the broker's. */
  #tick(): void {
    this.engine.calls.setClock(this.nowMs);
    this.keepAlive.tick(this.#monotonicSeconds);
    this.sessions.tick(this.nowSeconds);
    this.wills.tick(this.nowSeconds);
    const wallSeconds = Math.floor((this.nowMs - this.#aheadMs) / 1000);
    this.dispatch.tick(this.#monotonicSeconds, wallSeconds);
    this.turn.schedule();
  }

  /**
   * Ends everything: connections, Sessions, retained messages, caches.
   *
   * @param dollarLevels  first levels with `$` under which messages may be retained
   */
  async clear(dollarLevels: Iterable<string> = ["$SYS"]): Promise<void> {
    for (const peer of [...this.#peers.values()]) this.hangUp(peer);
    await this.settle();
    this.endSessions();
    await this.settle();
    const { calls } = this.engine;
    this.dropRetained("#");
    for (const level of dollarLevels) this.dropRetained(`${level}/#`);
    calls.clearCache();
    calls.freeSpare();
    calls.freeSessionTable();
    this.#throwFault();
  }

  /** Ends all Sessions, as a clean start of their clients would. */
  endSessions(): void {
    const { calls } = this.engine;
    for (let session = calls.sessionAfter(0) >>> 0; session !== 0; ) {
      this.sessions.end(session);
      session = calls.sessionAfter(0) >>> 0;
    }
  }

  dropRetained(filter: string): void {
    const bytes = Buffer.from(filter);
    this.engine.scratch.set(bytes);
    this.engine.calls.dropRetained(abi.SCRATCH, bytes.length);
    this.engine.calls.dropUnindexed();
  }

  #recordingLog(): Log {
    const ignore = (): void => undefined;
    return {
      error: ignore,
      warn: (text) => this.warnings.push(text),
      notice: (text) => this.notices?.push(text),
      info: ignore,
      debug: (text) => this.debugs?.push(text),
      subscribe: ignore,
      unsubscribe: ignore,
      has: (kind) =>
        (kind === "notice" && this.notices !== null) || (kind === "debug" && this.debugs !== null),
      close: async () => undefined,
    };
  }

  /** What the engine's heap holds. */
  heap(): { readonly blocks: number; readonly bytes: number } {
    const { calls } = this.engine;
    return { blocks: calls.heapBlocksUsed(), bytes: Number(calls.heapBytesUsed()) };
  }

  /** The Session of a Client Identifier; 0 = none. */
  sessionOf(clientIdentifier: string): number {
    const bytes = Buffer.from(clientIdentifier);
    this.engine.scratch.set(bytes);
    return this.sessions.find(abi.SCRATCH, bytes.length);
  }
}

function canBeRead({ wire }: Peer): boolean {
  return wire.isReading || wire.isEnded;
}
