/**
 * Will Messages, §3.1.2.5: kept with their connection, published when it ends without a DISCONNECT
 * that says otherwise, delayed if asked [MQTT-3.1.3-9].
 *
 * A will is kept as the PUBLISH that it becomes, in the engine's heap.
 */
import * as abi from "#assembly/abi";
import type { Engine } from "../engine/engine.ts";
import { encodePublish, type PublishParts } from "./publish-packet.ts";
import type { Turn } from "./turn.ts";
import { DeadlineWheel } from "./wheel.ts";

export interface Will {
  /** The packet in the engine's heap: version 5, Packet Identifier 1 where it has one. */
  readonly at: number;
  readonly byteCount: number;
  /** Will Delay Interval, seconds. */
  readonly delaySeconds: number;
}

/** The parts of a will, as CONNECT brings them; its properties without Will Delay Interval. */
export interface WillParts extends PublishParts {
  readonly delaySeconds: number;
}

interface PendingWill {
  readonly session: number;
  readonly will: Will;
  second: number;
}

export class Wills {
  readonly #engine: Engine;
  readonly #turn: Turn;
  /** Wills that wait, by the number of their Session. */
  readonly #pending = new Map<number, PendingWill>();
  readonly #wheel: DeadlineWheel<PendingWill>;

  constructor(engine: Engine, turn: Turn, nowSeconds: number) {
    this.#engine = engine;
    this.#turn = turn;
    this.#wheel = new DeadlineWheel(nowSeconds, (pending) => this.#due(pending));
  }

  /** @returns the will in the engine's heap, or null: no memory */
  keep(parts: WillParts): Will | null {
    const packet = encodePublish(parts);
    const at = this.#engine.keep(packet);
    if (at === 0) return null;
    return { at, byteCount: packet.length, delaySeconds: parts.delaySeconds };
  }

  discard(will: Will): void {
    this.#engine.calls.freeBlock(will.at);
  }

  /** Publishes the will now and frees it. */
  publish(will: Will): void {
    const status = this.#engine.calls.inject(will.at, will.byteCount);
    if (status === abi.R_BUDGET) this.#turn.injectedLater();
    this.#turn.schedule();
    this.discard(will);
  }

  /** Publishes it after its delay, unless the Session is continued before [MQTT-3.1.3-9]. */
  delay(will: Will, sessionNumber: number, nowSeconds: number): void {
    const pending = { session: sessionNumber, will, second: 0 };
    this.#pending.set(sessionNumber, pending);
    this.#engine.calls.journalWill(sessionNumber, will.at, will.byteCount);
    pending.second = this.#wheel.add(pending, nowSeconds + will.delaySeconds);
  }

  /** The Session is continued: its waiting will is not sent. */
  cancel(sessionNumber: number): void {
    const pending = this.#take(sessionNumber);
    if (pending === undefined) return;
    this.#engine.calls.journalWill(sessionNumber, 0, 0);
    this.discard(pending.will);
  }

  /** The Session ends: its waiting will is due now [MQTT-3.1.2-8]. */
  sessionEnds(sessionNumber: number): void {
    const pending = this.#take(sessionNumber);
    if (pending !== undefined) this.publish(pending.will);
  }

  tick(nowSeconds: number): void {
    this.#wheel.tick(nowSeconds);
  }

  #take(sessionNumber: number): PendingWill | undefined {
    const pending = this.#pending.get(sessionNumber);
    if (pending === undefined) return undefined;
    this.#wheel.remove(pending, pending.second);
    this.#pending.delete(sessionNumber);
    return pending;
  }

  #due(pending: PendingWill): void {
    this.#pending.delete(pending.session);
    this.#engine.calls.journalWill(pending.session, 0, 0);
    this.publish(pending.will);
  }
}
