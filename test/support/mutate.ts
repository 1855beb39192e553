/**
 * Mutations of byte streams, from a seed: the same seed makes the same bytes on every machine.
 *
 * Cheap on purpose (well under ten microseconds a stream), so that a million of them is a test.
 */
import { referenceCut } from "./reference-decoder.ts";

/** Random integers; one call gives 0 … bound − 1. */
export type Random = (bound: number) => number;

/** Mulberry32: 32 bits of state, enough for tests. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  return (bound) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * bound);
  };
}

/** A stream of packets with the place of each: what a mutation needs to know of it. */
export interface Seed {
  readonly bytes: Uint8Array;
  /** Where packets begin, ascending, the end of the bytes last. */
  readonly bounds: readonly number[];
}

/** Cuts valid bytes into packets, once for all the mutations that will come of them. */
export function seedFrom(stream: Uint8Array): Seed {
  // Not a Buffer: its slice() is no copy, and a mutation would change the seed.
  const bytes = new Uint8Array(stream);
  const bounds = [0];
  let at = 0;
  while (at < bytes.length) {
    const packetBytes = referenceCut(bytes.subarray(at), Number.POSITIVE_INFINITY);
    if (typeof packetBytes !== "number") throw new Error("seed is not a stream of whole packets");
    at += packetBytes;
    bounds.push(at);
  }
  return { bytes, bounds };
}

/** Bytes at which decoders tend to have an edge. */
const INTERESTING = [
  0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x08, 0x0b, 0x10, 0x15, 0x16, 0x1f, 0x20, 0x21, 0x23, 0x26,
  0x2b, 0x2f, 0x30, 0x3c, 0x62, 0x7f, 0x80, 0x81, 0x82, 0xa2, 0xbf, 0xc0, 0xc2, 0xe0, 0xed, 0xef,
  0xf0, 0xf4, 0xff,
];

type Mutation = (random: Random, seed: Seed, other: Seed) => Uint8Array;

const flipBit: Mutation = (random, { bytes }) => {
  const copy = bytes.slice();
  const at = random(copy.length);
  copy[at] = (copy[at] ?? 0) ^ (1 << random(8));
  return copy;
};

const setByte: Mutation = (random, { bytes }) => {
  const copy = bytes.slice();
  copy[random(copy.length)] = INTERESTING[random(INTERESTING.length)] ?? 0;
  return copy;
};

/** One up or down: lengths, identifiers, levels. */
const nudgeByte: Mutation = (random, { bytes }) => {
  const copy = bytes.slice();
  const at = random(copy.length);
  copy[at] = (copy[at] ?? 0) + (random(2) === 0 ? 1 : 255);
  return copy;
};

/** Packet Identifier 0, Receive Maximum 0, an empty string: two or four bytes of zeros. */
const clearBytes: Mutation = (random, { bytes }) => {
  const at = random(bytes.length);
  return bytes.slice().fill(0, at, at + (random(2) === 0 ? 2 : 4));
};

/** The Remaining Length of one packet, one up or down. */
const nudgeLength: Mutation = (random, { bytes, bounds }) => {
  const copy = bytes.slice();
  const at = (bounds[random(bounds.length - 1)] ?? 0) + 1;
  copy[at] = (copy[at] ?? 0) + (random(2) === 0 ? 1 : 255);
  return copy;
};

/** Bytes taken out, or put in, of one packet whose Remaining Length follows: inner rules decide. */
const resizePacket: Mutation = (random, { bytes, bounds }) => {
  const index = random(bounds.length - 1);
  const start = bounds[index] ?? 0;
  const end = bounds[index + 1] ?? 0;
  const length = bytes[start + 1] ?? 0;
  const grow = random(2) === 0;
  if (length >= 126 || (length === 0 && !grow)) return bytes.slice(0, end);
  const at = start + 2 + random(length + (grow ? 1 : 0));
  const middle = grow ? [INTERESTING[random(INTERESTING.length)] ?? 0] : [];
  const copy = join(bytes.subarray(0, at), middle, bytes.subarray(at + (grow ? 0 : 1)));
  copy[start + 1] = length + (grow ? 1 : -1);
  return copy;
};

const cut: Mutation = (random, { bytes }) => bytes.slice(0, random(bytes.length + 1));

const insert: Mutation = (random, { bytes }) => {
  const at = random(bytes.length + 1);
  const middle = Array.from({ length: 1 + random(4) }, () => random(256));
  return join(bytes.subarray(0, at), middle, bytes.subarray(at));
};

const remove: Mutation = (random, { bytes }) => {
  const at = random(bytes.length);
  return join(bytes.subarray(0, at), [], bytes.subarray(at + 1 + random(4)));
};

const duplicate: Mutation = (random, { bytes }) => {
  const at = random(bytes.length);
  const end = Math.min(bytes.length, at + 1 + random(16));
  return join(bytes.subarray(0, end), bytes.subarray(at, end), bytes.subarray(end));
};

const duplicatePacket: Mutation = (random, { bytes, bounds }) => {
  const index = random(bounds.length - 1);
  const end = bounds[index + 1] ?? 0;
  return join(bytes.subarray(0, end), bytes.subarray(bounds[index], end), bytes.subarray(end));
};

const swapPackets: Mutation = (random, { bytes, bounds }) => {
  const index = random(Math.max(1, bounds.length - 2));
  const [start = 0, middle = start, end = middle] = bounds.slice(index, index + 3);
  const first = bytes.subarray(start, middle);
  const second = bytes.subarray(middle, end);
  return join(bytes.subarray(0, start), join(second, first, []), bytes.subarray(end));
};

const splice: Mutation = (random, seed, other) => {
  const from = other.bounds[random(other.bounds.length)] ?? 0;
  const to = seed.bounds[random(seed.bounds.length)] ?? 0;
  const loose = random(2) === 0;
  const at = loose ? random(seed.bytes.length) : to;
  const rest = other.bytes.subarray(loose ? random(other.bytes.length) : from);
  return join(seed.bytes.subarray(0, at), rest, []);
};

const MUTATIONS: readonly Mutation[] = [
  flipBit,
  setByte,
  setByte,
  nudgeByte,
  clearBytes,
  nudgeLength,
  resizePacket,
  resizePacket,
  cut,
  insert,
  remove,
  duplicate,
  duplicatePacket,
  swapPackets,
  splice,
];

/** One mutated stream; now and then, two or three mutations of it at once. */
export function mutate(random: Random, seeds: readonly Seed[]): Uint8Array {
  const seed = pick(random, seeds);
  let bytes = pick(random, MUTATIONS)(random, seed, pick(random, seeds));
  for (let more = random(4); more > 1 && bytes.length > 0; more--) {
    const loose = { bytes, bounds: [0, bytes.length] };
    bytes = pick(random, [flipBit, setByte, nudgeByte, cut, remove])(random, loose, loose);
  }
  return bytes;
}

function pick<T>(random: Random, choices: readonly T[]): T {
  const choice = choices[random(choices.length)];
  if (choice === undefined) throw new Error("nothing to choose from");
  return choice;
}

function join(
  first: ArrayLike<number>,
  second: ArrayLike<number>,
  third: ArrayLike<number>,
): Uint8Array {
  const bytes = new Uint8Array(first.length + second.length + third.length);
  bytes.set(first, 0);
  bytes.set(second, first.length);
  bytes.set(third, first.length + second.length);
  return bytes;
}
