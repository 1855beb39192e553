/**
 * Small data directories for the tests of `check`, `backup` and `compact`: rows are written byte by
 * byte, as assembly/abi.ts has them, and nothing of src/store/ used.
 */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { type Database, open } from "lmdb";
import * as abi from "#assembly/abi";
import { writeJournal } from "../support/store-frames.ts";

const BINARY = { encoding: "binary", keyEncoding: "binary" } as const;

export const STORE_ID = "0123456789abcdef";

/** The position of fillStore(). */
const POSITION = 7;

/** A store open for writing. */
export interface WritableStore {
  readonly directory: string;
  /** Parts by page number, in the order in which they are written; flush() does it. */
  readonly pages: Map<number, readonly Buffer[]>;
  readonly table: (name: string) => Database<Buffer, Buffer>;
  /** Waits until everything is written; the store stays open. */
  readonly flush: () => Promise<void>;
  readonly close: () => Promise<void>;
}

/** A new data directory with nothing in it but its marker, open for writing. */
export function createStore(): WritableStore {
  const directory = mkdtempSync(join(tmpdir(), "holdfast-store-"));
  const marker = { format: 1, created: new Date(0).toISOString(), id: STORE_ID };
  writeFileSync(join(directory, "holdfast.json"), `${JSON.stringify(marker)}\n`);
  const at = (name: string) => ({
    ...{ ...BINARY, noSubdir: true, maxDbs: 16 },
    path: join(directory, name),
  });
  const index = open<Buffer, Buffer>(at("index.mdb"));
  const pages = new Map<number, readonly Buffer[]>();
  const flushJournal = (): void => {
    const first = Math.min(POSITION + 1, ...pages.keys());
    writeJournal(join(directory, "journal"), STORE_ID, pages.size === 0 ? 1 : first, pages);
  };
  flushJournal();
  const tables = new Map<string, Database<Buffer, Buffer>>();
  const table = (name: string): Database<Buffer, Buffer> => {
    const known = tables.get(name) ?? index.openDB<Buffer, Buffer>(name, BINARY);
    tables.set(name, known);
    return known;
  };
  for (const name of ["meta", "sessions", "subscriptions", "queue", "messages"]) table(name);
  for (const name of ["references", "retained", "wills", "wipes"]) table(name);
  putMeta(table("meta"), 0, 0, 0);
  return {
    ...{ directory, pages, table },
    flush: async () => {
      flushJournal();
      await index.flushed;
    },
    close: () => index.close(),
  };
}

function putMeta(
  meta: Database<Buffer, Buffer>,
  position: number,
  nextNumber: number,
  nextId: number,
): void {
  const rows = { position: words(BigInt(position)), messages: words(BigInt(nextId)) };
  const all = { ...rows, numbers: words(nextNumber), format: words(1) };
  for (const [name, value] of Object.entries(all)) void meta.put(Buffer.from(name), value);
}

/** Numbers one after the other, little endian; a bigint takes 8 bytes, a number 4. */
export function words(...values: readonly (number | bigint)[]): Buffer {
  return Buffer.concat(
    values.map((value) => {
      const bytes = Buffer.alloc(typeof value === "bigint" ? 8 : 4);
      if (typeof value === "bigint") bytes.writeBigUInt64LE(value);
      else bytes.writeUInt32LE(value);
      return bytes;
    }),
  );
}

/** Numbers one after the other, big endian, as keys have them. */
export function key(...values: readonly (number | bigint)[]): Buffer {
  return Buffer.concat(values.map((value) => words(value).reverse()));
}

/** Text, filled with zeros to a multiple of 4. */
function padded(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}

export interface SessionFields {
  readonly version?: number;
  readonly protocol?: number;
  readonly head?: number;
  readonly sent?: number;
  readonly next?: number;
  readonly storedEnd?: number;
  readonly unsent?: number;
  readonly unsentBytes?: number;
  readonly unsentCount?: number;
  readonly clientId?: string;
  readonly received?: readonly number[];
  readonly done?: readonly number[];
  readonly released?: readonly number[];
  readonly filters?: readonly string[];
  readonly chunked?: number;
}

/** A row of `sessions`: by default of a Session that is owed nothing. */
export function sessionRow(fields: SessionFields = {}): Buffer {
  const { received = [], done = [], released = [], filters = [], clientId = "truck7" } = fields;
  const { head = 1, sent = head, next = sent, storedEnd = next, unsent = 0 } = fields;
  return Buffer.concat([
    words((fields.version ?? abi.ROW_VERSION) | (1 << 8), fields.protocol ?? 5, 3_600, 0),
    words(BigInt(head), BigInt(sent), BigInt(next), BigInt(storedEnd), BigInt(unsent)),
    words(BigInt(fields.unsentBytes ?? 0), fields.unsentCount ?? 0, 0),
    words(Buffer.byteLength(clientId), filters.length, received.length, done.length),
    words(released.length, fields.chunked ?? 0),
    padded(clientId),
    words(...received, ...done, ...released),
    ...filters.map(subscription),
  ]);
}

function subscription(filter: string): Buffer {
  return Buffer.concat([words(1, 0, Buffer.byteLength(filter)), padded(filter)]);
}

/** A row of `subscriptions`. */
export function chunkRow(filters: readonly string[]): Buffer {
  return Buffer.concat([words(abi.ROW_VERSION, filters.length), ...filters.map(subscription)]);
}

export function messageRow(topic: string, payload = "on"): Buffer {
  const texts = [topic, "", "publisher", payload];
  const head = words(abi.ROW_VERSION, ...texts.map((text) => Buffer.byteLength(text)), 0, 0n);
  return Buffer.concat([head, padded(texts.join(""))]);
}

/** A row of `queue`: an entry for each sequence, with its message, or with the id of one. */
export function segmentRow(
  sequences: readonly number[],
  ids: readonly number[] = [],
  bytesCounted = 100,
): Buffer {
  const [first = 0] = sequences;
  const span = (sequences.at(-1) ?? first) - first;
  const entries = sequences.map((sequence, index) => {
    const refers = index < ids.length;
    const body = refers ? words(index) : messageRow("fleet/truck7/alarm");
    const flags = 1 | (refers ? abi.ROW_ENTRY_REFERS : 0);
    const bytes = abi.ROW_ENTRY_BYTES + body.length;
    return Buffer.concat([words(sequence - first, flags, bytesCounted, bytes), body]);
  });
  return Buffer.concat([
    words(abi.ROW_VERSION | (sequences.length << 8), span, ids.length, 0),
    words(...ids.map(BigInt)),
    ...entries,
  ]);
}

/** A page of the journal and its payloads apart, with its crc. */
export function page(number: number, records: Buffer, apart: readonly Buffer[] = []): Buffer[] {
  const bytes = abi.JOURNAL_HEADER_BYTES + records.length;
  const head = words(abi.JOURNAL_FORMAT, number, 0n, bytes, 0);
  const whole = Buffer.concat([head, records]);
  const crc = apart.reduce((sum, part) => crc32(part, sum), crc32(whole));
  whole.writeUInt32LE(crc, abi.JOURNAL_CRC_AT);
  return [whole, ...apart];
}

/** Writes a page and its payloads apart. */
export function putPage(
  { pages }: WritableStore,
  number: number,
  records = Buffer.alloc(64, number),
  apart: readonly Buffer[] = [],
): void {
  pages.set(number, page(number, records, apart));
}

/**
 * Two Sessions, one with a queue of its own and a share in a message, a retained message and a
 * will; position 7, and pages 8 and 9 behind it unless `isSettled`.
 */
export async function fillStore(store: WritableStore, isSettled = true): Promise<void> {
  const put = (table: string, rowKey: Buffer, value: Buffer): void => {
    void store.table(table).put(rowKey, value);
  };
  putMeta(store.table("meta"), POSITION, 12, 6);
  const queued = { head: 3, sent: 4, next: 80, unsent: 4, unsentCount: 75, unsentBytes: 7_500 };
  put("sessions", key(3), sessionRow({ ...queued, done: [1], filters: ["fleet/#", "x"] }));
  put("sessions", key(11), sessionRow({ clientId: "desk", chunked: 3, received: [1, 65_535] }));
  put("subscriptions", Buffer.concat([key(11), Buffer.from([0, 0])]), chunkRow(["a", "b"]));
  put("subscriptions", Buffer.concat([key(11), Buffer.from([0, 1])]), chunkRow(["c"]));
  put("queue", key(3, 3n), segmentRow(sequencesOf(3, 66), [5]));
  put("queue", key(3, 67n), segmentRow(sequencesOf(67, 79), [5]));
  put("queue", key(9, 1n), segmentRow([1], [5]));
  put("wipes", key(9), Buffer.alloc(0));
  put("messages", key(5n), messageRow("fleet/all"));
  put("references", key(5n), words(3));
  put("retained", Buffer.from("fleet/truck7/position"), messageRow("fleet/truck7/position"));
  put("wills", key(3), Buffer.concat([words(1, 0, 0, 0), Buffer.from("30050001610a0b", "hex")]));
  putPage(store, POSITION);
  if (!isSettled) {
    putPage(store, 8, Buffer.alloc(64, 1), [Buffer.alloc(70_000, 2), Buffer.alloc(80_000, 3)]);
    putPage(store, 9);
  }
  await store.flush();
}

function sequencesOf(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}
