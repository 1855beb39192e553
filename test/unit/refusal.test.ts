/** What a client is told that is refused: in CONNACK, in words, and in packets that fit. */
import { describe, expect, test } from "vitest";
import * as abi from "#assembly/abi";
import { ProtocolError } from "../../src/base/errors.ts";
import { sendRefused } from "../../src/protocol/connack.ts";
import { PacketWriter } from "../../src/protocol/packet-writer.ts";
import { reasonText } from "../../src/protocol/reasons.ts";
import { withoutProperty } from "../../src/protocol/will-properties.ts";
import { EngineHarness } from "../support/engine-harness.ts";

/** All Reason Codes that are errors. */
const ERRORS = Array.from({ length: 0x23 }, (_, index) => 0x80 + index);

async function refused(version: number, reasonCode: number): Promise<string> {
  const harness = new EngineHarness();
  const { connection, wire } = harness.open();
  const told = { reasonCode, reasonString: "", serverReference: "" };
  sendRefused(new PacketWriter(harness.engine), connection, version, told);
  harness.turn.schedule();
  await harness.settle();
  return Buffer.from(wire.takeReceived()).toString("hex");
}

describe("CONNACK", () => {
  const returnCodes = new Map([
    [0x84, 1],
    [0x85, 2],
    [0x86, 4],
    [0x87, 5],
    [0x88, 3],
    [0x89, 3],
    [0x97, 3],
    [0x9c, 3],
    [0x9d, 3],
    [0x9f, 3],
  ]);

  test.for(ERRORS)("3.1.1: return code for %i, or none [MQTT-3.2.2-6 @3.1.1]", async (code) => {
    const returnCode = returnCodes.get(code);
    expect(await refused(4, code)).toBe(returnCode === undefined ? "" : `2002000${returnCode}`);
  });

  test.for([
    [0x80, 0x80],
    [0x8b, 0x88],
    [0x8c, 0x8c],
    [0x8d, 0x87],
    [0x97, 0x97],
  ] as const)("5.0: %i is told as %i [MQTT-3.2.2-8]", async ([code, told]) => {
    expect(await refused(5, code)).toBe(`200300${told.toString(16)}00`);
  });
});

test("each Reason Code has its words", () => {
  const words = new Map([
    [0x80, "unspecified error"],
    [0x81, "malformed packet"],
    [0x82, "protocol error"],
    [0x84, "unsupported protocol version"],
    [0x85, "Client Identifier not valid"],
    [0x86, "bad user name or password"],
    [0x87, "not authorized"],
    [0x88, "server unavailable"],
    [0x89, "server busy"],
    [0x8b, "server shutting down"],
    [0x8c, "bad authentication method"],
    [0x8d, "exceeded timeout"],
    [0x8e, "session taken over"],
    [0x8f, "Topic Filter invalid"],
    [0x90, "Topic Name invalid"],
    [0x93, "Receive Maximum exceeded"],
    [0x94, "Topic Alias invalid"],
    [0x95, "packet too large"],
    [0x97, "quota exceeded"],
    [0x99, "payload format invalid"],
    [0x9a, "retain not supported"],
    [0x9b, "QoS not supported"],
    [0x9c, "use another server"],
    [0x9d, "server moved"],
    [0x9f, "connection rate exceeded"],
    [0xa1, "Subscription Identifiers not supported"],
    [0xa2, "wildcard subscriptions not supported"],
  ]);
  for (const [code, text] of words) expect(reasonText(code)).toBe(text);
  expect(reasonText(0xff)).toBe("Reason Code 0xff");
});

describe("a packet of the control plane", () => {
  const harness = new EngineHarness();
  const writer = new PacketWriter(harness.engine);
  const { connection } = harness.open();

  /** Behind the eight bytes that are kept for the fixed header. */
  const bodyBytesMax = abi.SCRATCH_BYTES - 8;

  test("fits to the byte, its fixed header included [MQTT-3.1.2-24]", () => {
    writer.begin();
    for (let i = 0; i < 127; i++) writer.byte(0);
    expect(writer.fits(129)).toBe(true);
    expect(writer.fits(128)).toBe(false);
    expect(writer.fits(0)).toBe(true);
    writer.byte(0); // From here on its length takes two bytes.
    expect(writer.fits(131)).toBe(true);
    expect(writer.fits(130)).toBe(false);
    expect(() => writer.send(connection.number, 0x20, false, 130)).toThrow(
      expect.objectContaining({ reasonCode: 0x95 }),
    );
  });

  test("may be as long as its region, and no longer: 0x97", () => {
    writer.begin();
    for (let left = bodyBytesMax; left > 0; ) {
      const bytes = Math.min(left - 2, 65_535);
      writer.data(new Uint8Array(bytes));
      left -= 2 + bytes;
      if (left < 2) for (; left > 0; left--) writer.byte(0);
    }
    expect(writer.byteCount).toBe(bodyBytesMax);
    const tooLong = expect.objectContaining({ reasonCode: 0x97 });
    expect(() => writer.byte(0)).toThrow(tooLong);
    expect(() => writer.text("")).toThrow(ProtocolError);
  });
});

describe("Will Properties without the delay [MQTT-3.1.3-10]", () => {
  const format = [0x01, 1];
  const expiry = [0x02, 0, 0, 0, 9];
  const contentType = [0x03, 0, 1, 0x78];
  const responseTopic = [0x08, 0, 2, 0x79, 0x79];
  const correlation = [0x09, 0, 1, 0xff];
  const delay = [0x18, 0, 0, 0, 5];
  const user = [0x26, 0, 1, 0x6b, 0, 3, 0x76, 0x76, 0x76];

  test.for([
    [format, expiry, contentType, responseTopic, correlation, user],
    [user, user],
    [expiry],
    [format, user, expiry],
    [],
  ])("%j", (others) => {
    for (let at = 0; at <= others.length; at++) {
      const list = [...others.slice(0, at), delay, ...others.slice(at)];
      const rest = withoutProperty(Buffer.from(list.flat()), 0x18);
      expect(rest.toString("hex")).toBe(Buffer.from(others.flat()).toString("hex"));
    }
    const list = Buffer.from(others.flat());
    expect(withoutProperty(list, 0x18)).toBe(list);
  });
});
