/** PUBLISH packets of the broker itself, in version 5: wills and `$SYS`, for Engine's inject(). */
import { FLAG_QOS_SHIFT, FLAG_RETAIN, PUBLISH } from "#assembly/spec";
import { variableByteInteger } from "../base/variable-byte-integer.ts";

export interface PublishParts {
  readonly topic: Uint8Array;
  readonly payload: Uint8Array;
  readonly qos: number;
  /** [MQTT-3.1.2-14] [MQTT-3.1.2-15] */
  readonly retain: boolean;
  /** The property list without its length, in the order it is to have [MQTT-3.1.3-10]. */
  readonly properties: Uint8Array;
}

/** @returns the packet, with Packet Identifier 1 where its QoS has one */
export function encodePublish(parts: PublishParts): Buffer {
  const { topic, payload, properties, qos, retain } = parts;
  const body = Buffer.concat([
    Buffer.from([topic.length >> 8, topic.length & 0xff]),
    topic,
    qos > 0 ? Buffer.from([0, 1]) : Buffer.alloc(0),
    Buffer.from(variableByteInteger(properties.length)),
    properties,
    payload,
  ]);
  const first = (PUBLISH << 4) | (qos << FLAG_QOS_SHIFT) | (retain ? FLAG_RETAIN : 0);
  return Buffer.concat([Buffer.from([first, ...variableByteInteger(body.length)]), body]);
}
