/** The jobs that are measured, each with the engine and its rivals. */
import { isUtf8 as bufferIsUtf8 } from "node:buffer";
import { generate, parser } from "mqtt-packet";
import type { ProtocolLevel, QoS } from "../load/packet.ts";
import type { FunctionCase, FunctionJob } from "./case.ts";
import type { EngineBench } from "./engine-cases.ts";
import { decodePublish, encodePublish } from "./plain-publish.ts";
import { PlainTopicTree } from "./plain-topic-tree.ts";
import { isUtf8 } from "./plain-utf8.ts";
import {
  commandFilter,
  commandTopic,
  deviceNames,
  draw,
  packTexts,
  publishStream,
  sampleTexts,
} from "./workload.ts";

const PACKETS = 1000;
const PAYLOAD_BYTES = 32;
const HOT_TOPICS = 1000;
const TEXTS = 500;

type Maker = () => EngineBench;

function decodeJob(make: Maker, level: ProtocolLevel, qos: QoS): FunctionJob {
  const stream = publishStream(level, qos, PACKETS, PAYLOAD_BYTES);
  const plain: FunctionCase = {
    contender: "plain JS",
    operations: PACKETS,
    run: () => {
      let count = 0;
      for (let at = 0; at < stream.length; count++) {
        const publish = decodePublish(level, stream, at);
        if (publish === undefined) break;
        at = publish.end;
      }
      return count;
    },
  };
  const library: FunctionCase = {
    contender: "mqtt-packet",
    operations: PACKETS,
    run: () => {
      let count = 0;
      const decoder = parser({ protocolVersion: level });
      decoder.on("packet", () => count++);
      decoder.parse(stream);
      return count;
    },
  };
  return {
    name: `decode PUBLISH, MQTT ${level === 5 ? "5.0" : "3.1.1"}, QoS ${qos}`,
    operation: "packet",
    cases: [make().decodeCase(level, stream, PACKETS), plain, library],
  };
}

function encodeJob(make: Maker, receivers: number): FunctionJob {
  const level = 4;
  const qos = 1;
  const topic = "fleet/0badcafe/t";
  const payload = Buffer.alloc(PAYLOAD_BYTES, "x");
  const messages = PACKETS / receivers;
  const target = Buffer.alloc(PACKETS * 64);
  const plain: FunctionCase = {
    contender: "plain JS",
    operations: PACKETS,
    run: () => {
      let at = 0;
      let made = 0;
      for (let message = 0; message < messages; message++) {
        const from = at;
        at = encodePublish(level, qos, 1, topic, payload, target, at);
        const bytes = at - from;
        made++;
        for (let receiver = 1; receiver < receivers; receiver++, made++) {
          target.copyWithin(at, from, from + bytes);
          target.writeUInt16BE(receiver + 1, at + 4 + topic.length);
          at += bytes;
        }
      }
      return made;
    },
  };
  const library: FunctionCase = {
    contender: "mqtt-packet",
    operations: PACKETS,
    run: () => {
      let made = 0;
      for (let index = 0; index < PACKETS; index++) {
        const messageId = (index % receivers) + 1;
        const rest = { qos, messageId, dup: false, retain: false } as const;
        made += Number(generate({ cmd: "publish", topic, payload, ...rest }).length > 0);
      }
      return made;
    },
  };
  const engine = make().encodeCase(level, qos, topic, payload, messages, receivers);
  return {
    name: `encode PUBLISH for ${receivers} receiver${receivers > 1 ? "s" : ""}, MQTT 3.1.1, QoS 1`,
    operation: "packet",
    cases: [engine, plain, library],
  };
}

function matchJobs(make: Maker, filterCount: number): FunctionJob[] {
  const devices = deviceNames(filterCount);
  const engine = make();
  const engineBytes = engine.subscribe(devices.map(commandFilter));
  const tree = new PlainTopicTree();
  for (const [index, device] of devices.entries()) tree.subscribe(commandFilter(device), index);
  const hot = draw(devices, HOT_TOPICS).map(commandTopic);
  // Topics come as bytes: a broker in JavaScript makes a string of them first.
  const plain = (topics: readonly string[], cached: boolean): FunctionCase => {
    const { data, spans } = packTexts(topics);
    return {
      contender: "plain JS",
      operations: topics.length,
      run: () => {
        let found = 0;
        for (const { at, bytes } of spans) {
          const topic = data.toString("latin1", at, at + bytes);
          found += (cached ? tree.matchCached(topic) : tree.match(topic)).length;
        }
        return found;
      },
    };
  };
  const all = draw(devices, Math.min(filterCount, 10_000)).map(commandTopic);
  const filters = `${filterCount.toLocaleString("en")} filters`;
  return [
    {
      name: `match hot topics, ${filters} (engine: ${engineBytes.toFixed(0)} B each)`,
      operation: "topic",
      cases: [engine.matchCase(hot, true), plain(hot, true)],
    },
    {
      name: `match in the tree, past the cache, ${filters}`,
      operation: "topic",
      cases: [engine.matchCase(all, false), plain(all, false)],
    },
  ];
}

function utf8Job(make: Maker, kind: "ascii" | "mixed", textBytes: number): FunctionJob {
  const texts = packTexts(sampleTexts(kind, TEXTS, textBytes));
  const { data, spans } = texts;
  const count = (valid: (at: number, end: number) => boolean) => () => {
    let found = 0;
    for (const { at, bytes } of spans) if (valid(at, at + bytes)) found++;
    return found;
  };
  return {
    name: `UTF-8 check, ${kind}, ${textBytes} bytes`,
    operation: "text",
    cases: [
      make().utf8Case(texts),
      { contender: "plain JS", operations: TEXTS, run: count((at, end) => isUtf8(data, at, end)) },
      {
        contender: "node:buffer",
        operations: TEXTS,
        run: count((at, end) => {
          const text = data.subarray(at, end);
          return bufferIsUtf8(text) && !text.includes(0);
        }),
      },
    ],
  };
}

/** The four kinds of jobs, made when asked for. */
export const JOB_KINDS = ["decode", "encode", "match", "utf8"] as const;
export type JobKind = (typeof JOB_KINDS)[number];

/** @param filterCounts  how many filters `match` has, one pair of jobs for each */
export function makeJobs(kind: JobKind, make: Maker, filterCounts: readonly number[]) {
  if (kind === "decode") {
    return [decodeJob(make, 4, 0), decodeJob(make, 4, 1), decodeJob(make, 5, 1)];
  }
  if (kind === "encode") return [encodeJob(make, 1), encodeJob(make, 100)];
  if (kind === "match") return filterCounts.flatMap((count) => matchJobs(make, count));
  return [
    utf8Job(make, "ascii", 22),
    utf8Job(make, "ascii", 1000),
    utf8Job(make, "mixed", 22),
    utf8Job(make, "mixed", 1000),
  ];
}
