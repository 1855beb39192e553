/**
 * Chapter 16: every packet behind every packet, in every state of a connection, in both versions,
 * over real sockets. MQTT 5.0 §3.1.0, §4.3, §4.13; MQTT 3.1.1 §3.1, §4.3, §4.8.
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
  expectedLines,
  type Identifiers,
  type Setting,
  STATES,
} from "../support/sequences.ts";
import { startChapter } from "./chapter.ts";

const { broker } = startChapter();
/** Connections at once. */
const WIDTH = 64;
const PINGREQ = Buffer.of(0xc0, 0);

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

interface Sequence {
  readonly title: string;
  readonly version: PathVersion;
  readonly setting: Setting;
  readonly actions: readonly Action[];
}

/** A connection that is asked what has come by a PINGREQ behind what is sent. */
class Line {
  readonly #version: PathVersion;
  readonly #title: string;
  #transport: ClientTransport | undefined;
  #received = Buffer.alloc(0);
  #pingCount = 0;
  isClosed = false;
  #onChange: () => void = () => {};

  constructor({ version, title }: Sequence) {
    this.#version = version;
    this.#title = title;
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

  /** @returns what came since the last call, without the answer to the PINGREQ of this one */
  async send(bytes: Uint8Array, pingsWithin = 0): Promise<readonly ServerPacket[]> {
    const before = this.#packets().length;
    this.#pingCount += pingsWithin + 1;
    const pongs = () => this.#packets().filter(({ type }) => type === "pingresp").length;
    const done = new Promise<void>((resolve) => {
      this.#onChange = () => {
        if (this.isClosed || pongs() === this.#pingCount) resolve();
      };
    });
    this.#transport?.write(Buffer.concat([bytes, PINGREQ]));
    await withDeadline(done, this.#title, () => this.#title);
    const came = this.#packets().slice(before);
    return this.isClosed ? came : came.slice(0, -1);
  }

  end(): void {
    this.#transport?.destroy();
  }
}

/** Plays one on a connection of its own. @returns what came behind its setting */
async function play(sequence: Sequence): Promise<string[]> {
  const { version, setting, actions } = sequence;
  const line = new Line(sequence);
  await line.open();
  let own = 1;
  if (setting.sent.length > 0) {
    const packets = await line.send(setting.sent);
    for (const packet of packets) if (packet.type === "publish") own = packet.packetIdentifier;
  }
  const identifiers = { own, stray: own > 1000 ? own - 500 : own + 500 };
  if (setting.more) await line.send(setting.more(identifiers));
  const pings = actions.filter(({ name }) => name === "PINGREQ").length;
  const sent = Buffer.concat(actions.map((one) => one.bytes(version, identifiers)));
  const lines = (await line.send(sent, pings)).map((packet) => lineOf(packet, identifiers));
  line.end();
  return line.isClosed ? [...lines, "close"] : lines;
}

function sequencesFrom(state: string, version: PathVersion): readonly Sequence[] {
  const make = STATES.get(state);
  if (make === undefined) throw new Error(`no such state: ${state}`);
  const rows = ACTIONS.flatMap((first) => [[first], ...ACTIONS.map((second) => [first, second])]);
  return rows.map((actions, index) => {
    const setting = make(version, `own/${version}/${index}`);
    const title = `${state}: ${actions.map(({ name }) => name).join(", ")}`;
    return { title, version, setting, actions };
  });
}

async function wrongOnes(sequences: readonly Sequence[]): Promise<string[]> {
  const wrong: string[] = [];
  for (let at = 0; at < sequences.length; at += WIDTH) {
    const some = sequences.slice(at, at + WIDTH);
    const came = await Promise.all(some.map(play));
    for (const [index, { title, version, setting, actions }] of some.entries()) {
      const expected = expectedLines(setting.state, version, actions).join(", ");
      const lines = came[index]?.join(", ");
      if (lines !== expected) wrong.push(`${title}: ${lines}; not ${expected}`);
    }
  }
  return wrong;
}

describe.for([4, 5] as const)("version %i", (version) => {
  test.for([...STATES.keys()])(
    "%s [MQTT-3.1.0-1, -2] [MQTT-4.3.3-10, -11] [MQTT-4.13.1-1]",
    { timeout: 60_000 },
    async (state) => {
      const sequences = sequencesFrom(state, version);
      expect(sequences.length).toBeGreaterThan(500);
      expect(await wrongOnes(sequences)).toEqual([]);
    },
  );
});
