/**
 * Enhanced authentication against a model: whatever order AUTH and other packets come in, each is
 * answered as §4.12 says, nobody is let in without a proof, and nothing is left in memory.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { ScramCredentials } from "../../src/access/scram-credentials.ts";
import { credentialOf } from "../../src/access/scram-file.ts";
import { rawConnect, rawPacket, text } from "../support/client-bytes.ts";
import { EngineHarness, type Peer } from "../support/engine-harness.ts";
import { readServerPackets } from "../support/reference-decoder-server.ts";
import { authConnect, authPacket, ScramClient } from "../support/scram-client.ts";

const { PROPERTY_RUNS } = process.env;
const numRuns = Number(PROPERTY_RUNS ?? 300);

const credentials = new ScramCredentials(
  new Map([["truck", await credentialOf("diesel", 4096, Buffer.alloc(16, 7))]]),
);

const COMMANDS = [
  "connect",
  "connect with first",
  "connect without data",
  "connect with another method",
  "first",
  "final",
  "wrong final",
  "garbage",
  "another method",
  "again with first",
  "again without data",
  "again with another method",
  "ping",
  "publish",
] as const;
type Command = (typeof COMMANDS)[number];

/** How far the connection is; `asked …`: the client owes client-first or client-final. */
type State = "new" | "asked first" | "asked final" | "open" | "again first" | "again final";

/** What comes back: the type of the packet, with its code where it has one. */
type Answer = readonly [type: string, code: number] | null;

interface Step {
  /** null: the connection is closed. */
  readonly state: State | null;
  readonly answer: Answer;
}

const CONTINUE = ["auth", 0x18] as const;
const closed = (answer: Answer): Step => ({ state: null, answer });

/** What must come of a command, by the standard. */
function expectedOf(state: State, isProven: boolean, command: Command): Step {
  if (state === "new") return begun(command);
  const isOpen = state === "open" || state.startsWith("again");
  const refused = (code: number): Step => closed([isOpen ? "disconnect" : "connack", code]);
  if (command === "ping" || command === "publish") {
    // [MQTT-3.1.2-30]
    if (!isOpen) return refused(0x82);
    return { state, answer: command === "ping" ? ["pingresp", 0] : null };
  }
  if (command.startsWith("connect")) return refused(0x82); // [MQTT-3.1.0-2]
  if (isOpen && !isProven) return refused(0x82); // [MQTT-4.12.0-7]
  if (command.endsWith("another method")) return refused(isOpen ? 0x82 : 0x8c);
  if (command.startsWith("again")) {
    if (state !== "open") return refused(0x82);
    return {
      state: command === "again with first" ? "again final" : "again first",
      answer: CONTINUE,
    };
  }
  if (state === "open") return refused(0x82); // [MQTT-4.12.0-3]
  const isFirst = state.endsWith("first");
  if (isFirst && command === "first") {
    return { state: isOpen ? "again final" : "asked final", answer: CONTINUE };
  }
  if (isFirst || command !== "final") return refused(0x87);
  return { state: "open", answer: isOpen ? ["auth", 0x00] : ["connack", 0x00] };
}

function begun(command: Command): Step {
  if (command === "connect") return { state: "open", answer: ["connack", 0] };
  if (command === "connect with first") return { state: "asked final", answer: CONTINUE };
  if (command === "connect without data") return { state: "asked first", answer: CONTINUE };
  if (command === "connect with another method") return closed(["connack", 0x8c]);
  return closed(null); // [MQTT-3.1.0-1]
}

/** A client that says what it is told to, and remembers what it was asked last. */
class Player {
  readonly #harness: EngineHarness;
  readonly #peer: Peer;
  readonly #right = new ScramClient("truck", "diesel");
  readonly #wrong = new ScramClient("truck", "petrol");
  #serverFirst = "r=none,s=AAAA,i=4096";

  constructor(harness: EngineHarness) {
    this.#harness = harness;
    this.#peer = harness.open();
  }

  #bytes(command: Command): Buffer {
    const first = this.#right.first();
    switch (command) {
      case "connect":
        return rawConnect({ payload: [text("client")] });
      case "connect with first":
        return authConnect("client", first);
      case "connect without data":
        return authConnect("client", null);
      case "connect with another method":
        return authConnect("client", first, { method: "PLAIN" });
      case "first":
        return authPacket(0x18, first);
      case "final":
        return authPacket(0x18, this.#right.final(this.#serverFirst));
      case "wrong final":
        return authPacket(0x18, this.#wrong.final(this.#serverFirst));
      case "garbage":
        return authPacket(0x18, "garbage");
      case "another method":
        return authPacket(0x18, first, "PLAIN");
      case "again with first":
        return authPacket(0x19, first);
      case "again without data":
        return authPacket(0x19, null);
      case "again with another method":
        return authPacket(0x19, first, "PLAIN");
      case "ping":
        return rawPacket(0xc0);
      case "publish":
        return rawPacket(0x30, text("topic"), 0);
    }
  }

  async play(command: Command): Promise<{ readonly answer: Answer; readonly isClosed: boolean }> {
    this.#harness.send(this.#peer, this.#bytes(command));
    await this.#harness.settle();
    const received = this.#peer.wire.takeReceived();
    const { packets } = readServerPackets(5, received);
    expect(packets.length).toBeLessThanOrEqual(1);
    const [packet] = packets;
    const isClosed = this.#peer.wire.isEnded;
    if (packet === undefined) return { answer: null, isClosed };
    const at = received.indexOf("r=");
    if (packet.type === "auth" && at >= 0) this.#serverFirst = received.subarray(at).toString();
    return { answer: [packet.type, "reasonCode" in packet ? packet.reasonCode : 0], isClosed };
  }

  leave(): void {
    this.#harness.hangUp(this.#peer);
  }
}

/** Plays the commands until the connection ends. @returns the answers, one for each */
async function life(harness: EngineHarness, commands: readonly Command[]): Promise<string[]> {
  const player = new Player(harness);
  const seen: string[] = [];
  let state: State = "new";
  let isProven = false;
  for (const command of commands) {
    const { answer, isClosed } = await player.play(command);
    const expected = expectedOf(state, isProven, command);
    const context = `${state}, ${command}`;
    expect([context, answer, isClosed]).toEqual([
      context,
      expected.answer,
      expected.state === null,
    ]);
    seen.push(`${answer?.join(" ")}`);
    isProven ||= state === "asked final" && expected.state === "open";
    if (expected.state === null) break;
    state = expected.state;
  }
  player.leave();
  await harness.settle();
  return seen;
}

/** Commands that go on where they can: a plain choice would end most lives at their first step. */
const likely = fc.constantFrom<Command>(
  "connect with first",
  "connect without data",
  "first",
  "final",
  "again with first",
  "again without data",
  "ping",
  "publish",
);
const commands = fc.tuple(
  fc.constantFrom<Command>("connect with first", "connect without data", "connect", "final"),
  fc.array(fc.oneof({ weight: 3, arbitrary: likely }, fc.constantFrom(...COMMANDS)), {
    maxLength: 10,
  }),
);

test("each packet is answered as the standard says, in whatever order they come", async () => {
  const harness = new EngineHarness({}, credentials);
  const counts = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(commands, async ([first, rest]) => {
      for (const answer of await life(harness, [first, ...rest])) {
        counts.set(answer, (counts.get(answer) ?? 0) + 1);
      }
      await harness.clear();
      expect(harness.heap()).toEqual({ blocks: 0, bytes: 0 });
    }),
    { numRuns },
  );
  // Every kind of end was there, unless somebody asks for a few lives only.
  if (numRuns < 300) return;
  for (const end of ["connack 135", "connack 130", "connack 140", "disconnect 130"]) {
    expect([end, counts.get(end) ?? 0]).not.toEqual([end, 0]);
  }
}, 120_000);

test("the whole way, and again, and to a wrong proof", async () => {
  const harness = new EngineHarness({}, credentials);
  const whole: Command[] = ["connect without data", "first", "final", "ping"];
  const again: Command[] = ["again without data", "publish", "first", "ping", "final"];
  const fails: Command[] = ["again with first", "wrong final"];
  expect(await life(harness, [...whole, ...again, ...again, ...fails])).toEqual([
    ...["auth 24", "auth 24", "connack 0", "pingresp 0"],
    ...["auth 24", "undefined", "auth 24", "pingresp 0", "auth 0"],
    ...["auth 24", "undefined", "auth 24", "pingresp 0", "auth 0"],
    ...["auth 24", "disconnect 135"],
  ]);
});
