/**
 * The tables of the index, read as a whole: what has to hold between their rows.
 *
 * Sessions, their subscriptions and their queues stand in the order of Session numbers, so they are
 * read side by side and nothing is kept of a Session that is done.
 */
import {
  RowFault,
  readLatestSequence,
  readMessage,
  readSegment,
  readSessionRow,
  readSubscriptionChunk,
  readWill,
  type Segment,
  type SessionRow,
} from "./check-rows.ts";
import {
  firstSequenceOf,
  type IndexTable,
  isLatestKey,
  isSegmentKey,
  META,
  retainedKey,
} from "./tables.ts";

export interface Row {
  readonly key: Buffer;
  /** Valid until the next row. */
  readonly value: Buffer;
}

/** All rows of a table in the order of their keys, of one moment for all tables. */
export type RowsOf = (table: IndexTable) => Iterable<Row>;

/** The rows of `meta`. */
export interface Meta {
  /** Names of rows that are not there, or not as long as they have to be; they count as 0. */
  readonly missing: readonly string[];
  readonly position: number;
  readonly nextSessionNumber: number;
  readonly nextMessageId: number;
}

/** Where faults go, and how far the check has come. */
export interface Findings {
  /** Gets a line for each fault. */
  readonly say: (fault: string) => void;
  /** Called at each row: rows so far. */
  readonly progress: (rowCount: number) => void;
}

/** Counts by what was counted, in the order of the summary. */
export type Counts = Map<string, number>;

export function readMeta(rowsOf: RowsOf): Meta {
  const values = new Map<string, Buffer>();
  for (const { key, value } of rowsOf("meta")) values.set(key.toString(), Buffer.from(value));
  const missing: string[] = [];
  const number = (key: Buffer, bytes: number): number => {
    const name = key.toString();
    const value = values.get(name);
    if (value?.length === bytes) return value.readUIntLE(0, Math.min(bytes, 6));
    missing.push(name);
    return 0;
  };
  return {
    position: number(META.position, 8),
    nextSessionNumber: number(META.numbers, 4),
    nextMessageId: number(META.messages, 8),
    missing,
  };
}

/**
 * Reads all tables but `meta`.
 *
 * @param isSettled  whether no page of the journal is behind the position: only then the numbers in
 *   `meta` have to be past all others
 */
export function checkIndex(
  rowsOf: RowsOf,
  meta: Meta,
  isSettled: boolean,
  findings: Findings,
): Counts {
  const check = new IndexCheck(rowsOf, meta, isSettled, findings);
  check.sessions();
  check.messages();
  check.retained();
  check.wills();
  return check.counts;
}

/** What a Session's segments add up to. */
interface QueueSums {
  entryCount: number;
  unsentCount: number;
  /** Its last sequence; −1: there is none. */
  last: number;
  /** Of topics' newest messages: those that are there, and those that topics lead to. */
  readonly latest: Set<number>;
  readonly latestOfTopics: Set<number>;
}

class IndexCheck {
  readonly counts: Counts = new Map();
  readonly #rowsOf: RowsOf;
  readonly #meta: Meta;
  readonly #isSettled: boolean;
  readonly #findings: Findings;
  /** Of each stored message the segments that refer to it. */
  readonly #references = new Map<number, number>();
  readonly #wipes = new Set<number>();
  #rowCount = 0;

  constructor(rowsOf: RowsOf, meta: Meta, isSettled: boolean, findings: Findings) {
    this.#rowsOf = rowsOf;
    this.#meta = meta;
    this.#isSettled = isSettled;
    this.#findings = findings;
  }

  #say(fault: string): void {
    this.#findings.say(fault);
  }

  #count(what: string, more = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + more);
  }

  #step(): void {
    this.#rowCount += 1;
    this.#findings.progress(this.#rowCount);
  }

  /** @returns what `read` makes of a row; null if the row is not as it should be */
  #judge<Value>(name: string, read: () => Value): Value | null {
    this.#step();
    try {
      return read();
    } catch (error) {
      if (!(error instanceof RowFault)) throw error;
      this.#say(`${name}: ${error.message}`);
      return null;
    }
  }

  sessions(): void {
    for (const { key } of this.#rowsOf("wipes")) this.#wipes.add(key.readUInt32BE(0));
    for (const what of ["Sessions", "subscriptions", "queued messages"]) this.#count(what, 0);
    const chunks = new Cursor(this.#rowsOf("subscriptions"));
    const segments = new Cursor(this.#rowsOf("queue"));
    const clientIds = new Map<string, number>();
    for (const { key, value } of this.#rowsOf("sessions")) {
      const number = key.readUInt32BE(0);
      const name = `Session ${number}`;
      this.#strays(chunks, segments, number);
      const row = this.#judge(name, () => readSessionRow(value));
      if (row === null || !row.isHidden) this.#count("Sessions");
      const chunked = this.#subscriptions(chunks, number);
      const sums = this.#queue(segments, number, row);
      if (this.#wipes.has(number)) this.#say(`${name}: it is there and in wipes`);
      if (row === null) continue;
      this.#count("subscriptions", row.subscriptionCount + chunked);
      if (chunked !== row.subscriptionsElsewhere) {
        this.#say(`${name}: ${chunked} subscriptions instead of ${row.subscriptionsElsewhere}`);
      }
      const other = clientIds.get(row.clientId);
      if (other !== undefined) this.#say(`${name}: its client has Session ${other}, too`);
      clientIds.set(row.clientId, number);
      this.#sums(name, row, sums);
      if (this.#isSettled && number >= this.#meta.nextSessionNumber) {
        this.#say(`${name}: the next number is ${this.#meta.nextSessionNumber}`);
      }
    }
    this.#strays(chunks, segments, Number.POSITIVE_INFINITY);
  }

  /** What the Session's row says of its queue: they are written in one transaction. */
  #sums(name: string, row: SessionRow, sums: QueueSums): void {
    if (sums.last >= row.storedEnd) {
      this.#say(`${name}: its queue has ${sums.last}, its stored end is ${row.storedEnd}`);
    }
    // Entries that were dropped unread may still be counted out of place, but never counted in.
    if (sums.unsentCount < row.unsentCount) {
      this.#say(`${name}: ${sums.unsentCount} unsent entries instead of ${row.unsentCount}`);
    }
  }

  /** Rows of Sessions below `before` that are not there. */
  #strays(chunks: Cursor, segments: Cursor, before: number): void {
    for (let number = chunks.number; number < before; number = chunks.number) {
      this.#subscriptions(chunks, number);
      this.#say(`subscriptions of Session ${number}, which is not there`);
    }
    for (let number = segments.number; number < before; number = segments.number) {
      this.#queue(segments, number, null);
      if (!this.#wipes.has(number)) this.#say(`queue of Session ${number}, which is not there`);
    }
  }

  /** @returns how many subscriptions the Session has in rows of their own */
  #subscriptions(chunks: Cursor, number: number): number {
    let count = 0;
    for (let row = chunks.take(number); row !== null; row = chunks.take(number)) {
      const { value } = row;
      const name = `subscriptions of Session ${number}`;
      count += this.#judge(name, () => readSubscriptionChunk(value)) ?? 0;
    }
    return count;
  }

  #queue(segments: Cursor, number: number, session: SessionRow | null): QueueSums {
    const [latest, latestOfTopics] = [new Set<number>(), new Set<number>()];
    const sums = { entryCount: 0, unsentCount: 0, last: -1, latest, latestOfTopics };
    for (let row = segments.take(number); row !== null; row = segments.take(number)) {
      const { value, key } = row;
      if (!isSegmentKey(key)) {
        const name = `newest message of a topic of Session ${number}`;
        const sequence = this.#judge(name, () => readLatestSequence(value));
        if (sequence !== null) latestOfTopics.add(sequence);
        continue;
      }
      const first = Number(firstSequenceOf(key));
      const name = `queue of Session ${number}, segment ${first}`;
      const isLatest = isLatestKey(key);
      // They stand between the others, where those have nothing.
      const isInOrder = isLatest || first > sums.last;
      if (!isInOrder) this.#say(`${name}: the one before reaches to ${sums.last}`);
      const segment = this.#judge(name, () => readSegment(value, first));
      if (segment === null) continue;
      if (isLatest) latest.add(first);
      sums.last = Math.max(sums.last, segment.last);
      for (const id of segment.references) {
        this.#references.set(id, (this.#references.get(id) ?? 0) + 1);
      }
      addEntries(sums, segment, session);
    }
    for (const sequence of latestOfTopics) {
      if (latest.has(sequence)) continue;
      this.#say(`queue of Session ${number}: a topic leads to ${sequence}, which is not there`);
    }
    if (session !== null) this.#count("queued messages", sums.entryCount);
    return sums;
  }

  messages(): void {
    this.#count("shared messages", 0);
    const references = new Cursor(this.#rowsOf("references"), (key) =>
      Number(key.readBigUInt64BE(0)),
    );
    for (const { key, value } of this.#rowsOf("messages")) {
      const id = Number(key.readBigUInt64BE(0));
      const name = `message ${id}`;
      this.#count("shared messages");
      this.#judge(name, () => readMessage(value));
      while (references.number < id) this.#stray(references);
      const counted = references.take(id)?.value.readUInt32LE(0) ?? 0;
      const found = this.#references.get(id) ?? 0;
      if (found === 0) {
        this.#say(`${name}: no segment refers to it`);
      } else if (counted !== found) {
        this.#say(`${name}: ${counted} references are counted, ${found} segments refer to it`);
      }
      if (this.#isSettled && id >= this.#meta.nextMessageId) {
        this.#say(`${name}: the next id is ${this.#meta.nextMessageId}`);
      }
      this.#references.delete(id);
    }
    while (references.number < Number.POSITIVE_INFINITY) this.#stray(references);
    for (const [id, count] of this.#references) {
      this.#say(`message ${id}: ${count} segments refer to it, and it is not there`);
    }
  }

  #stray(references: Cursor): void {
    const id = references.number;
    references.take(id);
    this.#step();
    this.#say(`references of message ${id}, which is not there`);
  }

  retained(): void {
    this.#count("retained messages", 0);
    for (const { key, value } of this.#rowsOf("retained")) {
      this.#count("retained messages");
      const name = `retained message ${key.subarray(0, 64).toString()}`;
      const topic = this.#judge(name, () => readMessage(value));
      if (topic === null || retainedKey(Buffer.from(topic)).equals(key)) continue;
      this.#say(`${name}: it is of another Topic Name`);
    }
  }

  wills(): void {
    this.#count("wills", 0);
    for (const { key, value } of this.#rowsOf("wills")) {
      this.#count("wills");
      this.#judge(`will of Session ${key.readUInt32BE(0)}`, () => readWill(value));
    }
  }
}

/** Entries below head or done are no longer owed; their rows go when their segment goes. */
function addEntries(sums: QueueSums, segment: Segment, session: SessionRow | null): void {
  for (const sequence of segment.sequences) {
    const isDone = session !== null && (sequence < session.head || session.done.has(sequence));
    if (isDone) continue;
    sums.entryCount += 1;
    if (session === null || sequence < session.unsent) continue;
    sums.unsentCount += 1;
  }
}

/** A table that is read beside another: its next row, taken if it has the number asked for. */
class Cursor {
  readonly #rows: Iterator<Row>;
  readonly #numberOf: (key: Buffer) => number;
  #row: Row | null = null;
  /** The number in the next row's key; Infinity: there is none. */
  number = Number.POSITIVE_INFINITY;

  constructor(rows: Iterable<Row>, numberOf = (key: Buffer): number => key.readUInt32BE(0)) {
    this.#rows = rows[Symbol.iterator]();
    this.#numberOf = numberOf;
    this.#advance();
  }

  /** @returns null if the next row has another number */
  take(number: number): Row | null {
    if (this.number !== number || this.#row === null) return null;
    const { key, value } = this.#row;
    const taken = { key: Buffer.from(key), value: Buffer.from(value) };
    this.#advance();
    return taken;
  }

  #advance(): void {
    const { done, value } = this.#rows.next();
    this.#row = done === true ? null : value;
    this.number = done === true ? Number.POSITIVE_INFINITY : this.#numberOf(value.key);
  }
}
