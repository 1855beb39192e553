/** Builds everything a broker is made of, and owns its start and its stop. */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import * as abi from "#assembly/abi";
import { KEEP_ALIVE_TIMEOUT, SERVER_SHUTTING_DOWN } from "#assembly/spec";
import { SysTopics } from "./admin/sys-topics.ts";
import { STOP_FLUSH_MILLISECONDS_MAX } from "./base/limits.ts";
import type { Log } from "./base/log.ts";
import { readVersion } from "./base/version.ts";
import type { ListenerSettings, Settings } from "./config/settings.ts";
import { Engine } from "./engine/engine.ts";
import type { Wire } from "./engine/wire.ts";
import { Dispatch } from "./protocol/dispatch.ts";
import type { Plane } from "./protocol/plane.ts";
import { unixSeconds } from "./protocol/plane.ts";
import { KeepAlive } from "./session/keep-alive.ts";
import type { ListenerRules, NetworkConnection } from "./session/network-connection.ts";
import { Sessions } from "./session/sessions.ts";
import { Turn } from "./session/turn.ts";
import { Wills } from "./session/wills.ts";
import type { TransportHandlers, TransportListener } from "./transport/listener.ts";
import { listenTcp } from "./transport/tcp.ts";
import { probeRawStreams } from "./transport/tcp-probe.ts";
import type { RawStreams } from "./transport/tcp-raw.ts";
import { listenWebSocket } from "./transport/websocket.ts";

export interface RunningBroker {
  readonly listeners: readonly {
    readonly protocol: "mqtt" | "websockets";
    readonly address: string;
    readonly port: number;
  }[];
  /** How bytes get from the kernel into the engine, in words. */
  readonly readPath: string;
  /** What survives what, in words. */
  readonly durability: string;
  /** Closes all connections in order; settles when nothing is left, within 4 s. */
  stop(reason: string): Promise<void>;
}

const TICK_MILLISECONDS = 500;

/** A WebSocket frame may hold many packets, however small each has to be. */
const FRAME_BYTES_MIN = 1024 * 1024;

/** u32 and i32 have no infinity. */
function bounded(value: number, max: number): number {
  return Math.min(value, max);
}

function startEngine(settings: Settings): Engine {
  const build = process.env["HOLDFAST_ENGINE"] === "debug" ? "debug" : "release";
  const engine = new Engine({ build, memoryBytesMax: settings.memoryBytesMax });
  engine.calls.setHashSeed(randomBytes(8).readBigUInt64LE());
  engine.calls.setSessionSeed(randomBytes(8).readBigUInt64LE());
  engine.calls.configure(
    settings.packetBytesMax,
    settings.receiveMaximum,
    settings.inflightMessagesMax,
    bounded(settings.queuedMessagesMax, 2 ** 30),
    bounded(settings.queuedBytesMax, 2 ** 52),
    settings.outgoingBytesMax,
    settings.topicAliasMax,
    settings.payloadBytesMax,
    settings.retainAvailable ? 1 : 0,
  );
  return engine;
}

class Broker implements RunningBroker {
  readonly #settings: Settings;
  readonly #log: Log;
  readonly #engine: Engine;
  readonly #turn: Turn;
  readonly #keepAlive: KeepAlive;
  readonly #sessions: Sessions;
  readonly #wills: Wills;
  readonly #dispatch: Dispatch;
  readonly #listeners: TransportListener[] = [];
  readonly #places: { protocol: "mqtt" | "websockets"; address: string; port: number }[] = [];
  /** Connections of each listener. */
  readonly #counts = new Map<ListenerRules, number>();
  readonly #sysTopics: SysTopics;
  #sysDueSeconds = 0;
  #ticker: NodeJS.Timeout | null = null;
  #streams: RawStreams | null = null;
  readPath = "public sockets, one copy";
  readonly durability = "memory (Sessions end with the process)";

  constructor(settings: Settings, log: Log) {
    this.#settings = settings;
    this.#log = log;
    this.#engine = startEngine(settings);
    this.#turn = new Turn(this.#engine);
    const now = unixSeconds();
    this.#wills = new Wills(this.#engine, this.#turn, now);
    this.#sessions = new Sessions(this.#engine, this.#wills, now);
    this.#keepAlive = new KeepAlive(this.#engine, now, (connection) =>
      this.#dispatch.close(connection, KEEP_ALIVE_TIMEOUT),
    );
    const plane: Plane = {
      engine: this.#engine,
      turn: this.#turn,
      sessions: this.#sessions,
      wills: this.#wills,
      keepAlive: this.#keepAlive,
      settings,
      log,
    };
    this.#dispatch = new Dispatch(plane, (connection) => this.#closed(connection));
    this.#turn.start(this.#dispatch);
    this.#sysTopics = new SysTopics({ ...plane, version: readVersion() });
  }

  get listeners(): RunningBroker["listeners"] {
    return this.#places;
  }

  async start(): Promise<void> {
    if (process.env["HOLDFAST_READ_PATH"] !== "public") {
      this.#streams = await probeRawStreams(this.#engine, this.#turn);
    }
    if (this.#streams !== null) this.readPath = "raw handles into engine memory, no copy";
    try {
      for (const listener of this.#settings.listeners) await this.#listen(listener);
    } catch (error) {
      for (const listener of this.#listeners) listener.close();
      throw error;
    }
    this.#ticker = setInterval(() => this.#tick(), TICK_MILLISECONDS);
  }

  async #listen(listener: ListenerSettings): Promise<void> {
    const rules = { port: listener.port, allowAnonymous: listener.allowAnonymous };
    this.#counts.set(rules, 0);
    const common = {
      engine: this.#engine,
      turn: this.#turn,
      address: listener.address,
      port: listener.port,
      handlers: this.#handlersFor(rules),
    };
    const mayOpen = (): boolean => (this.#counts.get(rules) ?? 0) < listener.connectionsMax;
    const opened =
      listener.protocol === "mqtt"
        ? await listenTcp({ ...common, streams: this.#streams, mayOpen })
        : await listenWebSocket({
            ...common,
            mayOpen,
            frameBytesMax: Math.max(this.#settings.packetBytesMax, FRAME_BYTES_MIN),
            log: this.#log,
          });
    this.#listeners.push(opened);
    const { protocol, address } = listener;
    this.#places.push({ protocol, address: address === "" ? "*" : address, port: opened.port });
  }

  #handlersFor(rules: ListenerRules): TransportHandlers {
    return {
      onOpen: (wire: Wire) => {
        const connection = this.#turn.open(wire, rules);
        if (connection === null) return null;
        this.#counts.set(rules, (this.#counts.get(rules) ?? 0) + 1);
        this.#keepAlive.watchConnect(connection, unixSeconds());
        return connection;
      },
      onEnd: (connection, reason) => this.#dispatch.lost(connection, reason),
    };
  }

  #closed(connection: NetworkConnection): void {
    this.#keepAlive.unwatch(connection);
    const { rules } = connection;
    this.#counts.set(rules, (this.#counts.get(rules) ?? 1) - 1);
  }

  #tick(): void {
    const now = unixSeconds();
    this.#engine.calls.setClock(Date.now());
    this.#keepAlive.tick(now);
    this.#sessions.tick(now);
    this.#wills.tick(now);
    this.#publishSys(now);
    this.#turn.schedule();
  }

  /** Times are whole multiples of the interval, as mosquitto's. */
  #publishSys(now: number): void {
    const interval = this.#settings.sysIntervalSeconds;
    if (interval === 0 || now < this.#sysDueSeconds) return;
    this.#sysDueSeconds = now - (now % interval) + interval;
    this.#sysTopics.publish();
  }

  async stop(reason: string): Promise<void> {
    if (this.#ticker !== null) clearInterval(this.#ticker);
    for (const listener of this.#listeners) listener.stop();
    const connections = this.#turn.all();
    this.#log.debug(`stop (${reason}): ${connections.length} connections to close`);
    for (const connection of connections) {
      connection.closeReason = "the broker stops";
      this.#dispatch.close(connection, SERVER_SHUTTING_DOWN);
    }
    const end = Date.now() + STOP_FLUSH_MILLISECONDS_MAX;
    while (this.#turn.openCount > 0 && Date.now() < end) await sleep(10);
    for (const listener of this.#listeners) listener.close();
    const left = this.#turn.openCount;
    if (left > 0) this.#log.warn(`${left} connections did not take their last packet and were cut`);
    const sent = this.#engine.counter(abi.S_PUBLISH_SENT);
    this.#log.debug(`${sent} messages were delivered`);
  }
}

/**
 * Starts a broker.
 *
 * @throws StartError with a sentence for whoever starts it
 */
export async function startBroker(settings: Settings, log: Log): Promise<RunningBroker> {
  const broker = new Broker(settings, log);
  await broker.start();
  return broker;
}
