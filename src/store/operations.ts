/**
 * The engine's operations of one index batch, as changes of rows.
 *
 * A batch is one transaction, so that a Session's row never says more or less than its segments.
 * Only what it removes by ranges may take transactions of its own, which go before: what they
 * remove is not needed, whether or not the rest follows.
 */
import assert from "node:assert";
import * as abi from "#assembly/abi";
import { bytesAt, type StoreEngine, u64At } from "./engine-calls.ts";
import type { Change, Table } from "./environment.ts";
import { TRIM_REFERENCES_MAX, TRIM_SEGMENTS_MAX } from "./limits.ts";
import { countedBytesOf, lastSequenceOf, ReferenceChanges } from "./references.ts";
import {
  afterSession,
  firstSequenceOf,
  type IndexTable,
  isSegmentKey,
  LATEST,
  latestTopicKey,
  retainedKey,
  segmentKey,
  sessionKey,
  u64Row,
} from "./tables.ts";

export type IndexTables = Readonly<Record<IndexTable, Table>>;

const EMPTY = Buffer.alloc(0);

/** Of a key of `queue`. */
const SEGMENT_KEY_BYTES = 12;

/** Changes of rows and of references that one transaction takes. */
export class IndexChanges {
  readonly tables: IndexTables;
  readonly references: ReferenceChanges;
  readonly #changes: Change[] = [];
  /** Keys of topics' newest messages that are removed. */
  readonly #removed = new Set<string>();

  constructor(tables: IndexTables) {
    this.tables = tables;
    this.references = new ReferenceChanges(tables.messages, tables.references);
  }

  /** Rows changed so far, without those of references. */
  get size(): number {
    return this.#changes.length;
  }

  put(table: IndexTable, key: Buffer, value: Buffer): void {
    this.#changes.push({ table: this.tables[table], key, value });
  }

  remove(table: IndexTable, key: Buffer): void {
    this.#changes.push({ table: this.tables[table], key, value: null });
  }

  /** A segment in place of another gives back what that one referred to. */
  putSegment(key: Buffer, value: Buffer): void {
    const before = this.tables.queue.get(key);
    if (before !== undefined) this.references.giveBack(before);
    this.put("queue", key, value);
  }

  removeSegment(key: Buffer, value: Buffer): void {
    this.remove("queue", Buffer.from(key));
    this.references.giveBack(value);
  }

  /** Removes the segment of a topic's newest message, once, and what leads to it. */
  removeLatest(key: Buffer, value: Buffer): void {
    const name = key.toString("latin1");
    if (this.#removed.has(name)) return;
    this.#removed.add(name);
    const number = key.readUInt32BE(0);
    const topicName = this.references.topicOf(value);
    if (topicName !== null) {
      const topicKey = latestTopicKey(number, topicName);
      const sequence = this.tables.queue.get(topicKey)?.readBigUInt64LE(0);
      if (sequence === firstSequenceOf(key)) this.remove("queue", topicKey);
    }
    this.removeSegment(key, value);
  }

  /**
   * A topic's newest message takes the place of an older one.
   *
   * @param mayGo  whether the row of that one, of this sequence and counting so many bytes, goes
   */
  putLatest(
    key: Buffer,
    topicName: Buffer,
    value: Buffer,
    mayGo: (sequence: bigint, bytes: number) => boolean,
  ): void {
    const number = key.readUInt32BE(0);
    const topicKey = latestTopicKey(number, topicName);
    const sequence = firstSequenceOf(key);
    const before = this.tables.queue.get(topicKey)?.readBigUInt64LE(0) ?? sequence;
    if (before !== sequence) {
      const beforeKey = segmentKey(number, LATEST + before);
      const row = this.tables.queue.get(beforeKey);
      if (row !== undefined && mayGo(before, countedBytesOf(row))) {
        this.removeLatest(beforeKey, row);
      }
    }
    this.putSegment(key, value);
    this.put("queue", topicKey, u64Row(sequence));
  }

  /** All changes; the transaction before must be committed. */
  all(): readonly Change[] {
    return [...this.#changes, ...this.references.changes()];
  }
}

/** Segments of a Session that are to go: those whose entries all lie in from … to − 1. */
interface Range {
  readonly number: number;
  readonly from: bigint;
  readonly to: bigint;
  /** What keys have besides the sequence: 0 or LATEST. */
  readonly kind: bigint;
}

/**
 * Removes segments, as many as one transaction takes.
 *
 * @returns where to go on in a later transaction, or null: all are removed
 */
function removeSegments(range: Range, into: IndexChanges): Range | null {
  const { number, from, to, kind } = range;
  let room = TRIM_SEGMENTS_MAX - into.size;
  const start = segmentKey(number, kind + from);
  const end = segmentKey(number, kind + to);
  for (const { key, value } of into.tables.queue.getRange({ start, end, snapshot: false })) {
    const first = firstSequenceOf(key);
    if (lastSequenceOf(value, first) >= to) break;
    if (isFull(room, into)) return { number, from: first, to, kind };
    room--;
    if (kind === LATEST) into.removeLatest(key, value);
    else into.removeSegment(key, value);
  }
  return null;
}

function isFull(room: number, into: IndexChanges): boolean {
  return room <= 0 || into.references.size >= TRIM_REFERENCES_MAX;
}

/**
 * Removes segments of an ended Session, and with the last one the row that says they are to go.
 *
 * @returns whether it was the last
 */
export function wipeSome(number: number, into: IndexChanges): boolean {
  let room = TRIM_SEGMENTS_MAX;
  const end = afterSession(number);
  const range = { start: sessionKey(number), ...(end === undefined ? {} : { end }) };
  for (const { key, value } of into.tables.queue.getRange({ ...range, snapshot: false })) {
    if (isFull(room, into)) return false;
    room--;
    if (isSegmentKey(key)) into.removeSegment(key, value);
    else into.remove("queue", Buffer.from(key));
  }
  into.remove("wipes", sessionKey(number));
  return true;
}

/** A batch of operations, as it is written: first steps(), one after the other, then rest(). */
export class Batch {
  readonly #engine: StoreEngine;
  readonly #tables: IndexTables;
  readonly #at: number;
  readonly #count: number;
  #changes: IndexChanges;
  /** Sessions whose segments are to be wiped once the batch is committed. */
  readonly wiped: number[] = [];

  constructor(engine: StoreEngine, tables: IndexTables, count: number) {
    this.#engine = engine;
    this.#tables = tables;
    this.#at = engine.calls.indexOperations() >>> 0;
    this.#count = count;
    this.#changes = new IndexChanges(tables);
  }

  /** What goes before; each step is computed when the one before it is committed. */
  *steps(): Generator<IndexChanges> {
    for (let index = 0; index < this.#count; index++) {
      const at = this.#at + index * abi.I_OPERATION_BYTES;
      if (this.#word(at, 0) !== abi.I_TRIM) continue;
      const from = u64At(this.#engine, at + 12);
      const range = { number: this.#word(at, 2), from, to: u64At(this.#engine, at + 20) };
      yield* this.#trim({ ...range, kind: 0n });
      if (this.#word(at, 1) !== 0) yield* this.#trim({ ...range, kind: LATEST });
    }
  }

  *#trim(whole: Range): Generator<IndexChanges> {
    let range: Range | null = whole;
    for (;;) {
      range = removeSegments(range, this.#changes);
      if (range === null) return;
      yield this.#changes;
      this.#changes = new IndexChanges(this.#tables);
    }
  }

  /** All that is left, after the steps. */
  rest(): IndexChanges {
    for (let index = 0; index < this.#count; index++) {
      this.#apply(this.#at + index * abi.I_OPERATION_BYTES);
    }
    return this.#changes;
  }

  #word(at: number, field: number): number {
    return this.#engine.words[(at >>> 2) + field] as number;
  }

  #apply(at: number): void {
    const kind = this.#word(at, 0);
    if (kind === abi.I_PUT) this.#put(at);
    else if (kind === abi.I_LATEST) this.#latest(at);
    else if (kind === abi.I_REMOVE) this.#changes.remove(...this.#rowOf(at));
    else if (kind === abi.I_END) this.#end(this.#word(at, 2), this.#word(at, 3) !== 0);
    else if (kind === abi.I_CLEAR) this.#clear(this.#word(at, 2));
    else if (kind === abi.I_REFER) this.#refer(at);
    else assert(kind === abi.I_TRIM, `operation ${kind} is unknown`);
  }

  #rowOf(at: number): readonly [table: IndexTable, key: Buffer] {
    const key = bytesAt(this.#engine, this.#word(at, 2), this.#word(at, 3));
    const table = this.#word(at, 1);
    if (table === abi.T_SESSIONS) return ["sessions", key];
    if (table === abi.T_SUBSCRIPTIONS) return ["subscriptions", key];
    if (table === abi.T_QUEUE) return ["queue", key];
    assert(table === abi.T_RETAINED, `table ${table} is unknown`);
    return ["retained", retainedKey(key)];
  }

  #put(at: number): void {
    const [table, key] = this.#rowOf(at);
    const value = bytesAt(this.#engine, this.#word(at, 4), this.#word(at, 5));
    if (table === "queue") this.#changes.putSegment(key, value);
    else this.#changes.put(table, key, value);
  }

  #latest(at: number): void {
    const [, named] = this.#rowOf(at);
    const key = named.subarray(0, SEGMENT_KEY_BYTES);
    const value = bytesAt(this.#engine, this.#word(at, 4), this.#word(at, 5));
    const { calls } = this.#engine;
    this.#changes.putLatest(
      key,
      named.subarray(SEGMENT_KEY_BYTES),
      value,
      (sequence, bytes) => calls.indexReplaced(key.readUInt32BE(0), sequence, bytes) === 0,
    );
  }

  #refer(at: number): void {
    const row = bytesAt(this.#engine, this.#word(at, 5), this.#word(at, 6));
    this.#changes.references.add(u64At(this.#engine, at + 8), this.#word(at, 4), row);
  }

  #end(number: number, hasSegments: boolean): void {
    this.#changes.remove("sessions", sessionKey(number));
    this.#clear(number);
    if (!hasSegments) return;
    this.#changes.put("wipes", sessionKey(number), EMPTY);
    this.wiped.push(number);
  }

  #clear(number: number): void {
    const end = afterSession(number);
    const range = { start: sessionKey(number), ...(end === undefined ? {} : { end }) };
    for (const key of this.#tables.subscriptions.getKeys({ ...range, snapshot: false })) {
      this.#changes.remove("subscriptions", Buffer.from(key));
    }
  }
}
