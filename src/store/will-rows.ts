/**
 * Rows of `wills`: what is to be published for a Session whose connection broke.
 *
 *    0         4               8                16   16 …
 *   ┌─────────┬───────────────┬────────────────┬───┬────────────────┐
 *   │ version │ delay seconds │ due, Unix secs │ 0 │ PUBLISH packet │   u32 little endian
 *   └─────────┴───────────────┴────────────────┴───┴────────────────┘
 */

const WILL_ROW_VERSION = 1;
const WILL_HEAD_BYTES = 16;

/** A will as the store keeps it. */
export interface StoredWill {
  /** Will Delay Interval. */
  readonly delaySeconds: number;
  /** Unix time; 0: its connection was open. */
  readonly dueSecond: number;
  /** A PUBLISH in version 5. */
  readonly packet: Buffer;
}

/** A will that changed since it was last taken; null: there is none any more. */
export interface ChangedWill {
  /** Session number. */
  readonly number: number;
  readonly will: StoredWill | null;
}

export function willRow(will: StoredWill): Buffer {
  const row = Buffer.alloc(WILL_HEAD_BYTES + will.packet.length);
  row.writeUInt32LE(WILL_ROW_VERSION, 0);
  row.writeUInt32LE(will.delaySeconds, 4);
  row.writeUInt32LE(will.dueSecond, 8);
  row.set(will.packet, WILL_HEAD_BYTES);
  return row;
}

/** @returns null if the row is damaged */
export function readWillRow(row: Buffer): StoredWill | null {
  if (row.length <= WILL_HEAD_BYTES || row.readUInt32LE(0) !== WILL_ROW_VERSION) return null;
  return {
    delaySeconds: row.readUInt32LE(4),
    dueSecond: row.readUInt32LE(8),
    packet: row.subarray(WILL_HEAD_BYTES),
  };
}
