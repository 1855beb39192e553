/** Cold matches and memory of Topic Filters, in the engine alone. */

import { Engine } from "../../src/engine/engine.ts";
import { randomNumbers } from "../functions/workload.ts";
import { median } from "../load/compare.ts";

const SPAN_WORDS = 2;
const MQTT_3_1_1 = 4;
const ROUNDS = 7;
const NANOS_PER_MILLI = 1e6;

export interface EngineMatch {
  readonly bytesPerFilter: number;
  /** Median of the rounds, topics drawn at random and none twice. */
  readonly nanosPerMatch: number;
}

interface PlacedTexts {
  readonly at: number;
  /** {address, bytes} of each text. */
  readonly spans: Uint32Array;
}

function place(engine: Engine, texts: readonly string[]): PlacedTexts {
  const data = Buffer.from(texts.join(""), "latin1");
  const at = engine.keep(data);
  if (at === 0) throw new Error("no engine memory");
  const spans = new Uint32Array(texts.length * SPAN_WORDS);
  let next = at;
  for (const [index, text] of texts.entries()) {
    spans[index * SPAN_WORDS] = next;
    spans[index * SPAN_WORDS + 1] = text.length;
    next += text.length;
  }
  return { at, spans };
}

function subscribeAll(engine: Engine, filters: readonly string[]): number {
  const { calls } = engine;
  const sessions = new Uint32Array(filters.length);
  for (let index = 0; index < sessions.length; index++) {
    const idBytes = engine.scratch.write(`d${index}`, "latin1");
    const session = calls.createSession(engine.scratch.byteOffset, idBytes, 0, MQTT_3_1_1, 0);
    if (session === 0) throw new Error("no engine memory");
    sessions[index] = session;
  }
  const { at, spans } = place(engine, filters);
  const before = calls.heapBytesUsed();
  for (let index = 0; index < filters.length; index++) {
    const textAt = spans[index * SPAN_WORDS] as number;
    const bytes = spans[index * SPAN_WORDS + 1] as number;
    const session = sessions[index] as number;
    const status = calls.addSubscription(session, textAt, bytes, 0, 0);
    if (status !== 0) throw new Error(`a subscription was answered with ${status}`);
  }
  const bytesPerFilter = Number(calls.heapBytesUsed() - before) / filters.length;
  calls.freeBlock(at);
  return bytesPerFilter;
}

/** Topics not seen before, each of which one filter matches: no cache can know them. */
function coldTopics(devices: readonly string[], count: number, round: number): string[] {
  const next = randomNumbers(round + 1);
  return Array.from({ length: count }, (_, index) => {
    const device = devices[next() % devices.length];
    return `fleet/${device}/cmd/${(round * count + index).toString(36)}`;
  });
}

function timeMatches(engine: Engine, topics: readonly string[]): number {
  const { calls } = engine;
  const { at, spans } = place(engine, topics);
  const nobodyAt = engine.keep(Buffer.from("nobody"));
  const nobody = calls.match(nobodyAt, 6);
  let missed = 0;
  const start = performance.now();
  for (let word = 0; word < spans.length; word += SPAN_WORDS) {
    const list = calls.match(spans[word] as number, spans[word + 1] as number);
    if (list === nobody || list === 0) missed++;
    calls.releaseList(list);
  }
  const millis = performance.now() - start;
  calls.freeBlock(at);
  calls.freeBlock(nobodyAt);
  if (missed > 0) throw new Error(`${missed} topics matched no filter`);
  return (millis * NANOS_PER_MILLI) / topics.length;
}

/** Subscribes one Session to each device's filter, then matches `topicCount` topics a round. */
export function measureEngineMatch(devices: readonly string[], topicCount: number): EngineMatch {
  const engine = new Engine({ build: "release", memoryBytesMax: 0 });
  const bytesPerFilter = subscribeAll(
    engine,
    devices.map((device) => `fleet/${device}/cmd/+`),
  );
  const nanos: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    nanos.push(timeMatches(engine, coldTopics(devices, topicCount, round)));
  }
  return { bytesPerFilter, nanosPerMatch: median(nanos.slice(1)) };
}
