/**
 * What a Session is owed and memory let go of comes back, a segment at a time, as far as the engine
 * wants it: a few segments in each turn of the event loop, for all Sessions in turn.
 */
import * as abi from "#assembly/abi";
import { LOAD_MISSES, LOAD_TAKEN, LOAD_TOO_LOW, lend, type StoreEngine } from "./engine-calls.ts";
import { LOAD_MILLISECONDS_MAX, LOAD_SEGMENTS_MAX } from "./limits.ts";
import type { IndexTables } from "./operations.ts";
import { firstSequenceOf, LATEST, LATEST_TOPICS, messageKey, segmentKey } from "./tables.ts";

export interface LoaderHandlers {
  /** Segments went into the engine: what comes of it is to leave. */
  onLoaded(): void;
  /** A row cannot be used; the Session that needs it waits for ever. */
  onDamage(fault: string): void;
}

interface Wish {
  readonly number: number;
  /** Address of the Session in the engine. */
  readonly session: number;
}

interface Segment {
  readonly firstSequence: bigint;
  /** The u64 in its key. */
  readonly key: bigint;
  readonly row: Buffer;
}

/** What becomes of a wish after a step. */
type Outcome = "more" | "done" | "starved";

/** More than a segment has references, each of which may be loaded once. */
const TRIES_MAX = 128;

export class Loader {
  readonly #engine: StoreEngine;
  readonly #tables: IndexTables;
  readonly #handlers: LoaderHandlers;
  /** In the order in which their turn comes, each Session once. */
  readonly #wishes = new Map<number, Wish>();
  /** Those for which the engine had no memory. */
  readonly #starved = new Map<number, Wish>();
  #scheduled: NodeJS.Immediate | null = null;
  #isClosed = false;
  segmentCount = 0;

  constructor(engine: StoreEngine, tables: IndexTables, handlers: LoaderHandlers) {
    this.#engine = engine;
    this.#tables = tables;
    this.#handlers = handlers;
  }

  /** The Session wants what is in the store. */
  want(number: number, session: number): void {
    if (this.#isClosed) return;
    this.#wishes.set(number, { number, session });
    this.#schedule();
  }

  /** Those that found no memory try again. */
  tick(): void {
    for (const { number, session } of this.#starved.values()) this.want(number, session);
    this.#starved.clear();
  }

  close(): void {
    this.#isClosed = true;
    if (this.#scheduled !== null) clearImmediate(this.#scheduled);
    this.#wishes.clear();
    this.#starved.clear();
  }

  #schedule(): void {
    this.#scheduled ??= setImmediate(() => {
      this.#scheduled = null;
      this.#run();
    });
  }

  #run(): void {
    const endMs = performance.now() + LOAD_MILLISECONDS_MAX;
    for (let count = 0; count < LOAD_SEGMENTS_MAX; count++) {
      const [wish] = this.#wishes.values();
      if (wish === undefined || performance.now() >= endMs) break;
      this.#wishes.delete(wish.number);
      const outcome = this.#step(wish);
      // Behind all others: no Session waits for another's whole backlog.
      if (outcome === "more") this.#wishes.set(wish.number, wish);
      else if (outcome === "starved") this.#starved.set(wish.number, wish);
    }
    if (this.#wishes.size > 0) this.#schedule();
    this.#handlers.onLoaded();
  }

  /** Gives the Session one segment, or as much of it as comes before a topic's newest message. */
  #step(wish: Wish): Outcome {
    const { session, number } = wish;
    const { calls } = this.#engine;
    const wanted = calls.loadWanted(session, number);
    if (wanted < 0n) return "done";
    const hasLatest = calls.loadsLatest(session, number) !== 0;
    const latest = hasLatest ? this.#latestFrom(number, wanted) : null;
    const end = latest?.firstSequence ?? LATEST;
    if (end > wanted) {
      let segment = this.#segmentUpTo(number, wanted);
      if (segment !== null) {
        const status = this.#load(wish, segment, end);
        if (status !== LOAD_TOO_LOW) return this.#outcomeOf(status, wish, segment);
      }
      segment = this.#segmentBehind(number, segment?.firstSequence ?? wanted, end);
      if (segment !== null) return this.#outcomeOf(this.#load(wish, segment, end), wish, segment);
    }
    if (latest !== null) return this.#outcomeOf(this.#load(wish, latest, LATEST), wish, latest);
    calls.loadNone(session, number);
    return "done";
  }

  #outcomeOf(status: number, { number }: Wish, segment: Segment): Outcome {
    if (status === LOAD_TAKEN) {
      this.segmentCount++;
      return "more";
    }
    if (status === abi.NO_MEMORY) return "starved";
    this.#handlers.onDamage(
      `segment ${segment.firstSequence} of Session ${number} cannot be read (status ${status}); ` +
        "see what `holdfast check` says",
    );
    return "done";
  }

  /** The last segment that begins at or below a sequence. */
  #segmentUpTo(number: number, sequence: bigint): Segment | null {
    const [found] = this.#tables.queue.getRange({
      start: segmentKey(number, sequence),
      end: segmentKey(number, 0n),
      inclusiveEnd: true,
      reverse: true,
      limit: 1,
      snapshot: false,
    });
    return found === undefined ? null : segmentOf(found);
  }

  /** The first segment that begins above a sequence and below another. */
  #segmentBehind(number: number, sequence: bigint, below: bigint): Segment | null {
    return this.#firstIn(segmentKey(number, sequence + 1n), segmentKey(number, below));
  }

  /** The first segment of a topic's newest message at or above a sequence. */
  #latestFrom(number: number, sequence: bigint): Segment | null {
    const start = segmentKey(number, LATEST + sequence);
    return this.#firstIn(start, segmentKey(number, LATEST_TOPICS));
  }

  #firstIn(start: Buffer, end: Buffer): Segment | null {
    const [found] = this.#tables.queue.getRange({ start, end, limit: 1, snapshot: false });
    return found === undefined ? null : segmentOf(found);
  }

  #load({ session, number }: Wish, { key, row }: Segment, end: bigint): number {
    const { calls } = this.#engine;
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const status = lend(this.#engine, row, (at) =>
        calls.loadSegment(session, number, at, row.length, key, end),
      );
      if (status !== LOAD_MISSES) return status;
      const id = calls.loadMissing();
      const message = this.#tables.messages.get(messageKey(id));
      if (message === undefined) return status;
      const loaded = lend(this.#engine, message, (at) => calls.loadMessage(id, at, message.length));
      if (loaded < 0) return loaded;
    }
    return LOAD_MISSES;
  }
}

function segmentOf(found: { readonly key: Buffer; readonly value: Buffer }): Segment {
  const { key, value } = found;
  return { firstSequence: firstSequenceOf(key), key: key.readBigUInt64BE(4), row: value };
}
