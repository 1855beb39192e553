/**
 * How many segments refer to each stored message: rows of `references`, changed in the transaction
 * that puts or removes the segments. The last one that goes takes the message with it.
 *
 * LMDB shows nothing of a transaction before it is committed, so what one transaction changes is
 * added up here first.
 */
import * as abi from "#assembly/abi";
import type { Change, Table } from "./environment.ts";
import { messageKey, u32Row } from "./tables.ts";

/** Of a segment's head: see ROW_SEGMENT_… of abi.ts. */
const SPAN_AT = 4;
const REFERENCES_AT = 8;
const SEGMENT_HEAD_BYTES = 16;

/** The last sequence of a segment. */
export function lastSequenceOf(row: Buffer, firstSequence: bigint): bigint {
  return firstSequence + BigInt(row.readUInt32LE(SPAN_AT));
}

/** Ids of the messages that a segment refers to, each once. */
export function referencesOf(row: Buffer): readonly bigint[] {
  const count = row.readUInt32LE(REFERENCES_AT);
  return Array.from({ length: count }, (_, index) =>
    row.readBigUInt64LE(SEGMENT_HEAD_BYTES + 8 * index),
  );
}

/** What the first message of a segment counts in its queue. */
export function countedBytesOf(row: Buffer): number {
  return row.readUInt32LE(firstEntryOf(row) + abi.ROW_ENTRY_COUNTED);
}

function firstEntryOf(row: Buffer): number {
  return SEGMENT_HEAD_BYTES + 8 * row.readUInt32LE(REFERENCES_AT);
}

/** What one transaction changes. */
export class ReferenceChanges {
  readonly #messages: Table;
  readonly #references: Table;
  readonly #deltas = new Map<bigint, number>();
  /** Rows of those messages that are new. */
  readonly #rows = new Map<bigint, Buffer>();

  constructor(messages: Table, references: Table) {
    this.#messages = messages;
    this.#references = references;
  }

  /** Messages whose count changes. */
  get size(): number {
    return this.#deltas.size;
  }

  /** @param row  the message, borrowed until the transaction is done */
  add(id: bigint, count: number, row: Buffer): void {
    this.#change(id, count);
    this.#rows.set(id, row);
  }

  /** The Topic Name of a segment's first message; null: the message is not there. */
  topicOf(segment: Buffer): Buffer | null {
    const at = firstEntryOf(segment);
    const flags = segment.readUInt32LE(at + abi.ROW_ENTRY_FLAGS);
    const body = at + abi.ROW_ENTRY_BYTES + 4 * (flags >>> abi.ROW_ENTRY_IDENTIFIERS_SHIFT);
    let row: Buffer | undefined = segment.subarray(body);
    if ((flags & abi.ROW_ENTRY_REFERS) !== 0) {
      const [id = 0n] = referencesOf(segment);
      row = this.#messages.get(messageKey(id));
    }
    if (row === undefined) return null;
    const bytes = row.readUInt32LE(abi.ROW_MESSAGE_TOPIC_BYTES);
    return row.subarray(abi.ROW_MESSAGE_BYTES, abi.ROW_MESSAGE_BYTES + bytes);
  }

  /** A segment with this row is removed. */
  giveBack(segment: Buffer): void {
    for (const id of referencesOf(segment)) this.#change(id, -1);
  }

  #change(id: bigint, count: number): void {
    this.#deltas.set(id, (this.#deltas.get(id) ?? 0) + count);
  }

  /** The rows that come of it; the transaction before must be committed. */
  changes(): readonly Change[] {
    const changes: Change[] = [];
    for (const [id, delta] of this.#deltas) {
      if (delta === 0 && !this.#rows.has(id)) continue;
      const key = messageKey(id);
      const before = this.#references.get(key)?.readUInt32LE(0) ?? 0;
      const count = before + delta;
      if (count > 0) {
        const row = this.#rows.get(id);
        if (before === 0 && row !== undefined) {
          changes.push({ table: this.#messages, key, value: row });
        }
        changes.push({ table: this.#references, key, value: u32Row(count) });
      } else if (before > 0) {
        changes.push({ table: this.#messages, key, value: null });
        changes.push({ table: this.#references, key, value: null });
      }
    }
    return changes;
  }
}
