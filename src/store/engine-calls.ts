/**
 * What the store needs of the engine: src/engine/engine.ts has all of it.
 *
 * Addresses come as i32 and are made unsigned here with `>>> 0`; u64 are bigint.
 */
import * as abi from "#assembly/abi";

export interface StoreCalls {
  /** @returns an address, or 0: no memory */
  allocBlock(bytes: number): number;
  freeBlock(at: number): void;
  setClock(unixMs: number): void;

  /** 0 all is taken, 1 durable messages are refused, 2 their publishers wait. */
  setRefusing(level: number): void;
  /** Bytes of the page being filled. */
  journalBytes(): number;
  sealedAt(): number;
  sealedBytes(): number;
  sealedApartCount(): number;
  sealedApartAt(index: number): number;
  sealedApartBytes(index: number): number;

  indexBegin(turn: number): void;
  /** @returns number of operations; 0: the cycle is complete */
  indexGather(rowsMax: number): number;
  indexOperations(): number;
  indexCommitted(): void;
  /**
   * A topic's newest message takes the place of an older one.
   *
   * @returns 1 if the older one's row is to stay: it was sent and is still owed
   */
  indexReplaced(number: number, sequence: bigint, bytes: number): number;
  nextSessionNumber(): number;
  nextMessageId(): bigint;

  /** @returns the sequence wanted, or −1: nothing */
  loadWanted(session: number, number: number): bigint;
  /** @returns 1 if the Session may have rows of topics' newest messages */
  loadsLatest(session: number, number: number): number;
  /**
   * @param key  the u64 in the row's key
   * @param end  what the segment has from this sequence on is left
   * @returns LOAD_…, or a negative status
   */
  loadSegment(
    session: number,
    number: number,
    at: number,
    bytes: number,
    key: bigint,
    end: bigint,
  ): number;
  loadMissing(): bigint;
  loadMessage(id: bigint, at: number, bytes: number): number;
  loadNone(session: number, number: number): void;

  setNumbers(nextSessionNumber: number): void;
  setMessageId(nextMessageId: bigint): void;
  setTurn(turn: number): void;
  loadSession(number: number, at: number, bytes: number): number;
  loadSubscriptions(number: number, at: number, bytes: number): number;
  loadRetained(at: number, bytes: number): number;
  replayApart(index: number, at: number, bytes: number): number;
  replay(at: number, bytes: number): number;
  replayedWills(): number;
  replayedWill(index: number): number;
  recoveryEnd(nowSeconds: number): void;
  sessionCount(): number;
  retainedCount(): number;
}

export interface StoreEngine {
  readonly calls: StoreCalls;
  /** The engine's memory. */
  readonly bytes: Buffer;
  readonly words: Uint32Array;
}

/** loadSegment() took the segment. */
export const LOAD_TAKEN = 0;
/** loadSegment() needs the message of loadMissing() first. */
export const LOAD_MISSES = 1;
/** The segment given to loadSegment() ends before what is wanted. */
export const LOAD_TOO_LOW = 2;

/** A page as the engine sealed it, then its payloads apart, in order; views on its memory. */
export type SealedPage = readonly [page: Buffer, ...apart: Buffer[]];

/** The sealed page; it stays as it is until the engine is told that it is committed. */
export function sealedPage(engine: StoreEngine): SealedPage {
  const { calls } = engine;
  const apart: Buffer[] = [];
  for (let index = 0; index < calls.sealedApartCount(); index++) {
    apart.push(bytesAt(engine, calls.sealedApartAt(index), calls.sealedApartBytes(index)));
  }
  return [bytesAt(engine, calls.sealedAt(), calls.sealedBytes()), ...apart];
}

/** A view on `bytes` bytes of the engine's memory at `at`. */
export function bytesAt(engine: StoreEngine, at: number, bytes: number): Buffer {
  const from = at >>> 0;
  return engine.bytes.subarray(from, from + (bytes >>> 0));
}

/** The u64 at a multiple of 4. */
export function u64At(engine: StoreEngine, at: number): bigint {
  const low = engine.words[at >>> 2] as number;
  const high = engine.words[(at >>> 2) + 1] as number;
  return BigInt(low) | (BigInt(high) << 32n);
}

/**
 * Lets the engine read bytes: they are in its memory during the call.
 *
 * @returns what `read` answers, or NO_MEMORY
 */
export function lend(engine: StoreEngine, bytes: Buffer, read: (at: number) => number): number {
  if (bytes.length <= abi.SCRATCH_BYTES) {
    engine.bytes.set(bytes, abi.SCRATCH);
    return read(abi.SCRATCH);
  }
  const at = engine.calls.allocBlock(bytes.length) >>> 0;
  if (at === 0) return abi.NO_MEMORY;
  engine.bytes.set(bytes, at);
  const status = read(at);
  engine.calls.freeBlock(at);
  return status;
}
