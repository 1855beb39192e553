/**
 * `$SYS`: what the broker says of itself as retained messages, under mosquitto's names, and under
 * `$SYS/broker/holdfast/` what only this broker has. A value goes out when it changed.
 *
 * The numbers mean what mosquitto's mean, with two exceptions: what is stored, heap included, is
 * counted in the engine's memory; and what waits for the kernel (`packet/out`) is counted in the
 * blocks that packets are gathered in.
 */
import * as abi from "#assembly/abi";
import type { PasswordHasher } from "../access/password-hasher.ts";
import { Episode } from "../base/episode.ts";
import type { OpenLog } from "../base/log.ts";
import { LoopDelay } from "../base/loop-delay.ts";
import type { Engine } from "../engine/engine.ts";
import type { Tallies } from "../protocol/tallies.ts";
import type { Sessions } from "../session/sessions.ts";
import type { Turn } from "../session/turn.ts";
import type { Store } from "../store/store.ts";
import { LoadAverage } from "./load-averages.ts";
import { publishSys } from "./own-messages.ts";
import {
  connectionValues,
  engineValues,
  loginValues,
  processValues,
  storeValues,
  type Value,
} from "./own-values.ts";

export interface SysSource {
  readonly engine: Engine;
  readonly turn: Turn;
  readonly sessions: Sessions;
  readonly tallies: Tallies;
  readonly hasher: PasswordHasher;
  readonly log: OpenLog;
  /** Null where nothing is kept on disk. */
  readonly store: Store | null;
  readonly version: string;
}

const PREFIX = "$SYS/broker/";

/** Totals since the start, by the names that mosquitto has for their load averages. */
const LOADS = [
  "messages/received",
  "messages/sent",
  "publish/dropped",
  "publish/received",
  "publish/sent",
  "bytes/received",
  "bytes/sent",
  "sockets",
  "connections",
] as const;
type Totals = Readonly<Record<(typeof LOADS)[number], number>>;

const DROPS = [
  abi.S_DROPPED_SLOW,
  abi.S_DROPPED_QUEUE_FULL,
  abi.S_DROPPED_EXPIRED,
  abi.S_DROPPED_TOO_LARGE,
  abi.S_DROPPED_REPLACED,
  abi.S_DROPPED_MEMORY,
] as const;

export class SysTopics {
  readonly #source: SysSource;
  readonly #sent = new Map<string, string>();
  readonly #loads = LOADS.map((name) => new LoadAverage(`load/${name}`));
  readonly #loopDelay = new LoopDelay();
  readonly #startMs = performance.now();
  readonly #faults = new Episode();
  #publishedMs = 0;
  #clientsMax = 0;
  #heapMax = 0;

  constructor(source: SysSource) {
    this.#source = source;
  }

  /** Publishes all that changed since the last call. */
  publish(): void {
    const { engine, turn } = this.#source;
    for (const [name, value] of this.#values()) {
      const text = `${value}`;
      if (this.#sent.get(name) === text) continue;
      this.#sent.set(name, text);
      publishSys(engine, turn, `${PREFIX}${name}`, text);
    }
  }

  stop(): void {
    this.#loopDelay.stop();
  }

  #values(): Value[] {
    const { engine, hasher, log, store, tallies, version } = this.#source;
    const totals = this.#totals();
    const own = [
      ...engineValues(engine),
      ...connectionValues(tallies),
      ...loginValues(tallies, hasher),
      ...processValues(this.#loopDelay.take(), log.lostLines(), (why) => this.#fault(why)),
      ...storeValues(store),
    ];
    return [
      ["version", `holdfast version ${version}`],
      ["uptime", `${Math.floor((performance.now() - this.#startMs) / 1000)} seconds`],
      ...this.#clients(),
      ...this.#averages(totals),
      ...this.#stored(),
      ...this.#traffic(totals),
      ...own.map(([name, value]): Value => [`holdfast/${name}`, value]),
    ];
  }

  /** Most likely no file can be opened any more, which concerns everything else as well. */
  #fault(reason: string): void {
    if (!this.#faults.begins(performance.now())) return;
    this.#source.log.error(`the system does not tell how much memory is used: ${reason}`);
  }

  #totals(): Totals {
    const { engine, tallies, turn } = this.#source;
    const counter = (offset: number): number => engine.counter(offset);
    return {
      "messages/received": counter(abi.S_PACKETS_RECEIVED),
      "messages/sent": counter(abi.S_PACKETS_SENT) + counter(abi.S_PUBLISH_SENT),
      "publish/dropped": DROPS.reduce((sum, offset) => sum + counter(offset), 0),
      "publish/received": counter(abi.S_PUBLISH_RECEIVED),
      "publish/sent": counter(abi.S_PUBLISH_SENT),
      "bytes/received": counter(abi.S_BYTES_RECEIVED),
      "bytes/sent": counter(abi.S_BYTES_SENT),
      sockets: turn.openedCount,
      connections: tallies.connectCount,
    };
  }

  #averages(totals: Totals): Value[] {
    const now = performance.now();
    const seconds = this.#publishedMs === 0 ? 0 : (now - this.#publishedMs) / 1000;
    this.#publishedMs = now;
    return LOADS.flatMap((name, i) => this.#loads[i]?.values(totals[name], seconds) ?? []);
  }

  #clients(): Value[] {
    const { engine, sessions, turn } = this.#source;
    const total = engine.calls.sessionCount();
    const connected = engine.counter(abi.S_SESSIONS_CONNECTED);
    this.#clientsMax = Math.max(this.#clientsMax, total);
    return [
      ["clients/total", total],
      ["clients/maximum", this.#clientsMax],
      ["clients/connected", connected],
      ["clients/active", connected],
      ["clients/disconnected", total - connected],
      ["clients/inactive", total - connected],
      ["clients/expired", sessions.expiredCount],
      ["connections/socket/count", turn.openCount],
    ];
  }

  #traffic(totals: Totals): Value[] {
    const { engine, turn } = this.#source;
    return [
      ["messages/received", totals["messages/received"]],
      ["messages/sent", totals["messages/sent"]],
      ["bytes/received", totals["bytes/received"]],
      ["bytes/sent", totals["bytes/sent"]],
      ["publish/messages/dropped", totals["publish/dropped"]],
      ["publish/messages/received", totals["publish/received"]],
      ["publish/messages/sent", totals["publish/sent"]],
      ["publish/bytes/received", engine.counter(abi.S_PUBLISH_BYTES_RECEIVED)],
      ["publish/bytes/sent", engine.counter(abi.S_PUBLISH_BYTES_SENT)],
      ["packet/out/count", engine.counter(abi.S_OUT_BLOCKS)],
      ["packet/out/bytes", turn.unsentBytes()],
    ];
  }

  #stored(): Value[] {
    const { engine } = this.#source;
    const { calls } = engine;
    const used = Number(calls.heapBytesUsed());
    this.#heapMax = Math.max(this.#heapMax, used);
    return [
      ["messages/stored", engine.counter(abi.S_MESSAGES_STORED)],
      ["store/messages/count", engine.counter(abi.S_MESSAGES_STORED)],
      ["store/messages/bytes", engine.counter(abi.S_MESSAGE_BYTES_STORED)],
      ["subscriptions/count", calls.subscriptionCount()],
      ["shared_subscriptions/count", calls.sharedCount()],
      ["retained messages/count", calls.retainedCount()],
      ["heap/current", used],
      ["heap/maximum", this.#heapMax],
    ];
  }
}
