/**
 * `$SYS`: what the broker says of itself as retained messages, under mosquitto's names, and under
 * `$SYS/broker/holdfast/` what only this broker has. A value goes out when it changed.
 */
import * as abi from "#assembly/abi";
import type { Engine } from "../engine/engine.ts";
import { encodePublish } from "../session/publish-packet.ts";
import type { Sessions } from "../session/sessions.ts";
import type { Turn } from "../session/turn.ts";
import type { Store } from "../store/store.ts";

export interface SysSource {
  readonly engine: Engine;
  readonly turn: Turn;
  readonly sessions: Sessions;
  /** Null where nothing is kept on disk. */
  readonly store: Store | null;
  readonly version: string;
}

/** Milliseconds as a value shows them. */
function milliseconds(value: number): string {
  return value.toFixed(2);
}

/** QoS that mosquitto gives its `$SYS` messages. */
const SYS_QOS = 2;
const PREFIX = "$SYS/broker/";

export class SysTopics {
  readonly #source: SysSource;
  readonly #sent = new Map<string, string>();
  readonly #startMs = Date.now();
  #connectedMax = 0;
  #heapMax = 0;

  constructor(source: SysSource) {
    this.#source = source;
  }

  /** Publishes all that changed since the last call. */
  publish(): void {
    for (const [name, value] of this.#values()) {
      const text = `${value}`;
      if (this.#sent.get(name) === text) continue;
      this.#sent.set(name, text);
      this.#send(`${PREFIX}${name}`, text);
    }
  }

  #send(topic: string, text: string): void {
    const { engine, turn } = this.#source;
    const packet = encodePublish({
      topic: Buffer.from(topic),
      payload: Buffer.from(text),
      qos: SYS_QOS,
      retain: true,
      properties: Buffer.alloc(0),
    });
    engine.scratch.set(packet);
    const status = engine.calls.inject(abi.SCRATCH, packet.length);
    if (status === abi.R_BUDGET || status === abi.R_COMMIT) turn.injectedLater();
    turn.schedule();
  }

  #values(): [string, string | number][] {
    const { version } = this.#source;
    return [
      ["version", `holdfast version ${version}`],
      ["uptime", `${Math.floor((Date.now() - this.#startMs) / 1000)} seconds`],
      ...this.#clients(),
      ...this.#traffic(),
      ...this.#memory(),
      ...this.#own(),
      ...this.#store(),
    ];
  }

  #clients(): [string, number][] {
    const { engine, sessions, turn } = this.#source;
    const connected = turn.openCount;
    const total = Math.max(engine.calls.sessionCount(), connected);
    this.#connectedMax = Math.max(this.#connectedMax, connected);
    return [
      ["clients/total", total],
      ["clients/maximum", this.#connectedMax],
      ["clients/connected", connected],
      ["clients/active", connected],
      ["clients/disconnected", total - connected],
      ["clients/inactive", total - connected],
      ["clients/expired", sessions.expiredCount],
      ["subscriptions/count", engine.calls.subscriptionCount()],
      ["shared_subscriptions/count", engine.calls.sharedCount()],
      ["retained messages/count", engine.calls.retainedCount()],
      ["connections/socket/count", connected],
    ];
  }

  #traffic(): [string, number][] {
    const { engine } = this.#source;
    const counter = (offset: number): number => engine.counter(offset);
    const sent = counter(abi.S_PACKETS_SENT) + counter(abi.S_PUBLISH_SENT);
    const dropped =
      counter(abi.S_DROPPED_SLOW) +
      counter(abi.S_DROPPED_QUEUE_FULL) +
      counter(abi.S_DROPPED_EXPIRED) +
      counter(abi.S_DROPPED_TOO_LARGE) +
      counter(abi.S_DROPPED_REPLACED) +
      counter(abi.S_DROPPED_MEMORY);
    return [
      ["messages/received", counter(abi.S_PACKETS_RECEIVED)],
      ["messages/sent", sent],
      ["bytes/received", counter(abi.S_BYTES_RECEIVED)],
      ["bytes/sent", counter(abi.S_BYTES_SENT)],
      ["publish/messages/received", counter(abi.S_PUBLISH_RECEIVED)],
      ["publish/messages/sent", counter(abi.S_PUBLISH_SENT)],
      ["publish/messages/dropped", dropped],
      ["publish/bytes/received", counter(abi.S_PUBLISH_BYTES_RECEIVED)],
      ["publish/bytes/sent", counter(abi.S_PUBLISH_BYTES_SENT)],
    ];
  }

  #memory(): [string, number][] {
    const { engine } = this.#source;
    const used = Number(engine.calls.heapBytesUsed());
    this.#heapMax = Math.max(this.#heapMax, used);
    return [
      ["messages/stored", engine.counter(abi.S_MESSAGES_STORED)],
      ["store/messages/count", engine.counter(abi.S_MESSAGES_STORED)],
      ["store/messages/bytes", engine.counter(abi.S_MESSAGE_BYTES_STORED)],
      ["heap/current", used],
      ["heap/maximum", this.#heapMax],
    ];
  }

  #own(): [string, number][] {
    const { engine } = this.#source;
    const named: [string, number][] = [
      ["queued", abi.S_QUEUED_MESSAGES],
      ["dropped/slow reader", abi.S_DROPPED_SLOW],
      ["dropped/queue full", abi.S_DROPPED_QUEUE_FULL],
      ["dropped/expired", abi.S_DROPPED_EXPIRED],
      ["dropped/too large", abi.S_DROPPED_TOO_LARGE],
      ["dropped/memory", abi.S_DROPPED_MEMORY],
      ["dropped/replaced", abi.S_DROPPED_REPLACED],
      ["refused/memory", abi.S_REFUSED_MEMORY],
      ["refused/store", abi.S_REFUSED_STORE],
      ["refused/queue full", abi.S_REFUSED_QUEUE_FULL],
      ["acknowledgements/held", abi.S_ACKNOWLEDGEMENTS_HELD],
      ["acknowledgements/elided", abi.S_ACKNOWLEDGEMENTS_ELIDED],
      ["acknowledgements/unknown", abi.S_ACKNOWLEDGEMENTS_UNKNOWN],
      ["journal/records", abi.S_JOURNAL_RECORDS],
      ["journal/bytes", abi.S_JOURNAL_BYTES],
    ];
    const counters = named.map(([name, offset]): [string, number] => [
      `holdfast/${name}`,
      engine.counter(offset),
    ]);
    const { calls } = engine;
    counters.push(["holdfast/heap/committed", Number(calls.heapBytesCommitted())]);
    counters.push(["holdfast/heap/limit", Number(calls.heapBytesCap())]);
    return counters;
  }

  #store(): [string, string | number][] {
    const state = this.#source.store?.state(Date.now());
    if (state === undefined) return [];
    const { commitLatency } = state;
    const mean = commitLatency.sumMilliseconds / Math.max(commitLatency.count, 1);
    return [
      ["holdfast/store/state", state.trouble ?? "ok"],
      ["holdfast/store/bytes", state.usedBytes],
      ["holdfast/store/bytes/limit", state.bytesMax],
      ["holdfast/store/commits", state.committedPage],
      ["holdfast/store/commit/milliseconds/mean", milliseconds(mean)],
      ["holdfast/store/commit/milliseconds/last", milliseconds(commitLatency.lastMilliseconds)],
      ["holdfast/store/unindexed/bytes", state.tailBytes],
      ["holdfast/store/unindexed/seconds", Math.round(state.tailMilliseconds / 1000)],
      ["holdfast/store/segments loaded", state.segmentsLoaded],
    ];
  }
}
