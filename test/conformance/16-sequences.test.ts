/**
 * Chapter 16: every packet behind every packet, in every state of a connection, in both versions,
 * over real sockets: of Sessions that end with it, of persistent ones, and of resumed ones.
 * MQTT 5.0 §3.1.0, §4.3, §4.13; MQTT 3.1.1 §3.1, §4.3, §4.8.
 */
import { describe, expect, test } from "vitest";
import { withDeadline } from "../support/await.ts";
import { type ClientTransport, openTcp } from "../support/client-transport.ts";
import type { PathVersion } from "../support/error-paths-properties.ts";
import type { ServerPacket } from "../support/packets-types.ts";
import { readServerPackets } from "../support/reference-decoder-server.ts";
import {
  ACTIONS,
  type Action,
  connectPacket,
  expectedLines,
  type Identifiers,
  type Setting,
  STATES,
  subscribePacket,
} from "../support/sequences.ts";
import { startChapter } from "./chapter.ts";

const { broker } = startChapter();
/** Connections at once. */
const WIDTH = 64;
const PINGREQ = Buffer.of(0xc0, 0);
/** Packet Identifier of the SUBSCRIBE whose SUBACK says that all answers have come. */
const MARKER = 0xfff0;

/** A packet as the table writes it; success is not mentioned. */
function lineOf(packet: ServerPacket, { own, stray }: Identifiers): string {
  const name = packet.type.toUpperCase();
  const codes = "reasonCodes" in packet ? packet.reasonCodes : [];
  const code = "reasonCode" in packet && packet.reasonCode !== 0 ? [packet.reasonCode] : [];
  const parts = [...codes, ...code].map((value) => `0x${value.toString(16)}`);
  if (!("packetIdentifier" in packet)) return [name, ...parts].join(" ");
  // A PUBREL is of the broker's own messages.
  const names = new Map(packet.type === "pubrel" ? [[own, 1] as const, [stray, 9] as const] : []);
  const { packetIdentifier } = packet;
  return [name, names.get(packetIdentifier) ?? packetIdentifier, ...parts].join(" ");
}

/** Of a resumed Session the connection was lost in the state, and another takes it up. */
type SessionKind = "clean" | "persistent" | "resumed";

interface Sequence {
  readonly title: string;
  /** "": none of a persistent Session. */
  readonly client: string;
  readonly isResumed: boolean;
  readonly version: PathVersion;
  readonly setting: Setting;
  readonly actions: readonly Action[];
}

/**
 * A connection that is asked what has come by a packet behind what is sent: PINGREQ, or where
 * answers wait for the disk a SUBSCRIBE, whose answer waits behind them.
 */
class Line {
  readonly #version: PathVersion;
  readonly #title: string;
  readonly #isPersistent: boolean;
  #transport: ClientTransport | undefined;
  #received = Buffer.alloc(0);
  #markerCount = 0;
  isClosed = false;
  #onChange: () => void = () => {};

  constructor({ version, title, client }: Sequence) {
    this.#version = version;
    this.#title = title;
    this.#isPersistent = client !== "";
  }

  async open(): Promise<void> {
    this.#transport = await openTcp(broker().port, {
      onBytes: (bytes) => {
        this.#received = Buffer.concat([this.#received, bytes]);
        this.#onChange();
      },
      onClosed: () => {
        this.isClosed = true;
        this.#onChange();
      },
    });
  }

  #packets(): readonly ServerPacket[] {
    return readServerPackets(this.#version, this.#received).packets;
  }

  /** @returns what came since the last call, without the answer that it ends with */
  async send(bytes: Uint8Array, pingsWithin = 0): Promise<readonly ServerPacket[]> {
    const before = this.#packets().length;
    this.#markerCount += this.#isPersistent ? 1 : pingsWithin + 1;
    const isMarker = (packet: ServerPacket): boolean =>
      this.#isPersistent
        ? packet.type === "suback" && packet.packetIdentifier === MARKER
        : packet.type === "pingresp";
    const marker = this.#isPersistent ? subscribePacket(this.#version, MARKER, "none") : PINGREQ;
    this.#transport?.write(Buffer.concat([bytes, marker]));
    await this.#until((packets) => packets.filter(isMarker).length === this.#markerCount);
    const came = this.#packets().slice(before);
    return this.isClosed ? came : came.slice(0, -1);
  }

  /** @returns the Packet Identifier of the broker's message, once that has come */
  async message(): Promise<number> {
    await this.#until((packets) => packets.some(({ type }) => type === "publish"));
    const message = this.#packets().find(({ type }) => type === "publish");
    return message?.type === "publish" ? message.packetIdentifier : 0;
  }

  /** Waits for what comes, or for the end of the connection. */
  async #until(hasCome: (packets: readonly ServerPacket[]) => boolean): Promise<void> {
    const done = new Promise<void>((resolve) => {
      this.#onChange = () => {
        if (this.isClosed || hasCome(this.#packets())) resolve();
      };
    });
    this.#onChange();
    await withDeadline(done, this.#title, () => this.#title);
  }

  end(): void {
    this.#transport?.destroy();
  }
}

/** Plays one on a connection of its own. @returns what came behind its setting */
async function play(sequence: Sequence): Promise<string[]> {
  const { version, setting, actions, client, isResumed } = sequence;
  let line = new Line(sequence);
  await line.open();
  let own = 1;
  if (setting.sent.length > 0) await line.send(setting.sent);
  if (setting.state.outgoing !== "none") own = await line.message();
  const identifiers = { own, stray: own > 1000 ? own - 500 : own + 500 };
  if (setting.more) await line.send(setting.more(identifiers));
  if (isResumed) {
    line.end();
    line = new Line(sequence);
    await line.open();
    const [connack, again] = await line.send(connectPacket(version, client));
    const identifier = again !== undefined && "packetIdentifier" in again && again.packetIdentifier;
    const isSame = setting.state.outgoing === "none" ? again === undefined : identifier === own;
    const isPresent = connack?.type === "connack" && connack.sessionPresent;
    if (!isSame || !isPresent) return ["not resumed"];
  }
  const pings = actions.filter(({ name }) => name === "PINGREQ").length;
  const sent = Buffer.concat(actions.map((one) => one.bytes(version, identifiers)));
  const lines = (await line.send(sent, pings)).map((packet) => lineOf(packet, identifiers));
  line.end();
  return line.isClosed ? [...lines, "close"] : lines;
}

function sequencesFrom(
  state: string,
  version: PathVersion,
  kind: SessionKind,
): readonly Sequence[] {
  const make = STATES.get(state);
  if (make === undefined) throw new Error(`no such state: ${state}`);
  const rows = ACTIONS.flatMap((first) => [[first], ...ACTIONS.map((second) => [first, second])]);
  return rows.map((actions, index) => {
    const names = actions.map(({ name }) => name).join(", ");
    const title = `${state}: ${names}`;
    const client = kind === "clean" ? "" : `${kind}/${version}/${state}/${index}`;
    const setting = make(version, `own/${kind}/${version}/${index}`, client);
    return { title, version, client, isResumed: kind === "resumed", setting, actions };
  });
}

/**
 * Whether what came is what is expected. Of a persistent Session a PINGRESP comes before answers
 * that wait for the disk, and where the connection ends those may stay behind.
 */
function isExpected(
  came: readonly string[],
  expected: readonly string[],
  isHeld: boolean,
): boolean {
  if (!isHeld) return came.join() === expected.join();
  const isPing = (line: string): boolean => line === "PINGRESP";
  const isEnd = (line: string): boolean => line === "close" || line.startsWith("DISCONNECT");
  const ends = came.at(-1) === "close";
  const [ours, theirs] = [came, expected].map((lines) => ({
    pings: lines.filter(isPing).length,
    end: lines.filter(isEnd).join(),
    held: lines.filter((line) => !isPing(line) && !isEnd(line)),
  }));
  if (ours === undefined || theirs === undefined) return false;
  const held = ends ? theirs.held.slice(0, ours.held.length) : theirs.held;
  const isSame = ours.held.join() === held.join() && ours.end === theirs.end;
  return isSame && ours.pings === theirs.pings;
}

async function wrongOnes(sequences: readonly Sequence[]): Promise<string[]> {
  const wrong: string[] = [];
  for (let at = 0; at < sequences.length; at += WIDTH) {
    const some = sequences.slice(at, at + WIDTH);
    const came = await Promise.all(some.map(play));
    for (const [index, { title, version, client, setting, actions }] of some.entries()) {
      const expected = expectedLines(setting.state, version, actions);
      const lines = came[index] ?? [];
      if (isExpected(lines, expected, client !== "")) continue;
      wrong.push(`${title}: ${lines.join(", ")}; not ${expected.join(", ")}`);
    }
  }
  return wrong;
}

const KINDS: readonly SessionKind[] = ["clean", "persistent", "resumed"];
const CASES = KINDS.flatMap((kind) =>
  [...STATES.keys()]
    .filter((state) => kind === "clean" || state !== "before CONNECT")
    .map((state) => ({ kind, state })),
);

describe.for([4, 5] as const)("version %i", (version) => {
  test.for(CASES)(
    "$kind Session, $state [MQTT-3.1.0-1, -2] [MQTT-4.3.3-10, -11] [MQTT-4.13.1-1]",
    { timeout: 60_000 },
    async ({ kind, state }) => {
      const sequences = sequencesFrom(state, version, kind);
      expect(sequences.length).toBeGreaterThan(500);
      expect(await wrongOnes(sequences)).toEqual([]);
    },
  );
});
