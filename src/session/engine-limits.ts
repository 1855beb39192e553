/** The engine with the operator's limits, at the start and after a reload. */
import { randomBytes } from "node:crypto";
import * as abi from "#assembly/abi";
import { StartError } from "../base/errors.ts";
import { FRESH_MILLISECONDS_MAX } from "../base/limits.ts";
import type { QueueRule, Settings } from "../config/settings.ts";
import { Engine } from "../engine/engine.ts";

const STRATEGY = { "round-robin": 0, "least-inflight": 1, "sticky-by-publisher": 2 } as const;
const OVERFLOW = { "drop-oldest": 0, "drop-newest": 1, reject: 2 } as const;

/** A Message Expiry Interval has 32 bits. */
const EXPIRY_SECONDS_MAX = 2 ** 32 - 1;

const RULES_FAULT = "memory_limit is too small for the queue_rule lines";

/** u32 and i32 have no infinity. */
function bounded(value: number, max: number): number {
  return Math.min(value, max);
}

/** Seconds without bound are 0 to the engine. */
function boundedSeconds(seconds: number): number {
  return Number.isFinite(seconds) ? bounded(seconds, EXPIRY_SECONDS_MAX) : 0;
}

export class EngineLimits {
  readonly engine: Engine;
  readonly #topicAliasMax: number;
  /** The largest that clients were told: they may use it, whatever others are told later. */
  #receiveMaximum = 0;
  /** The rules that are in force. */
  queueRules: readonly QueueRule[] = [];

  /** @throws StartError if there is no memory for the rules */
  constructor(settings: Settings) {
    const build = process.env["HOLDFAST_ENGINE"] === "debug" ? "debug" : "release";
    this.engine = new Engine({ build, memoryBytesMax: settings.memoryBytesMax });
    this.#topicAliasMax = settings.topicAliasMax;
    const { calls } = this.engine;
    calls.setHashSeed(randomBytes(8).readBigUInt64LE());
    calls.setSessionSeed(randomBytes(8).readBigUInt64LE());
    calls.configureShared(STRATEGY[settings.sharedStrategy]);
    calls.setRecording(settings.durability === "memory" ? 0 : 1, FRESH_MILLISECONDS_MAX);
    this.#configure(settings);
    if (!this.#setRules(settings.queueRules)) throw new StartError(RULES_FAULT);
  }

  /**
   * Takes over what may change while there are connections.
   *
   * @returns null, or why the queue_rule lines are not, or not all, in force
   */
  change(settings: Settings): string | null {
    this.#configure(settings);
    const { queueRules } = settings;
    if (JSON.stringify(queueRules) === JSON.stringify(this.queueRules)) return null;
    // Queues know which of their messages were the newest of a topic, by the rules of then.
    if ([...this.queueRules, ...queueRules].some(({ keepsLast }) => keepsLast)) {
      return "queue_rule lines have changed, and some have keep=last: they count after a restart";
    }
    this.engine.calls.clearQueueRules();
    return this.#setRules(queueRules) ? null : RULES_FAULT;
  }

  #configure(settings: Settings): void {
    const { calls } = this.engine;
    this.#receiveMaximum = Math.max(this.#receiveMaximum, settings.receiveMaximum);
    calls.configure(
      settings.packetBytesMax,
      this.#receiveMaximum,
      settings.inflightMessagesMax,
      bounded(settings.queuedMessagesMax, 2 ** 30),
      bounded(settings.queuedBytesMax, 2 ** 52),
      settings.outgoingBytesMax,
      this.#topicAliasMax,
      settings.payloadBytesMax,
      settings.retainAvailable ? 1 : 0,
      settings.topicAliasOutMax,
    );
    calls.setPayloadsChecked(settings.payloadUtf8Checked ? 1 : 0);
    calls.configureQueues(
      OVERFLOW[settings.queueOverflow],
      settings.queueQos0 ? 1 : 0,
      boundedSeconds(settings.messageExpirySecondsMax),
      boundedSeconds(settings.retainedExpirySecondsMax),
    );
  }

  /** @returns false if there was no memory for one of them */
  #setRules(rules: readonly QueueRule[]): boolean {
    this.queueRules = rules;
    return rules.every((rule) => this.#addRule(rule));
  }

  #addRule(rule: QueueRule): boolean {
    const { calls, scratch } = this.engine;
    const filter = Buffer.from(rule.topicFilter);
    scratch.set(filter);
    const status = calls.addQueueRule(
      abi.SCRATCH,
      filter.length,
      bounded(rule.queuedMessagesMax, 2 ** 30),
      bounded(rule.queuedBytesMax, 2 ** 52),
      OVERFLOW[rule.queueOverflow],
      rule.queueQos0 ? 1 : 0,
      boundedSeconds(rule.messageExpirySecondsMax),
      rule.keepsLast ? 1 : 0,
    );
    return status === 0;
  }
}
