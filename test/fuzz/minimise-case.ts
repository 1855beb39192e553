/**
 * Makes a case that fails as short as it gets: steps go, then packets inside a step, then bytes, as
 * long as it still fails in the same way.
 */
import { concatenate } from "../support/naive-encoder.ts";
import { referenceCut } from "../support/reference-decoder.ts";
import type { FuzzCase, Step } from "./case.ts";

/** Plays of a case that a search may cost, unless FUZZ_TRIES says how many. */
export const TRIES_MAX = 4_000;

/** @param fails  whether a case still fails in the way that is looked for */
export async function minimiseCase(
  fuzzCase: FuzzCase,
  fails: (candidate: FuzzCase) => Promise<boolean>,
  triesMax = TRIES_MAX,
): Promise<FuzzCase> {
  let best = fuzzCase;
  let tries = 0;
  for (let isShorter = true; isShorter; ) {
    isShorter = false;
    for (const candidate of shorterCases(best)) {
      if (++tries > triesMax) return best;
      if (!(await fails(candidate))) continue;
      best = candidate;
      isShorter = true;
      break;
    }
  }
  return best;
}

/** Cases that lack a step, a packet or some bytes; those that lack most come first. */
function* shorterCases(fuzzCase: FuzzCase): Generator<FuzzCase> {
  for (const index of fuzzCase.keys()) {
    const rest = fuzzCase.filter((_, other) => other !== index);
    if (rest.length > 0) yield rest;
  }
  for (const [index, step] of fuzzCase.entries()) {
    for (const bytes of shorterBytes(step)) {
      yield fuzzCase.map((other, at) => (at === index ? { ...other, bytes } : other));
    }
  }
}

function* shorterBytes({ bytes }: Step): Generator<Uint8Array> {
  if (bytes === null) return;
  const packets = packetsIn(bytes);
  if (packets.length > 1) {
    for (const index of packets.keys()) {
      yield concatenate(packets.filter((_, other) => other !== index));
    }
  }
  for (let size = bytes.length >> 1; size >= 1; size >>= 1) {
    for (let at = 0; at + size <= bytes.length && size < bytes.length; at += size) {
      yield concatenate([bytes.subarray(0, at), bytes.subarray(at + size)]);
    }
  }
}

/** The packets in a chunk; what is none stays one piece at its end. */
function packetsIn(bytes: Uint8Array): readonly Uint8Array[] {
  const packets: Uint8Array[] = [];
  let at = 0;
  while (at < bytes.length) {
    const byteCount = referenceCut(bytes.subarray(at), Number.POSITIVE_INFINITY);
    const end = typeof byteCount === "number" ? at + byteCount : bytes.length;
    packets.push(bytes.subarray(at, end));
    at = end;
  }
  return packets;
}
