/**
 * Plays fuzz cases to a running engine and says what went wrong: a trap, a leak, a close that the
 * reference would not have made or a connection that it would have closed, bytes that no server may
 * send, or no answer to a PINGREQ.
 */
import { rawConnect } from "../support/client-bytes.ts";
import { EngineHarness, type Peer } from "../support/engine-harness.ts";
import { type Ending, judgeConnection, type Verdict } from "../support/engine-harness-judge.ts";
import type { ServerPacket } from "../support/packets-types.ts";
import { readServerPackets } from "../support/reference-decoder-server.ts";
import type { FuzzCase } from "./case.ts";

/** What the engine is told, and what the reference judges by. */
export const SETTINGS = { packetBytesMax: 20_000, topicAliasMax: 5 };
const LIMITS = { ...SETTINGS, connackBytes: await connackBytesOf(new EngineHarness(SETTINGS)) };

/** Size of the CONNACK for a client that brings its Client Identifier. */
async function connackBytesOf(harness: EngineHarness): Promise<number> {
  const peer = harness.open();
  harness.send(peer, rawConnect());
  await harness.settle();
  return peer.wire.takeReceived().length;
}

export type FaultKind = "trap" | "leak" | "ending" | "answer";

export interface Fault {
  readonly kind: FaultKind;
  readonly text: string;
}

/** What a case was, for statistics: cases that only ever fail early have lost their edge. */
export interface Played {
  readonly fault: Fault | null;
  /** Connections that the broker left open at the end. */
  readonly openCount: number;
}

const PINGREQ = Uint8Array.of(0xc0, 0x00);
/** A Maximum Packet Size that lets every answer through that a check needs. */
const ANSWER_BYTES = 8;
const SESSION_TAKEN_OVER = 0x8e;
const PROTOCOL_ERROR = 0x82;

class PlayedConnection {
  readonly peer: Peer;
  bytes: Uint8Array = new Uint8Array();
  verdict: Verdict;
  /** Set where another connection took the Session over. */
  takenOver: Ending | null = null;
  hasHungUp = false;
  endedByBroker = false;
  readonly #limits: typeof LIMITS & { readonly hasOthers: boolean };

  constructor(peer: Peer, hasOthers: boolean) {
    this.peer = peer;
    this.#limits = { ...LIMITS, hasOthers };
    this.verdict = judgeConnection(this.bytes, this.#limits);
  }

  get isOpen(): boolean {
    return this.takenOver === null && this.verdict.ending === null && !this.hasHungUp;
  }

  /** @returns whether a CONNECT was accepted with these bytes */
  take(bytes: Uint8Array): boolean {
    const before = this.verdict.connect;
    this.bytes = Buffer.concat([this.bytes, bytes]);
    this.verdict = judgeConnection(this.bytes, this.#limits);
    return before === null && this.verdict.connect !== null;
  }

  get clientIdentifier(): string {
    return this.verdict.connect?.clientIdentifier ?? "";
  }
}

/** Plays one case; what it leaves behind is wiped, but for what only a check for leaks finds. */
export async function playCase(harness: EngineHarness, fuzzCase: FuzzCase): Promise<Played> {
  const connections = new Map<number, PlayedConnection>();
  try {
    await playSteps(harness, fuzzCase, connections);
    const all = [...connections.values()];
    const fault = await judgeAll(harness, all);
    const openCount = all.filter(({ peer }) => !peer.wire.isEnded).length;
    wipe(harness, all);
    return { fault, openCount };
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    const kind = harness.isBroken ? "trap" : "answer";
    if (!harness.isBroken) wipe(harness, [...connections.values()]);
    return { fault: { kind, text }, openCount: 0 };
  }
}

async function playSteps(
  harness: EngineHarness,
  fuzzCase: FuzzCase,
  connections: Map<number, PlayedConnection>,
): Promise<void> {
  const hasOthers = fuzzCase.some(({ connection }) => connection !== fuzzCase[0]?.connection);
  // Whoever hangs up, or meets others, does so when what came before has been handled.
  const settles = hasOthers || fuzzCase.some(({ bytes }) => bytes === null);
  for (const { connection, bytes } of fuzzCase) {
    const known = connections.get(connection);
    if (bytes === null) {
      if (known !== undefined) hangUp(harness, known);
      continue;
    }
    const one = known ?? new PlayedConnection(harness.open(), hasOthers);
    connections.set(connection, one);
    if (one.hasHungUp || one.takenOver !== null) continue;
    if (one.take(bytes)) takeOver(one, connections.values());
    harness.send(one.peer, bytes);
    if (settles) await harness.settle();
  }
  if (!settles) await harness.settle();
}

function hangUp(harness: EngineHarness, one: PlayedConnection): void {
  one.endedByBroker ||= one.peer.wire.isEnded;
  one.hasHungUp = true;
  harness.hangUp(one.peer);
}

/** Whoever is open with that Client Identifier ends, before anything behind the CONNECT is read. */
function takeOver(by: PlayedConnection, all: Iterable<PlayedConnection>): void {
  if (by.clientIdentifier === "") return;
  for (const one of all) {
    if (one === by || !one.isOpen || one.clientIdentifier !== by.clientIdentifier) continue;
    const isTold = one.verdict.version === 5;
    one.takenOver = isTold
      ? { says: "disconnect", reasonCode: SESSION_TAKEN_OVER }
      : { says: "nothing", reasonCode: 0 };
  }
}

async function judgeAll(
  harness: EngineHarness,
  all: readonly PlayedConnection[],
): Promise<Fault | null> {
  const asked = all.filter(
    (one) => one.isOpen && !one.peer.wire.isEnded && one.verdict.isWhole && hears(one),
  );
  for (const { peer } of asked) harness.send(peer, PINGREQ);
  if (asked.length > 0) await harness.settle();
  for (const one of all) {
    const fault = judgeOne(one, asked.includes(one));
    if (fault !== null) return fault;
  }
  return null;
}

/** Whether it is connected, and takes a PINGRESP. */
function hears({ verdict: { connect } }: PlayedConnection): boolean {
  if (connect === null) return false;
  const limit = connect.properties.find(([identifier]) => identifier === 39)?.[1] ?? ANSWER_BYTES;
  return typeof limit === "number" && limit >= ANSWER_BYTES;
}

function judgeOne(one: PlayedConnection, isAsked: boolean): Fault | null {
  const { peer, verdict } = one;
  const received = peer.wire.takeReceived();
  // Whoever speaks no version is answered in the form of 3.1.1, which version 5 can be read as.
  const { packets, byteCount } = readServerPackets(verdict.version, received);
  const said = () => JSON.stringify({ expected: one.takenOver ?? verdict.ending, packets });
  if (byteCount !== received.length) {
    return { kind: "answer", text: `closed inside a packet: ${said()}` };
  }
  const wrong = wrongAnswer(packets);
  if (wrong !== null) return { kind: "answer", text: `${wrong}: ${said()}` };
  const isEnded = one.hasHungUp ? one.endedByBroker : peer.wire.isEnded;
  const ending = isEnded ? endingOf(packets) : null;
  if (!agrees(one, ending)) {
    return { kind: "ending", text: `it ended with ${JSON.stringify(ending)}: ${said()}` };
  }
  if (isAsked && ending === null && packets.every(({ type }) => type !== "pingresp")) {
    return { kind: "answer", text: `no PINGRESP: ${said()}` };
  }
  return null;
}

/** What no server says in any state: something before CONNACK, or a second one. */
function wrongAnswer(packets: readonly ServerPacket[]): string | null {
  const connacks = packets.filter(({ type }) => type === "connack").length;
  if (connacks > 1) return "two CONNACKs";
  const [first] = packets;
  if (first !== undefined && first.type !== "connack") return `${first.type} before CONNACK`;
  const isUnnumbered = (packet: ServerPacket) =>
    packet.type === "publish" && packet.qos > 0 && packet.packetIdentifier === 0;
  if (packets.some(isUnnumbered)) return "Packet Identifier 0";
  return null;
}

/** What the broker said last, if it ended the connection. */
function endingOf(packets: readonly ServerPacket[]): Ending {
  const last = packets.at(-1);
  if (last?.type === "disconnect") return { says: "disconnect", reasonCode: last.reasonCode };
  if (last?.type === "connack" && last.reasonCode !== 0) {
    return { says: "connack", reasonCode: last.reasonCode };
  }
  return { says: "nothing", reasonCode: 0 };
}

function agrees(one: PlayedConnection, ending: Ending | null): boolean {
  const { verdict } = one;
  const expected = one.takenOver ?? verdict.ending;
  if (ending?.says === expected?.says && ending?.reasonCode === expected?.reasonCode) return true;
  // Whoever hung up may have done so before the broker said what it had to.
  if (one.hasHungUp && ending === null) return verdict.ending === null;
  if (!verdict.mayEndEarly || ending === null) return false;
  return verdict.version === 5 ? ending.reasonCode === PROTOCOL_ERROR : ending.says === "nothing";
}

function wipe(harness: EngineHarness, all: readonly PlayedConnection[]): void {
  for (const { peer } of all) harness.hangUp(peer);
  harness.endSessions();
  if (harness.engine.calls.retainedCount() === 0) return;
  harness.dropRetained("#");
  for (const level of dollarLevelsOf(all)) harness.dropRetained(`${level}/#`);
}

function dollarLevelsOf(all: readonly PlayedConnection[]): ReadonlySet<string> {
  return new Set(all.flatMap(({ verdict }) => [...verdict.dollarLevels]));
}

/** Whether all memory comes back when everything has ended. */
export async function leaksAfter(harness: EngineHarness): Promise<string | null> {
  await harness.clear();
  const { blocks, bytes } = harness.heap();
  return blocks === 0 && bytes === 0 ? null : `${blocks} blocks, ${bytes} bytes are left`;
}
