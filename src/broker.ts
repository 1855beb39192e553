import { setTimeout as sleep } from "node:timers/promises";
import * as abi from "#assembly/abi";
import {
  KEEP_ALIVE_TIMEOUT,
  SERVER_MOVED,
  SERVER_SHUTTING_DOWN,
  USE_ANOTHER_SERVER,
} from "#assembly/spec";
import { controlEndpoints } from "./access/broker-control.ts";
import type { AccessDomain } from "./access/domain.ts";
import { AccessDomains } from "./access/domains.ts";
import { publishLog } from "./admin/own-messages.ts";
import { SysTopics } from "./admin/sys-topics.ts";
import { monotonicSeconds, notBefore, takeClockStep } from "./base/clock.ts";
import { StartError } from "./base/errors.ts";
import {
  SEAL_MILLISECONDS,
  STOP_FLUSH_MILLISECONDS_MAX,
  STORE_STOP_MILLISECONDS_MAX,
  webSocketFrameBytesMax,
} from "./base/limits.ts";
import type { OpenLog } from "./base/log.ts";
import { readVersion } from "./base/version.ts";
import type {
  AccessSettings,
  ListenerSettings,
  RedirectSettings,
  Settings,
} from "./config/settings.ts";
import type { Engine } from "./engine/engine.ts";
import type { Wire } from "./engine/wire.ts";
import { Authorization } from "./protocol/authorization.ts";
import { ConnectionLimit } from "./protocol/connection-limit.ts";
import { Dispatch } from "./protocol/dispatch.ts";
import { restoreWills, storedWills } from "./protocol/kept-wills.ts";
import type { Plane } from "./protocol/plane.ts";
import { unixSeconds, wallSeconds } from "./protocol/plane.ts";
import { EngineLimits } from "./session/engine-limits.ts";
import { KeepAlive } from "./session/keep-alive.ts";
import { MemoryWatch } from "./session/memory-watch.ts";
import type { ListenerRules, NetworkConnection, Redirect } from "./session/network-connection.ts";
import { RetainedSweep } from "./session/retained-sweep.ts";
import { Sessions } from "./session/sessions.ts";
import { Turn } from "./session/turn.ts";
import { Wills } from "./session/wills.ts";
import { sealedPage } from "./store/engine-calls.ts";
import { openStore, type Store } from "./store/store.ts";
import type { TransportHandlers, TransportListener } from "./transport/listener.ts";
import { openListener } from "./transport/open-listener.ts";
import { Room } from "./transport/room.ts";
import { probeRawStreams, probeSecureStreams } from "./transport/tcp-probe.ts";
import type { RawStreams } from "./transport/tcp-raw.ts";

/** Where a listener is open. */
export interface OpenPlace {
  readonly protocol: "mqtt" | "websockets";
  readonly address: string;
  readonly port: number;
  /** A Unix socket in place of address and port; null: TCP. */
  readonly socketPath: string | null;
  readonly hasTls: boolean;
}

/** What whoever starts a broker does in between. */
export interface StartHooks {
  /** Users, rules and keys are read; what is kept on disk is not. */
  readonly beforeStore: () => void;
  /** A listener is about to open, and has opened. */
  readonly beforeListener: (listener: ListenerSettings) => void;
  readonly afterListener: () => void;
}

export interface RunningBroker {
  readonly listeners: readonly OpenPlace[];
  /** How bytes get from the kernel into the engine, in words. */
  readonly readPath: string;
  /** What survives what, in words. */
  readonly durability: string;
  /**
   * Takes over settings whose listeners are those that are open, and reads again the files that
   * these name: users, certificates, keys and revocation lists. Connections stay.
   */
  /** @returns how many faults there are; what they concern stays as it was */
  reload(settings: Settings): number;
  /** Puts everything that was acknowledged into the index; settles when it is there. */
  sync(): Promise<void>;
  /** What there is, in a line. */
  summary(): string;
  /** Closes all connections in order; settles when nothing is left, within 4 s. */
  stop(reason: string): Promise<void>;
}

const TICK_MILLISECONDS = 500;

const DURABILITY = {
  memory: "memory (Sessions end with the process)",
  process: "process (what is acknowledged survives the process, not a power cut)",
  fsync: "fsync (what is acknowledged survives a power cut)",
} as const;

/** What clients are told at the stop, if there is no other server for them. */
const STOPPING: Redirect = { reasonCode: SERVER_SHUTTING_DOWN, serverReference: "" };

function redirectOf(settings: RedirectSettings | null): Redirect | null {
  if (settings === null) return null;
  const { isPermanent, serverReference } = settings;
  return { reasonCode: isPermanent ? SERVER_MOVED : USE_ANOTHER_SERVER, serverReference };
}

function rulesOf(listener: ListenerSettings): ListenerRules {
  return { ...listener, redirect: redirectOf(listener.redirect) };
}

class Broker implements RunningBroker {
  /** A copy that all parts share: a reload changes it in place. */
  readonly #settings: Settings;
  readonly #log: OpenLog;
  readonly #limits: EngineLimits;
  readonly #engine: Engine;
  readonly #turn: Turn;
  readonly #keepAlive: KeepAlive;
  readonly #sessions: Sessions;
  readonly #wills: Wills;
  readonly #access: AccessDomains;
  readonly #authorization: Authorization;
  readonly #dispatch: Dispatch;
  readonly #retainedSweep: RetainedSweep;
  readonly #memoryWatch: MemoryWatch;
  readonly #listeners: TransportListener[] = [];
  readonly #places: OpenPlace[] = [];
  /** What each listener says of its connections, which share it: a reload changes it in place. */
  readonly #rules: ListenerRules[] = [];
  readonly #connectionLimit: ConnectionLimit;
  readonly #room: Room;
  #sysTopics: SysTopics | null = null;
  #sysDueSeconds = 0;
  #ticker: NodeJS.Timeout | null = null;
  #streams: RawStreams | null = null;
  #store: Store | null = null;
  readPath = "public sockets, one copy";
  readonly durability: string;

  constructor(settings: Settings, log: OpenLog) {
    this.#settings = { ...settings };
    this.#log = log;
    this.durability = DURABILITY[settings.durability];
    const accessSettings = settings.listeners.map(({ access }) => access);
    this.#access = new AccessDomains(accessSettings, log);
    this.#limits = new EngineLimits(this.#settings);
    this.#engine = this.#limits.engine;
    this.#turn = new Turn(this.#engine);
    this.#wills = new Wills(this.#engine, this.#turn, unixSeconds());
    this.#sessions = new Sessions(this.#engine, this.#wills);
    this.#keepAlive = new KeepAlive(this.#engine, monotonicSeconds(), (connection) =>
      this.#dispatch.close(connection, KEEP_ALIVE_TIMEOUT),
    );
    const { retainedSweepMinutes } = settings;
    this.#retainedSweep = new RetainedSweep(this.#engine, this.#turn, retainedSweepMinutes);
    this.#memoryWatch = new MemoryWatch(this.#engine, log);
    this.#authorization = this.#startAuthorization();
    this.#wills.judgeBy((will, session) => this.#authorization.judgeWill(will, session));
    this.#dispatch = new Dispatch(this.#plane(), (connection) => this.#closed(connection));
    this.#turn.start(this.#dispatch);
    const { tallies } = this.#dispatch;
    this.#connectionLimit = new ConnectionLimit({ ...this.#plane(), tallies });
    this.#room = new Room({ ...this.#plane(), listeners: this.#listeners });
    this.#useSecurities();
  }

  /** Who answers on control topics, and what its changes do to connections. */
  #useSecurities(): void {
    const { securities } = this.#access;
    this.#dispatch.controlTopics.use(controlEndpoints(this.#settings, securities));
    securities.connect((security) =>
      this.#dispatch.concernedBy(
        ({ access }) => securities.find(access) === security,
        () => void this.#authorization.renew(),
      ),
    );
  }

  #plane(): Plane {
    return {
      authorization: this.#authorization,
      engine: this.#engine,
      turn: this.#turn,
      sessions: this.#sessions,
      wills: this.#wills,
      keepAlive: this.#keepAlive,
      settings: this.#settings,
      access: this.#access,
      log: this.#log,
    };
  }

  #startAuthorization(): Authorization {
    const { engine, turn, log, access } = this.#plane();
    const areSeveral = (): boolean =>
      new Set(this.#settings.listeners.map((listener) => listener.access)).size > 1;
    const ofListener = (key: number): AccessDomain | null => {
      const { listeners } = this.#settings;
      // Where one decides for all it does not matter which way the client came.
      const listener = areSeveral() ? listeners.find((one) => one.key === key) : listeners[0];
      return listener === undefined ? null : access.of(listener.access);
    };
    const isActive = (): boolean =>
      this.#settings.listeners.some((one) => access.of(one.access).authorizer !== null);
    const checksSources = (): boolean => this.#settings.retainSourceChecked;
    const of = (settings: AccessSettings): AccessDomain => access.of(settings);
    const decidings = { of, ofListener, areSeveral, isActive, checksSources };
    return new Authorization({ engine, turn, log }, decidings);
  }

  get listeners(): RunningBroker["listeners"] {
    return this.#places;
  }

  async start(hooks: StartHooks): Promise<void> {
    const { durability } = this.#settings;
    hooks.beforeStore();
    if (durability !== "memory") this.#store = await this.#openStore(durability);
    const plane = this.#plane();
    this.#sysTopics = new SysTopics({
      ...plane,
      log: this.#log,
      tallies: this.#dispatch.tallies,
      hasher: this.#access.hasher,
      store: this.#store,
      version: readVersion(),
    });
    publishLog(this.#engine, this.#turn, this.#log);
    try {
      await this.#startListeners(hooks);
    } catch (error) {
      await this.#store?.close();
      throw error;
    }
    this.#ticker = setInterval(() => this.#tick(), TICK_MILLISECONDS);
  }

  /** What was kept is in the engine before anybody can connect. */
  async #openStore(durability: "fsync" | "process"): Promise<Store> {
    const store = await openStore({
      directory: this.#settings.dataDirectory,
      durability,
      storeBytesMax: this.#settings.storeBytesMax,
      log: this.#log,
      onWork: () => {
        this.#turn.resumeWaiting();
        this.#turn.schedule();
      },
      takeWills: () => storedWills(this.#engine, this.#wills),
    });
    try {
      const recovered = await store.recover(this.#engine);
      notBefore(this.#engine.calls.clockMs());
      const { sessionCount, retainedCount, tail, milliseconds } = recovered;
      this.#log.info(
        `Store ${this.#settings.dataDirectory}: ${sessionCount} Sessions, ${retainedCount} ` +
          `retained messages, ${tail.length} pages replayed, in ${Math.round(milliseconds)} ms`,
      );
      this.#turn.useStore(
        {
          commit: () => store.commit(sealedPage(this.#engine)),
          load: (number, session) => store.load(number, session),
        },
        SEAL_MILLISECONDS,
      );
      restoreWills(this.#engine, this.#wills, recovered.wills);
      // What expired while the broker was down is not there for who connects first.
      while (this.#sessions.tick(unixSeconds()));
      await this.#authorization.renew();
      return store;
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  async #startListeners(hooks: StartHooks): Promise<void> {
    if (process.env["HOLDFAST_READ_PATH"] !== "public") {
      this.#streams = await probeRawStreams(this.#engine, this.#turn);
    }
    if (this.#streams !== null) {
      this.readPath = "raw handles into engine memory, no copy";
      const hasTls = this.#settings.listeners.some(({ tls }) => tls !== null);
      this.#streams.takesSecure = hasTls && (await probeSecureStreams(this.#streams));
      if (hasTls && !this.#streams.takesSecure) this.readPath += "; TLS by public sockets";
    }
    this.#room.warn();
    try {
      for (const listener of this.#settings.listeners) {
        await this.#store?.idle();
        hooks.beforeListener(listener);
        await this.#listen(listener);
        hooks.afterListener();
      }
    } catch (error) {
      for (const listener of this.#listeners) listener.close();
      throw error;
    }
  }

  async #listen(listener: ListenerSettings): Promise<void> {
    const rules = rulesOf(listener);
    this.#rules.push(rules);
    const opened = await openListener(listener, {
      engine: this.#engine,
      turn: this.#turn,
      streams: this.#streams,
      log: this.#log,
      mayOpen: () =>
        this.#connectionLimit.mayOpen(rules, monotonicSeconds()) && this.#room.hasFiles(),
      hasFiles: () => this.#room.hasFiles(),
      handlers: this.#handlersFor(rules),
      frameBytesMax: () => webSocketFrameBytesMax(this.#settings.packetBytesMax),
    });
    this.#listeners.push(opened);
    const { protocol, address, socketPath, tls } = listener;
    this.#places.push({
      protocol,
      address: address === "" ? "*" : address,
      port: opened.port,
      socketPath,
      hasTls: tls !== null,
    });
  }

  #handlersFor(rules: ListenerRules): TransportHandlers {
    return {
      onOpen: (wire: Wire) => {
        const connection = this.#turn.open(wire, rules);
        if (connection === null) return null;
        if (this.#settings.connectionMessages) {
          this.#log.notice(`New connection from ${wire.remote} on port ${rules.port}.`);
        }
        this.#connectionLimit.opened(rules);
        this.#keepAlive.watchConnect(connection, monotonicSeconds());
        return connection;
      },
      onEnd: (connection, reason) => this.#dispatch.lost(connection, reason),
    };
  }

  #closed(connection: NetworkConnection): void {
    this.#keepAlive.unwatch(connection);
    this.#connectionLimit.closed(connection.rules);
  }

  #tick(): void {
    const step = takeClockStep();
    if (step !== null) this.#log.warn(step);
    const monotonic = monotonicSeconds();
    this.#engine.setClock();
    this.#keepAlive.tick(monotonic);
    this.#dispatch.tick(monotonic, wallSeconds());
    this.#connectionLimit.tick(monotonic);
    if (this.#sessions.tick(unixSeconds())) setImmediate(() => this.#expireMore());
    this.#wills.tick(unixSeconds());
    this.#retainedSweep.tick(monotonic);
    this.#memoryWatch.tick(monotonic);
    this.#publishSys(monotonic);
    this.#store?.tick(Date.now());
    this.#turn.tick();
    this.#turn.resumeWaiting();
    this.#turn.schedule();
  }

  /** More Sessions end in a second than one turn should end. */
  #expireMore(): void {
    if (this.#sessions.tick(unixSeconds())) setImmediate(() => this.#expireMore());
    this.#turn.schedule();
  }

  /** Times are whole multiples of the interval, as mosquitto's, by the monotonic clock. */
  #publishSys(now: number): void {
    const interval = this.#settings.sysIntervalSeconds;
    if (interval === 0 || now < this.#sysDueSeconds) return;
    this.#sysDueSeconds = now - (now % interval) + interval;
    this.#sysTopics?.publish();
  }

  reload(settings: Settings): number {
    const faults: string[] = [];
    const fault = this.#limits.change(settings);
    if (fault !== null) faults.push(fault);
    const changes = settings.listeners.flatMap(({ access }, index) => {
      const old = this.#rules[index];
      return old === undefined ? [] : [[old.access, access] as const];
    });
    for (const sentence of this.#access.reload(changes)) {
      faults.push(`${sentence}; who may connect stays as it was`);
    }
    const { queueRules } = this.#limits;
    Object.assign(this.#settings, settings, { queueRules });
    for (const [index, listener] of settings.listeners.entries()) {
      Object.assign(this.#rules[index] ?? {}, rulesOf(listener));
    }
    for (const sentence of this.#access.reloadSecurities()) {
      faults.push(`${sentence}; clients, groups and roles stay as they were`);
    }
    this.#dispatch.expelOutdated();
    void this.#authorization.renew();
    this.#retainedSweep.setInterval(settings.retainedSweepMinutes);
    this.#sysDueSeconds = 0;
    faults.push(...this.#reloadCertificates());
    for (const each of faults) this.#log.error(each);
    return faults.length;
  }

  /** @returns what is wrong with some of them */
  #reloadCertificates(): string[] {
    const faults: string[] = [];
    for (const listener of this.#listeners) {
      try {
        listener.reload((sentence) => this.#log.warn(sentence));
      } catch (error) {
        if (!(error instanceof StartError)) throw error;
        faults.push(`${error.message}; the listener on port ${listener.port} keeps what it has`);
      }
    }
    return faults;
  }

  async sync(): Promise<void> {
    if (this.#store === null) return;
    await this.#turn.flushPages();
    await this.#store.sync();
  }

  summary(): string {
    const { calls } = this.#engine;
    const connected = this.#engine.counter(abi.S_SESSIONS_CONNECTED);
    return [
      `${this.#turn.openCount} connections`,
      `${connected} of ${calls.sessionCount()} Sessions connected`,
      `${calls.subscriptionCount()} subscriptions`,
      `${calls.retainedCount()} retained messages`,
    ].join(", ");
  }

  async stop(reason: string): Promise<void> {
    if (this.#ticker !== null) clearInterval(this.#ticker);
    this.#sysTopics?.stop();
    this.#log.publishTo(null);
    for (const listener of this.#listeners) listener.stop();
    const connections = this.#turn.all();
    this.#log.debug(`stop (${reason}): ${connections.length} connections to close`);
    const { reasonCode, serverReference } = redirectOf(this.#settings.redirectOnStop) ?? STOPPING;
    for (const connection of connections) {
      connection.closeReason = "the broker stops";
      this.#dispatch.close(connection, reasonCode, serverReference);
    }
    const end = performance.now() + STOP_FLUSH_MILLISECONDS_MAX;
    while (this.#turn.openCount > 0 && performance.now() < end) await sleep(10);
    for (const listener of this.#listeners) listener.close();
    await Promise.race([this.#access.securities.settled(), sleep(STORE_STOP_MILLISECONDS_MAX)]);
    this.#access.close();
    this.#dispatch.stop();
    const left = this.#turn.openCount;
    if (left > 0) this.#log.warn(`${left} connections did not take their last packet and were cut`);
    // What the closing connections left behind is committed before the store closes.
    if (this.#store !== null) {
      await Promise.race([this.#turn.flushPages(), sleep(STORE_STOP_MILLISECONDS_MAX)]);
      await this.#store.close();
    }
    const sent = this.#engine.counter(abi.S_PUBLISH_SENT);
    this.#log.debug(`${sent} messages were delivered`);
  }
}

const NO_HOOKS: StartHooks = {
  beforeStore: () => undefined,
  beforeListener: () => undefined,
  afterListener: () => undefined,
};

/**
 * Starts a broker.
 *
 * @throws StartError with a sentence for whoever starts it
 */
export async function startBroker(
  settings: Settings,
  log: OpenLog,
  hooks: StartHooks = NO_HOOKS,
): Promise<RunningBroker> {
  const broker = new Broker(settings, log);
  await broker.start(hooks);
  return broker;
}
