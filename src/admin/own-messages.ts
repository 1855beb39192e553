/** Messages that the broker itself publishes: `$SYS`, and lines of its log. */
import * as abi from "#assembly/abi";
import { MESSAGE_EXPIRY_INTERVAL } from "#assembly/spec";
import type { OpenLog } from "../base/log.ts";
import type { Engine } from "../engine/engine.ts";
import { encodePublish } from "../session/publish-packet.ts";
import type { Turn } from "../session/turn.ts";

/** QoS that mosquitto gives its `$SYS` messages. */
const SYS_QOS = 2;
const LOG_PREFIX = "$SYS/broker/log/";
/** Seconds after which nobody wants to know a line any more. */
const LOG_EXPIRY_SECONDS = 20;
const LOG_PROPERTIES = Buffer.from([MESSAGE_EXPIRY_INTERVAL, 0, 0, 0, LOG_EXPIRY_SECONDS]);
const NO_PROPERTIES = Buffer.alloc(0);

/** Not while the engine works on something else: what is in SCRATCH is overwritten. */
function publishOwn(
  engine: Engine,
  turn: Turn,
  message: { topic: string; text: string; retain: boolean; properties: Buffer },
): void {
  const { topic, text, retain, properties } = message;
  const packet = encodePublish({
    topic: Buffer.from(topic),
    payload: Buffer.from(text),
    qos: SYS_QOS,
    retain,
    properties,
  });
  engine.scratch.set(packet);
  const status = engine.calls.inject(abi.SCRATCH, packet.length);
  if (status === abi.R_BUDGET || status === abi.R_COMMIT) turn.injectedLater();
  turn.schedule();
}

/** Publishes a value of `$SYS`, retained. */
export function publishSys(engine: Engine, turn: Turn, topic: string, text: string): void {
  publishOwn(engine, turn, { topic, text, retain: true, properties: NO_PROPERTIES });
}

/** Publishes from now on what the log has for topics; see OpenLog.publishTo(). */
export function publishLog(engine: Engine, turn: Turn, log: OpenLog): void {
  log.publishTo((level, text) => {
    const topic = `${LOG_PREFIX}${level}`;
    publishOwn(engine, turn, { topic, text, retain: false, properties: LOG_PROPERTIES });
  });
}
