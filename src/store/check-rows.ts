/**
 * The rows of the index as bytes: read, and judged each for itself.
 *
 * Their forms stand in assembly/abi.ts, `ROW_…`; the engine writes and reads them, and this reads
 * them a second time. All numbers are little endian; the low byte of a row's first u32 is the
 * version of its form.
 */
import * as abi from "#assembly/abi";

const SUBSCRIPTION_HEAD_BYTES = 12;
const CHUNK_HEAD_BYTES = 8;
const WILL_HEAD_BYTES = 16;

/** Entries of one segment. */
export const SEGMENT_ENTRIES_MAX = 64;

/** Longest Client Identifier, Topic Name or Topic Filter: a length field of two bytes. */
const TEXT_BYTES_MAX = 65_535;
const SUBSCRIPTION_IDENTIFIER_MAX = 268_435_455;

/** A row that is not as it should be; the message says how. */
export class RowFault extends Error {
  override readonly name = "RowFault";
}

export interface SessionRow {
  readonly clientId: string;
  /** No client's: a group of shared subscriptions, or what a member left to others. */
  readonly isHidden: boolean;
  readonly head: number;
  readonly sent: number;
  readonly next: number;
  readonly storedEnd: number;
  readonly unsent: number;
  readonly unsentCount: number;
  readonly subscriptionCount: number;
  /** Subscriptions that stand in rows of their own. */
  readonly subscriptionsElsewhere: number;
  /** Sequences of stored entries above head that are done. */
  readonly done: ReadonlySet<number>;
}

export interface Segment {
  readonly last: number;
  readonly sequences: readonly number[];
  /** Message ids that it refers to; one as often as it does. */
  readonly references: readonly number[];
}

const decoder = new TextDecoder("utf-8", { fatal: true });

function demand(holds: boolean, fault: string): asserts holds {
  if (!holds) throw new RowFault(fault);
}

function demandVersion(row: Buffer, headBytes: number, newest = abi.ROW_VERSION): void {
  demand(row.length >= headBytes, `${row.length} bytes are less than its head`);
  const version = row.readUInt8(0);
  const isKnown = version >= abi.ROW_VERSION && version <= newest;
  demand(isKnown, `version ${version} of its form is unknown`);
}

function u64(row: Buffer, at: number): number {
  const value = Number(row.readBigUInt64LE(at));
  demand(Number.isSafeInteger(value), `the number at byte ${at} is out of range`);
  return value;
}

function padded(bytes: number): number {
  return (bytes + 3) & ~3;
}

function textAt(row: Buffer, at: number, bytes: number, what: string): string {
  demand(bytes <= TEXT_BYTES_MAX && at + padded(bytes) <= row.length, `its ${what} is cut off`);
  try {
    return decoder.decode(row.subarray(at, at + bytes));
  } catch {
    throw new RowFault(`its ${what} is no UTF-8`);
  }
}

/** @throws RowFault */
export function readSessionRow(row: Buffer): SessionRow {
  demandVersion(row, abi.ROW_SESSION_BYTES, abi.ROW_SESSION_VERSION);
  const version = row.readUInt32LE(abi.ROW_SESSION_PROTOCOL);
  demand(version >= 3 && version <= 5, `protocol version ${version} is unknown`);
  const head = u64(row, abi.ROW_SESSION_HEAD);
  const sent = u64(row, abi.ROW_SESSION_SENT);
  const next = u64(row, abi.ROW_SESSION_NEXT);
  const storedEnd = u64(row, abi.ROW_SESSION_STORED_END);
  demand(head <= sent, `head ${head} is past sent ${sent}`);
  demand(sent <= next, `sent ${sent} is past next ${next}`);
  demand(storedEnd <= next, `stored end ${storedEnd} is past next ${next}`);
  const unsent = u64(row, abi.ROW_SESSION_UNSENT);
  const unsentCount = row.readUInt32LE(abi.ROW_SESSION_UNSENT_COUNT);
  if (unsentCount > 0) {
    const isWithin = unsent >= sent && unsent + unsentCount <= storedEnd;
    demand(isWithin, `unsent ${unsent} with ${unsentCount} entries is not below ${storedEnd}`);
  }
  const clientIdBytes = row.readUInt32LE(abi.ROW_SESSION_ID_BYTES);
  const clientId = textAt(row, abi.ROW_SESSION_BYTES, clientIdBytes, "Client Identifier");
  const userEnd = readUser(row, abi.ROW_SESSION_BYTES + padded(clientIdBytes));
  const lists = listsOf(row, userEnd, next - head);
  const subscriptionCount = row.readUInt32LE(abi.ROW_SESSION_SUBSCRIPTIONS);
  const end = readSubscriptions(row, lists.end, subscriptionCount);
  demand(end === row.length, `${row.length - end} bytes follow its end`);
  const subscriptionsElsewhere = row.readUInt32LE(abi.ROW_SESSION_CHUNKED);
  const isInOnePlace = subscriptionCount === 0 || subscriptionsElsewhere === 0;
  demand(isInOnePlace, "it has subscriptions in its row and elsewhere");
  const done = new Set(lists.done.map((offset) => head + offset));
  return {
    isHidden: clientId.startsWith("\0"),
    ...{ clientId, head, sent, next, storedEnd, unsent, unsentCount },
    ...{ subscriptionCount, subscriptionsElsewhere, done },
  };
}

/** Whose the Session is, in rows of the second form. @returns where that ends */
function readUser(row: Buffer, at: number): number {
  if (row.readUInt8(0) !== abi.ROW_SESSION_VERSION) return at;
  demand(at + 4 <= row.length, "its user name is cut off");
  const bytes = row.readUInt16LE(at);
  textAt(row, at + 4, bytes, "user name");
  return at + 4 + padded(bytes);
}

/** The three lists of u32 behind all names. */
function listsOf(
  row: Buffer,
  start: number,
  span: number,
): { readonly done: readonly number[]; readonly end: number } {
  let at = start;
  const list = (countAt: number, what: string, max: number): number[] => {
    const count = row.readUInt32LE(countAt);
    demand(at + 4 * count <= row.length, `its list of ${what} is cut off`);
    const values = Array.from({ length: count }, (_, index) => row.readUInt32LE(at + 4 * index));
    at += 4 * count;
    demand(new Set(values).size === count, `its list of ${what} names one twice`);
    const wrong = values.find((value) => value > max);
    demand(wrong === undefined, `its list of ${what} has ${wrong}`);
    return values;
  };
  const received = list(abi.ROW_SESSION_RECEIVED, "received Packet Identifiers", 0xffff);
  demand(!received.includes(0), "its list of received Packet Identifiers has 0");
  const done = list(abi.ROW_SESSION_DONE, "sequences done", span - 1);
  list(abi.ROW_SESSION_RELEASED, "sequences released", span - 1);
  return { done, end: at };
}

/** @returns where they end */
function readSubscriptions(row: Buffer, start: number, count: number): number {
  let at = start;
  for (let index = 0; index < count; index++) {
    demand(at + SUBSCRIPTION_HEAD_BYTES <= row.length, `subscription ${index} is cut off`);
    const identifier = row.readUInt32LE(at + 4);
    const bytes = row.readUInt32LE(at + 8);
    const isIdentifier = identifier <= SUBSCRIPTION_IDENTIFIER_MAX;
    demand(isIdentifier, `subscription ${index} has the identifier ${identifier}`);
    const filter = textAt(row, at + SUBSCRIPTION_HEAD_BYTES, bytes, `Topic Filter ${index}`);
    demand(filter !== "", `Topic Filter ${index} is empty`);
    at += SUBSCRIPTION_HEAD_BYTES + padded(bytes);
  }
  return at;
}

/**
 * @returns the number of subscriptions in a row of `subscriptions`
 * @throws RowFault
 */
export function readSubscriptionChunk(row: Buffer): number {
  demandVersion(row, CHUNK_HEAD_BYTES);
  const count = row.readUInt32LE(4);
  const end = readSubscriptions(row, CHUNK_HEAD_BYTES, count);
  demand(end === row.length, `${row.length - end} bytes follow its end`);
  return count;
}

/**
 * @param first  the sequence in the row's key
 * @throws RowFault
 */
export function readSegment(row: Buffer, first: number): Segment {
  demandVersion(row, abi.ROW_SEGMENT_BYTES);
  const count = row.readUInt32LE(0) >>> 8;
  demand(count >= 1 && count <= SEGMENT_ENTRIES_MAX, `it has ${count} entries`);
  const span = row.readUInt32LE(abi.ROW_SEGMENT_SPAN);
  const referenceCount = row.readUInt32LE(abi.ROW_SEGMENT_REFERENCES);
  demand(referenceCount <= count, `it has ${referenceCount} references for ${count} entries`);
  let at = abi.ROW_SEGMENT_BYTES + 8 * referenceCount;
  demand(at <= row.length, "its references are cut off");
  const references = Array.from({ length: referenceCount }, (_, index) =>
    u64(row, abi.ROW_SEGMENT_BYTES + 8 * index),
  );
  const used = new Set<number>();
  const sequences: number[] = [];
  for (let index = 0; index < count; index++) {
    demand(at + abi.ROW_ENTRY_BYTES <= row.length, `entry ${index} is cut off`);
    const offset = row.readUInt32LE(at);
    const bytes = row.readUInt32LE(at + abi.ROW_ENTRY_LENGTH);
    const isWhole = bytes >= abi.ROW_ENTRY_BYTES && bytes % 4 === 0 && at + bytes <= row.length;
    demand(isWhole, `entry ${index} has ${bytes} bytes`);
    const previous = sequences.at(-1) ?? first - 1;
    demand(first + offset > previous, `entry ${index} is out of order`);
    const reference = readEntry(row.subarray(at, at + bytes), index, referenceCount);
    if (reference !== null) used.add(reference);
    sequences.push(first + offset);
    at += bytes;
  }
  demand(at === row.length, `${row.length - at} bytes follow its end`);
  demand(sequences[0] === first, "its first entry is not that of its key");
  const last = sequences.at(-1) ?? first;
  demand(last - first === span, `its span is ${span}, its last entry at ${last - first}`);
  demand(used.size === referenceCount, "it refers to a message that no entry needs");
  return { last, sequences, references };
}

/**
 * @returns the sequence of a topic's newest message
 * @throws RowFault
 */
export function readLatestSequence(row: Buffer): number {
  demand(row.length === 8, `its row has ${row.length} bytes`);
  return u64(row, 0);
}

/** @returns the index into the references; null: the message is here */
function readEntry(entry: Buffer, index: number, referenceCount: number): number | null {
  const flags = entry.readUInt32LE(abi.ROW_ENTRY_FLAGS);
  const at = abi.ROW_ENTRY_BYTES + 4 * (flags >>> abi.ROW_ENTRY_IDENTIFIERS_SHIFT);
  const hasQos = (flags & 3) !== 3;
  demand(hasQos && at <= entry.length, `entry ${index} has flags ${flags}`);
  if ((flags & abi.ROW_ENTRY_REFERS) === 0) {
    readMessage(entry.subarray(at));
    return null;
  }
  demand(entry.length === at + 4, `entry ${index} has ${entry.length} bytes, by reference`);
  const reference = entry.readUInt32LE(at);
  demand(reference < referenceCount, `entry ${index} refers to number ${reference}`);
  return reference;
}

/**
 * @returns its Topic Name
 * @throws RowFault
 */
export function readMessage(row: Buffer): string {
  demandVersion(row, abi.ROW_MESSAGE_BYTES);
  const topicBytes = row.readUInt32LE(abi.ROW_MESSAGE_TOPIC_BYTES);
  const propertiesBytes = row.readUInt32LE(abi.ROW_MESSAGE_PROPERTIES_BYTES);
  const publisherBytes = row.readUInt32LE(abi.ROW_MESSAGE_PUBLISHER_BYTES);
  const payloadBytes = row.readUInt32LE(abi.ROW_MESSAGE_PAYLOAD_BYTES);
  const texts = topicBytes + propertiesBytes + publisherBytes + payloadBytes;
  const bytes = 4 * Math.ceil((abi.ROW_MESSAGE_BYTES + texts) / 4);
  demand(bytes === row.length, `its message has ${row.length} bytes instead of ${bytes}`);
  const topic = textAt(row, abi.ROW_MESSAGE_BYTES, topicBytes, "Topic Name");
  demand(topic !== "" && !/[+#\0]/.test(topic), "its Topic Name is none");
  return topic;
}

/** @throws RowFault */
export function readWill(row: Buffer): void {
  demandVersion(row, WILL_HEAD_BYTES);
  const packet = row.subarray(WILL_HEAD_BYTES);
  demand(packet.length > 2 && packet.readUInt8(0) >>> 4 === 3, "its packet is no PUBLISH");
  let length = 0;
  let at = 1;
  for (let shift = 0; shift < 28; shift += 7) {
    const byte = packet.readUInt8(at++);
    length += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80 || at === packet.length) break;
  }
  demand(length === packet.length - at, `its packet has ${packet.length} bytes`);
}
