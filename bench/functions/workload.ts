/** What the benchmarks of functions work on; the same bytes in every run. */
import { generate } from "mqtt-packet";
import type { ProtocolLevel, QoS } from "../load/packet.ts";

const SEED = 0x2545f491;

/** A stretch of bytes. */
export interface Span {
  readonly at: number;
  readonly bytes: number;
}

/** Texts in UTF-8, one behind the other. */
export interface Texts {
  readonly data: Buffer;
  readonly spans: readonly Span[];
}

/** @returns a source of the same u32 numbers in every run (xorshift) */
export function randomNumbers(seed: number = SEED): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** @returns names of devices, 8 hex digits, none twice */
export function deviceNames(count: number): string[] {
  const next = randomNumbers();
  const names = new Set<string>();
  while (names.size < count) names.add(next().toString(16).padStart(8, "0"));
  return [...names];
}

/** @returns the filter by which a device gets its commands */
export function commandFilter(device: string): string {
  return `fleet/${device}/cmd/+`;
}

/** @returns a topic that matches the device's filter and no other */
export function commandTopic(device: string): string {
  return `fleet/${device}/cmd/reboot`;
}

/** @returns `count` items of `items`, drawn at random, again and again the same */
export function draw<T>(items: readonly T[], count: number): T[] {
  const next = randomNumbers(SEED ^ count);
  return Array.from({ length: count }, () => items[next() % items.length] as T);
}

/** Packs texts one behind the other. */
export function packTexts(texts: readonly string[]): Texts {
  const spans: Span[] = [];
  const pieces = texts.map((text) => Buffer.from(text));
  let at = 0;
  for (const piece of pieces) {
    spans.push({ at, bytes: piece.length });
    at += piece.length;
  }
  return { data: Buffer.concat(pieces), spans };
}

/** @returns PUBLISH packets of devices' telemetry, one behind the other */
export function publishStream(
  level: ProtocolLevel,
  qos: QoS,
  count: number,
  payloadBytes: number,
): Buffer {
  const payload = Buffer.alloc(payloadBytes, "x");
  const packets = deviceNames(count).map((device, index) =>
    generate(
      {
        cmd: "publish",
        topic: `fleet/${device}/t`,
        payload,
        qos,
        dup: false,
        retain: false,
        ...(qos > 0 ? { messageId: index + 1 } : {}),
      },
      { protocolVersion: level },
    ),
  );
  return Buffer.concat(packets);
}

/** @returns texts of the same length in bytes, some ASCII, some not, as `kind` says */
export function sampleTexts(kind: "ascii" | "mixed", count: number, textBytes: number): string[] {
  const unit = kind === "ascii" ? "plant/halle-7/" : "größe/温度/";
  const unitBytes = Buffer.byteLength(unit);
  const whole = Math.floor(textBytes / unitBytes);
  const text = unit.repeat(whole) + "x".repeat(textBytes - whole * unitBytes);
  return Array.from({ length: count }, () => text);
}
