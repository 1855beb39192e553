/**
 * Chapter 15: every packet, got wrong in every way that its form allows, over real sockets: 5.0
 * answers with the Reason Code of the fault, 3.1.1 closes. MQTT 5.0 §2, §3, §4.13.
 */
import { describe, expect, test } from "vitest";
import { withDeadline } from "../support/await.ts";
import { rawPacket, text } from "../support/client-bytes.ts";
import { openTcp } from "../support/client-transport.ts";
import { ERROR_PATHS } from "../support/error-paths.ts";
import type { ErrorPath } from "../support/error-paths-properties.ts";
import { referenceCut, referenceDecode } from "../support/reference-decoder.ts";
import { readServerPackets } from "../support/reference-decoder-server.ts";
import { startChapter } from "./chapter.ts";

const { broker } = startChapter();
/** Connections at once, but for those that share a Client Identifier. */
const WIDTH = 64;
const PINGREQ = Buffer.of(0xc0, 0);

function connectOf(version: number): Buffer {
  const list = version === 5 ? [0] : [];
  return rawPacket(0x10, text("MQTT"), version, 2, 0, 0, list, text(""));
}

function isConnect({ sent }: ErrorPath): boolean {
  return sent[0] !== undefined && sent[0] >> 4 === 1;
}

function code(reasonCode: number): string {
  return `0x${reasonCode.toString(16)}`;
}

/** What the standard wants: how the broker's last word reads. */
function expected(path: ErrorPath): string {
  const { fault, version } = path;
  if (fault === null) return (path.sent[0] ?? 0) >> 4 === 14 ? "closes" : "goes on";
  if (isConnect(path)) {
    if (path.isUnanswered) return "closes";
    if (version === 5) return `CONNACK ${code(fault)}`;
    return fault === 0x84 ? "CONNACK 0x1" : "closes";
  }
  return version === 5 ? `DISCONNECT ${code(fault)}` : "closes";
}

/**
 * Plays a row on a connection of its own.
 *
 * @param before  what is sent in front of it
 * @returns the broker's last word
 */
async function play(path: ErrorPath, before: Uint8Array): Promise<string> {
  const chunks: Buffer[] = [];
  const seen = () => readServerPackets(path.version, Buffer.concat(chunks)).packets;
  let finish: () => void = () => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  let isClosed = false;
  const transport = await openTcp(broker().port, {
    onBytes: (bytes) => {
      chunks.push(bytes);
      if (seen().some(({ type }) => type === "pingresp")) finish();
    },
    onClosed: () => {
      isClosed = true;
      finish();
    },
  });
  transport.write(Buffer.concat([before, path.sent, PINGREQ]));
  await withDeadline(finished, path.title, () => path.title);
  transport.destroy();
  const last = seen().at(-1);
  if (!isClosed) return "goes on";
  if (last?.type === "disconnect") return `DISCONNECT ${code(last.reasonCode)}`;
  const isAnswered = before.length > 0 && last?.type === "connack";
  if (last?.type === "connack" && !isAnswered) return `CONNACK ${code(last.reasonCode)}`;
  return last === undefined || isAnswered ? "closes" : `closes behind ${last.type}`;
}

interface Plan {
  /** Connections at once. */
  readonly width: number;
  before(path: ErrorPath): Uint8Array;
  wanted(path: ErrorPath): string;
}

/** CONNECT in front of all but CONNECTs. */
const CONNECTED: Plan = {
  width: WIDTH,
  before: (path) => (isConnect(path) ? Buffer.alloc(0) : connectOf(path.version)),
  wanted: expected,
};

async function playAll(
  paths: readonly ErrorPath[],
  { width, before, wanted }: Plan = CONNECTED,
): Promise<string[]> {
  const wrong: string[] = [];
  for (let at = 0; at < paths.length; at += width) {
    const some = paths.slice(at, at + width);
    const came = await Promise.all(some.map((path) => play(path, before(path))));
    for (const [index, path] of some.entries()) {
      if (came[index] === wanted(path)) continue;
      const bytes = Buffer.from(path.sent).toString("hex");
      wrong.push(`${path.title} (${bytes}): ${came[index]}, not ${wanted(path)}`);
    }
  }
  return wrong;
}

/** What the decoder written from the standard a second time says of a row's packet. */
function judged({ sent, version }: ErrorPath): number | null {
  const cut = referenceCut(sent, 2_000_000);
  if (typeof cut === "object") return cut.reasonCode;
  if (cut !== sent.length) return null;
  const outcome = referenceDecode(version, sent);
  return outcome.ok ? null : outcome.reasonCode;
}

describe("the table", () => {
  test("no title stands twice, and there are many", () => {
    const titles = [...ERROR_PATHS.values()].flat().map(({ title }) => title);
    expect(titles.length).toBeGreaterThan(5_000);
    expect(titles.filter((title, index) => titles.indexOf(title) !== index)).toEqual([]);
  });

  test("the reference decoder finds the same faults", () => {
    const wrong = [...ERROR_PATHS.values()].flat().flatMap((path) => {
      const other = judged(path);
      // What needs a method in CONNECT is not for a decoder to know.
      const isAuth = (path.sent[0] ?? 0) >> 4 === 15;
      return other === path.fault || (isAuth && other === null) ? [] : [`${path.title}: ${other}`];
    });
    expect(wrong).toEqual([]);
  });
});

describe("error paths [MQTT-4.13.1-1] [MQTT-4.8.0-1 @3.1.1]", () => {
  test.for([...ERROR_PATHS.keys()])("%s", { timeout: 120_000 }, async (group) => {
    const paths = ERROR_PATHS.get(group) ?? [];
    const others = paths.filter((path) => !isConnect(path));
    expect(await playAll(others)).toEqual([]);
    expect(await playAll(paths.filter(isConnect), { ...CONNECTED, width: 1 })).toEqual([]);
  });

  test.for([...ERROR_PATHS.keys()].filter((group) => !/CONNECT|Connect|protocols/.test(group)))(
    "%s, before CONNECT: a close without a word [MQTT-3.1.0-1] [MQTT-3.1.0-1 @3.1.1]",
    { timeout: 120_000 },
    async (group) => {
      const paths = (ERROR_PATHS.get(group) ?? []).filter((path) => !isConnect(path));
      const plan = { width: WIDTH, before: () => Buffer.alloc(0), wanted: () => "closes" };
      expect(await playAll(paths, plan)).toEqual([]);
    },
  );
});
