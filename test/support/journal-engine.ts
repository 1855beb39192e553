/**
 * Journal pages out of one engine and into another.
 */
import type { EngineHarness } from "./engine-harness.ts";
import { connectClient } from "./engine-harness-client.ts";
import { describeBytes, type JournalPage } from "./journal-state.ts";
import { acknowledgement } from "./packets.ts";
import type { PublishPacket } from "./packets-types.ts";

/** A page that stays as it is when the engine goes on. */
function copyOf(bytes: Uint8Array, apart: readonly Uint8Array[]): JournalPage {
  return { bytes: Buffer.from(bytes), apart: apart.map((payload) => Buffer.from(payload)) };
}

/** @returns the pages of all turns from now on, as they come */
export function recordPages(harness: EngineHarness): JournalPage[] {
  const pages: JournalPage[] = [];
  harness.turn.recordPages((bytes, apart) => pages.push(copyOf(bytes, apart)));
  return pages;
}

/**
 * Replays a page as a fresh start would: page and payloads lie in blocks that are freed behind it.
 *
 * @returns the engine's status
 */
export function replayPage({ engine, isBroken }: EngineHarness, page: JournalPage): number {
  const { calls } = engine;
  const at = engine.keep(page.bytes);
  const payloads = page.apart.map((payload) => engine.keep(payload));
  payloads.forEach((from, index) => {
    calls.replayApart(index, from, page.apart[index]?.length ?? 0);
  });
  const status = calls.replay(at, page.bytes.length);
  const after = engine.bytes.subarray(at, at + page.bytes.length);
  const isUnchanged = Buffer.compare(after, page.bytes) === 0;
  for (const block of [at, ...payloads]) calls.freeBlock(block);
  if (isBroken || !isUnchanged) throw new Error("replay trapped or changed its page");
  return status;
}

/** Replays pages, each of which must be taken. */
export function replayPages(harness: EngineHarness, pages: readonly JournalPage[]): void {
  pages.forEach((page, index) => {
    const status = replayPage(harness, page);
    if (status !== 0) throw new Error(`page ${index} of ${pages.length}: status ${status}`);
  });
}

/** The addresses of the Sessions of these Client Identifiers that are durable, or of all. */
function sessionsOf(
  harness: EngineHarness,
  clientIdentifiers: readonly string[],
): readonly { readonly clientIdentifier: string; readonly at: number }[] {
  return clientIdentifiers
    .map((clientIdentifier) => ({ clientIdentifier, at: harness.sessionOf(clientIdentifier) }))
    .filter(({ at }) => at !== 0 && harness.sessions.isDurable(at));
}

/** Client Identifiers of these that have a durable Session. */
export function durableOf(
  harness: EngineHarness,
  clientIdentifiers: readonly string[],
): readonly string[] {
  return sessionsOf(harness, clientIdentifiers).map(({ clientIdentifier }) => clientIdentifier);
}

/** Those of the Client Identifiers whose Session a connection carries. */
export function onlineOf(
  harness: EngineHarness,
  clientIdentifiers: readonly string[],
): readonly string[] {
  return clientIdentifiers.filter((clientIdentifier) => {
    const session = harness.sessionOf(clientIdentifier);
    return session !== 0 && harness.sessions.connectionOf(session) !== 0;
  });
}

/** A page for each durable Session, with all of its State; the page being filled must be empty. */
export function dumpSessions(
  harness: EngineHarness,
  clientIdentifiers: readonly string[],
): readonly JournalPage[] {
  const { bytes, calls } = harness.engine;
  if (calls.journalBytes() !== 0) throw new Error("the page of the turn is not ended");
  // What a replay left to be recorded once a page is no part of a dump.
  if (calls.sealPage(1) > 0) calls.committed(calls.sealedTurn());
  return sessionsOf(harness, clientIdentifiers).map(({ at: session }) => {
    calls.dumpSession(session);
    const byteCount = calls.sealPage(1);
    const at = calls.sealedAt() >>> 0;
    const apart = Array.from({ length: calls.sealedApartCount() }, (_, index) => {
      const from = calls.sealedApartAt(index) >>> 0;
      return bytes.subarray(from, from + calls.sealedApartBytes(index));
    });
    const page = copyOf(bytes.subarray(at, at + byteCount), apart);
    calls.committed(calls.sealedTurn());
    return page;
  });
}

/** A retained message, and how a subscriber got it. */
export interface RetainedDelivery {
  /** As JournalState.retained() says it. */
  readonly message: string;
  readonly how: string;
}

function describeDelivery(packet: PublishPacket): RetainedDelivery {
  const { topicName, qos, retain, payload, properties } = packet;
  return {
    message: `${topicName} payload=${describeBytes(payload)}`,
    how: `qos=${qos} retain=${retain} properties=${JSON.stringify(properties)}`,
  };
}

/** What a new subscriber is sent as retained, sorted. */
export async function readRetained(
  harness: EngineHarness,
  topicFilters: readonly string[],
): Promise<readonly RetainedDelivery[]> {
  const client = await connectClient(harness, "reader of retained messages");
  const deliveries: RetainedDelivery[] = [];
  for (const topicFilter of topicFilters) {
    client.subscribe(topicFilter, 2, { retainAsPublished: true });
    for (let packets = await client.answers(); packets.length > 0; ) {
      for (const packet of packets) {
        if (packet.type === "publish") deliveries.push(describeDelivery(packet));
        if (packet.type === "publish") client.acknowledge(packet);
        const { type } = packet;
        if (type === "pubrel") client.send(acknowledgement("pubcomp", packet.packetIdentifier));
      }
      packets = await client.answers();
    }
  }
  client.hangUp();
  await harness.settle();
  return deliveries.sort((one, other) => (one.message < other.message ? -1 : 1));
}

/** A copy of a page in which the word at an offset is another. */
export function withWord(page: JournalPage, offset: number, value: number): JournalPage {
  const bytes = Buffer.from(page.bytes);
  bytes.writeUInt32LE(value >>> 0, offset);
  return { ...page, bytes };
}

/** The beginning of a page. */
export function cutPage(page: JournalPage, byteCount: number): JournalPage {
  return { ...page, bytes: page.bytes.subarray(0, byteCount) };
}

/**
 * Lets the broker come to rest with nothing left in the page: what a commit sets free may write a
 * sent-to mark, which waits for the next turn, whenever that comes.
 */
export async function settlePages(harness: EngineHarness): Promise<void> {
  await harness.settle();
  while (harness.engine.calls.pagePending() !== 0) {
    harness.turn.schedule();
    await harness.settle();
  }
}
