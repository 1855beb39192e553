/**
 * Journal pages read by hand: the Session State that their records say, without the engine.
 *
 *   ┌────────┬──────┬─────────┬───────┬─────┬───────────────────┬────────┬────────┬─ ─ ─
 *   │ format │ turn │ time ms │ bytes │ crc │ type | bytes << 8 │ number │ fields │  records as
 *   └────────┴──────┴─────────┴───────┴─────┴───────────────────┴────────┴────────┴─ ─ ─  in abi.ts
 *
 * A dump of a Session is such a page, too, so recorded pages and dumps are compared as values.
 */
import { createHash } from "node:crypto";
import * as abi from "#assembly/abi";

/** A page, and the payloads that it keeps apart, in order. */
export interface JournalPage {
  readonly bytes: Uint8Array;
  readonly apart: readonly Uint8Array[];
}

/** A record's place in its page; `at` is where its fields begin. */
export interface JournalRecord {
  readonly type: number;
  readonly session: number;
  readonly offset: number;
  readonly at: number;
  readonly byteCount: number;
}

/** A message that is owed: one that PUBREC released has no text any more. */
interface Owed {
  state: "queued" | "sent" | "released";
  readonly text: string;
}

interface Message {
  readonly topicName: string;
  /** Of the payload. */
  readonly digest: string;
  /** Unix time, 0 = never. */
  readonly expiresMs: number;
  /** All of it. */
  readonly text: string;
}

/** Session State, in values that compare. */
export interface SessionState {
  readonly version: number;
  readonly isDurable: boolean;
  readonly expirySeconds: number;
  /** Unix seconds at which it expires, 0 = never; null while a connection carries it. */
  readonly expiresSeconds: number | null;
  /** Sorted. */
  readonly subscriptions: readonly string[];
  /** In the order of the sequences. */
  readonly owed: readonly string[];
  /** Packet Identifiers of QoS 2 messages received and not released, ascending. */
  readonly received: readonly number[];
}

/** Session State by Client Identifier. */
export type SessionStates = Readonly<Record<string, SessionState>>;

interface OpenSession {
  clientIdentifier: string;
  version: number;
  isDurable: boolean;
  expirySeconds: number;
  expiresSeconds: number | null;
  readonly subscriptions: Map<string, string>;
  readonly owed: Map<number, Owed>;
  readonly received: Set<number>;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The records of a page, in order; the page must be whole. */
export function readRecords(bytes: Uint8Array): readonly JournalRecord[] {
  const view = viewOf(bytes);
  const records: JournalRecord[] = [];
  let offset = abi.JOURNAL_HEADER_BYTES;
  while (offset < bytes.length) {
    const word = view.getUint32(offset, true);
    const byteCount = word >>> 8;
    records.push({
      type: word & 0xff,
      session: view.getUint32(offset + 4, true),
      offset,
      at: offset + abi.JOURNAL_RECORD_BYTES,
      byteCount,
    });
    if (byteCount < abi.JOURNAL_RECORD_BYTES) throw new Error(`record of ${byteCount} bytes`);
    offset += byteCount;
  }
  return records;
}

/** What the records of pages add up to. */
export class JournalState {
  readonly #sessions = new Map<number, OpenSession>();
  /** Retained messages by Topic Name. */
  readonly #retained = new Map<string, Message>();
  #page: JournalPage = { bytes: new Uint8Array(), apart: [] };
  #view = viewOf(this.#page.bytes);

  apply(page: JournalPage): void {
    this.#page = page;
    this.#view = viewOf(page.bytes);
    for (const record of readRecords(page.bytes)) this.#applyRecord(record);
  }

  #applyRecord(record: JournalRecord): void {
    const { type, at } = record;
    switch (type) {
      case abi.J_MESSAGE:
      case abi.J_WILL:
        return;
      case abi.J_OPENED:
        this.#open(record);
        return;
      case abi.J_ENDED:
        this.#sessions.delete(record.session);
        return;
      case abi.J_LEFT:
        this.#leave(record);
        return;
      case abi.J_RETAINED: {
        const message = this.#message(this.#u32(at));
        this.#retained.set(message.topicName, message);
        return;
      }
      case abi.J_RETAINED_DELETED:
        this.#retained.delete(this.#text(at + 4, this.#u32(at)));
        return;
      default: {
        const session = this.#sessions.get(record.session);
        if (session === undefined) throw new Error(`record ${type} of no Session`);
        this.#applyTo(session, record);
      }
    }
  }

  #applyTo(session: OpenSession, record: JournalRecord): void {
    const { type, at } = record;
    switch (type) {
      case abi.J_CLOSED:
        session.expirySeconds = this.#u32(at);
        session.expiresSeconds = this.#u32(at + 4);
        return;
      case abi.J_SUBSCRIBED: {
        const filter = this.#text(at + 12, this.#u32(at + 8));
        const how = `options=${this.#u32(at)} identifier=${this.#u32(at + 4)}`;
        session.subscriptions.set(filter, `${filter} ${how}`);
        return;
      }
      case abi.J_UNSUBSCRIBED:
        session.subscriptions.delete(this.#text(at + 4, this.#u32(at)));
        return;
      case abi.J_ENQUEUED: {
        const state = (this.#u32(at + 12) & abi.J_FLAG_SENT) === 0 ? "queued" : "sent";
        session.owed.set(this.#u64(at), { state, text: this.#owedText(record) });
        return;
      }
      case abi.J_SENT:
        markSent(session, this.#u64(at));
        return;
      case abi.J_DONE:
        session.owed.delete(this.#u64(at));
        return;
      case abi.J_HEAD:
        dropBelow(session, this.#u64(at), () => true);
        return;
      case abi.J_SKIPPED:
        dropBelow(session, this.#u64(at), ({ state }) => state === "queued");
        return;
      case abi.J_RELEASED:
        session.owed.set(this.#u64(at), { state: "released", text: "" });
        return;
      case abi.J_RECEIVED:
        session.received.add(this.#u32(at));
        return;
      case abi.J_FREED:
        session.received.delete(this.#u32(at));
        return;
      default:
        throw new Error(`no record has type ${type}`);
    }
  }

  /** The Session is no client's any more: what it is owed is all that is left of it. */
  #leave({ session: number }: JournalRecord): void {
    const session = this.#sessions.get(number);
    if (session === undefined) throw new Error(`Session ${number} left before it was there`);
    const digits = number.toString(16).padStart(8, "0");
    const fields = { expirySeconds: 0xffffffff, expiresSeconds: 0 };
    Object.assign(session, { clientIdentifier: `\0\0${digits}`, ...fields });
    session.subscriptions.clear();
    session.received.clear();
  }

  #open({ session: number, at }: JournalRecord): void {
    const clientIdentifier = this.#text(at + 16, this.#u32(at + 12));
    const before = this.#sessions.get(number);
    const fields = {
      isDurable: this.#u32(at) === 1,
      version: this.#u32(at + 4),
      expirySeconds: this.#u32(at + 8),
      expiresSeconds: null,
    };
    if (before !== undefined) {
      if (before.clientIdentifier !== clientIdentifier) throw new Error(`number ${number} again`);
      Object.assign(before, fields);
      return;
    }
    const subscriptions = new Map<string, string>();
    const owed = new Map<number, Owed>();
    const received = new Set<number>();
    this.#sessions.set(number, { clientIdentifier, ...fields, subscriptions, owed, received });
  }

  #owedText({ at, byteCount }: JournalRecord): string {
    const flags = this.#u32(at + 12);
    const identifiers: number[] = [];
    const end = at - abi.JOURNAL_RECORD_BYTES + byteCount;
    for (let from = at + 16; from < end; from += 4) identifiers.push(this.#u32(from));
    const how = `qos=${flags & 3} retain=${(flags >> 2) & 1} identifiers=[${identifiers}]`;
    return `${how} ${this.#message(this.#u32(at + 8)).text}`;
  }

  /** The message whose record stands at this offset of the page. */
  #message(offset: number): Message {
    if ((this.#u32(offset) & 0xff) !== abi.J_MESSAGE) throw new Error(`no message at ${offset}`);
    const at = offset + abi.JOURNAL_RECORD_BYTES;
    const [topicBytes, propertyBytes, publisherBytes, payloadBytes] = [4, 8, 12, 16].map((field) =>
      this.#u32(at + field),
    ) as [number, number, number, number];
    const apart = this.#u32(at + 20);
    let from = at + 32;
    const next = (byteCount: number): Uint8Array => {
      from += byteCount;
      return this.#page.bytes.subarray(from - byteCount, from);
    };
    const topicName = Buffer.from(next(topicBytes)).toString();
    const properties = Buffer.from(next(propertyBytes)).toString("hex");
    const publisher = Buffer.from(next(publisherBytes)).toString();
    const payload = apart === 0 ? next(payloadBytes) : this.#page.apart[apart - 1];
    if (payload?.length !== payloadBytes) throw new Error(`payload apart ${apart} is not whole`);
    const expiresMs = this.#u64(at + 24);
    const digest = describeBytes(payload);
    const text = [
      `flags=${this.#u32(at)}`,
      `topic=${topicName}`,
      `properties=${properties}`,
      `publisher=${publisher}`,
      `expires=${expiresMs}`,
      `payload=${digest}`,
    ].join(" ");
    return { topicName, digest, expiresMs, text };
  }

  #u32(at: number): number {
    return this.#view.getUint32(at, true);
  }

  #u64(at: number): number {
    return Number(this.#view.getBigUint64(at, true));
  }

  #text(at: number, byteCount: number): string {
    return Buffer.from(this.#page.bytes.subarray(at, at + byteCount)).toString();
  }

  sessions(): SessionStates {
    const states: Record<string, SessionState> = {};
    for (const { clientIdentifier, ...session } of this.#sessions.values()) {
      if (clientIdentifier in states) throw new Error(`two Sessions of ${clientIdentifier}`);
      const owed = [...session.owed].sort(([one], [other]) => one - other);
      states[clientIdentifier] = {
        ...session,
        subscriptions: [...session.subscriptions.values()].sort(),
        owed: owed.map(([sequence, { state, text }]) => `${sequence} ${state} ${text}`),
        received: [...session.received].sort((one, other) => one - other),
      };
    }
    return states;
  }

  /** Topic Names and payloads of the retained messages that have not expired, sorted. */
  retained(nowMs: number): readonly string[] {
    return [...this.#retained.values()]
      .filter(({ expiresMs }) => expiresMs === 0 || expiresMs > nowMs)
      .map(({ topicName, digest }) => `${topicName} payload=${digest}`)
      .sort();
  }
}

function markSent(session: OpenSession, upTo: number): void {
  for (const [sequence, owed] of session.owed) {
    if (sequence <= upTo && owed.state === "queued") owed.state = "sent";
  }
}

function dropBelow(session: OpenSession, end: number, isMeant: (owed: Owed) => boolean): void {
  for (const [sequence, owed] of session.owed) {
    if (sequence < end && isMeant(owed)) session.owed.delete(sequence);
  }
}

/** A payload as its length and a digest. */
export function describeBytes(bytes: Uint8Array): string {
  const digest = createHash("sha1").update(bytes).digest("hex").slice(0, 10);
  return `${bytes.length}:${digest}`;
}

/** What pages add up to. */
export function stateOf(pages: readonly JournalPage[]): JournalState {
  const state = new JournalState();
  for (const page of pages) state.apply(page);
  return state;
}
