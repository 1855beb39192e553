/** CONNECT and DISCONNECT without sockets: what is logged, what is told, what ends how. */
import { describe, expect, test } from "vitest";
import {
  REASON_STRING,
  RECEIVE_MAXIMUM,
  REQUEST_PROBLEM_INFORMATION,
  REQUEST_RESPONSE_INFORMATION,
  RESPONSE_INFORMATION,
  SERVER_KEEP_ALIVE,
  SESSION_EXPIRY_INTERVAL,
} from "#assembly/spec";
import { ScramCredentials } from "../../src/access/scram-credentials.ts";
import { credentialOf } from "../../src/access/scram-file.ts";
import { LOGGED_NAME_CHARACTERS_MAX } from "../../src/base/limits.ts";
import { EngineHarness } from "../support/engine-harness.ts";
import { beginClient, connectClient, HarnessClient } from "../support/engine-harness-client.ts";
import { fillWholly, free } from "../support/full-heap.ts";
import { authConnect, authPacket, ScramClient } from "../support/scram-client.ts";

const WILL = {
  qos: 0,
  retain: false,
  properties: [],
  topicName: "w",
  payload: Buffer.of(1),
} as const;

describe("Response Information", () => {
  test.for([
    [65_535, true],
    [65_536, false],
  ] as const)("of %i bytes is told: %s [§3.2.2.3.15]", async ([bytes, isTold]) => {
    const responseInformation = "x".repeat(bytes);
    const harness = new EngineHarness({ responseInformation });
    const connect = { properties: [[REQUEST_RESPONSE_INFORMATION, 1] as const] };
    const { connack } = await connectClient(harness, "c", { connect });
    const told = connack?.properties.filter(([identifier]) => identifier === RESPONSE_INFORMATION);
    expect(told).toEqual(isTold ? [[RESPONSE_INFORMATION, responseInformation]] : []);
  });
});

describe("Keep Alive", () => {
  test.for([
    [60, 60, undefined],
    [61, 60, 60],
    [0, 60, 60],
    [61, 0, undefined],
    [0, 0, undefined],
  ] as const)("of %i with max_keepalive %i: %s is told", async ([asked, max, told]) => {
    const harness = new EngineHarness({ keepAliveSecondsMax: max });
    const client = await connectClient(harness, "c", { connect: { keepAliveSeconds: asked } });
    const found = client.connack?.properties.find(
      ([identifier]) => identifier === SERVER_KEEP_ALIVE,
    );
    expect(found?.[1]).toBe(told);
    expect(client.peer.connection.keepAliveSeconds).toBe(told ?? asked);
  });
});

test("before 5.0 a client has its own Keep Alive, whatever max_keepalive is", async () => {
  const harness = new EngineHarness({ keepAliveSecondsMax: 60, serverKeepAliveSeconds: 30 });
  for (const keepAliveSeconds of [0, 61]) {
    const client = await connectClient(harness, `c${keepAliveSeconds}`, {
      version: 4,
      connect: { keepAliveSeconds },
    });
    expect(client.peer.connection.keepAliveSeconds).toBe(keepAliveSeconds);
  }
});

describe("the log", () => {
  test("says who came, in which version, with which Session and Keep Alive", async () => {
    const harness = new EngineHarness();
    harness.notices = [];
    await connectClient(harness, "five", { connect: { keepAliveSeconds: 30 } });
    await connectClient(harness, "four", { version: 4, clean: false });
    expect(harness.notices).toEqual([
      "New client connected from memory as five (p5, c1, k30).",
      "New client connected from memory as four (p4, c0, k0).",
    ]);
  });

  test("says which user it has proved to be", async () => {
    const credential = await credentialOf("diesel", 4096, Buffer.alloc(16, 7));
    const harness = new EngineHarness({}, new ScramCredentials(new Map([["truck", credential]])));
    harness.notices = [];
    const scram = new ScramClient("truck", "diesel");
    const client = new HarnessClient(harness, 5);
    client.sendBytes(authConnect("proved", scram.first()));
    await harness.settle();
    const bytes = client.wire.takeReceived();
    client.sendBytes(authPacket(0x18, scram.final(bytes.subarray(bytes.indexOf("r=")).toString())));
    await harness.settle();
    expect(harness.notices).toEqual([
      "New client connected from memory as proved (p5, c1, k0, u'truck').",
    ]);
  });

  test("says why a connection ended", async () => {
    const harness = new EngineHarness();
    const left = await connectClient(harness, "left");
    const asked = await connectClient(harness, "asked");
    const gone = await connectClient(harness, "gone");
    const wrong = await connectClient(harness, "wrong", { version: 4 });
    const silent = new HarnessClient(harness, 5);
    harness.notices = [];
    left.sendBytes(Buffer.of(0xe0, 0));
    asked.sendBytes(Buffer.of(0xe0, 1, 4));
    gone.hangUp();
    wrong.sendBytes(Buffer.of(0x00, 0));
    silent.hangUp();
    await harness.settle();
    expect(harness.notices).toEqual([
      "Client left [memory] disconnected.",
      "Client asked [memory] disconnected.",
      "Client gone [memory] closed its connection.",
      "Client wrong [memory] disconnected: malformed packet.",
      "Client <unknown> [memory] closed its connection.",
    ]);
  });

  test("says of who is still connected that it is taken over, and of nobody else", async () => {
    const harness = new EngineHarness();
    const lasting = { clean: false, expirySeconds: 60 };
    (await connectClient(harness, "c", lasting)).hangUp();
    harness.notices = [];
    await connectClient(harness, "c", lasting);
    expect(harness.notices.splice(0)).toEqual([
      "New client connected from memory as c (p5, c0, k0).",
    ]);
    await connectClient(harness, "c", lasting);
    expect(harness.notices).toEqual([
      "Client c already connected, closing old connection.",
      "Client c [memory] disconnected: session taken over.",
      "New client connected from memory as c (p5, c0, k0).",
    ]);
  });

  test("says why one left whose will is sent all the same", async () => {
    const harness = new EngineHarness();
    const asked = await connectClient(harness, "asked", { connect: { will: WILL } });
    const left = await connectClient(harness, "left", { connect: { will: WILL } });
    harness.notices = [];
    asked.sendBytes(Buffer.of(0xe0, 1, 4));
    left.sendBytes(Buffer.of(0xe0, 1, 0));
    await harness.settle();
    expect(harness.notices).toEqual([
      "Client asked [memory] disconnected: its will was asked for.",
      "Client left [memory] disconnected.",
    ]);
  });

  test("is left alone where connection_messages is off", async () => {
    const harness = new EngineHarness({ connectionMessages: false });
    harness.notices = [];
    (await connectClient(harness, "c")).hangUp();
    await harness.settle();
    expect(harness.notices).toEqual([]);
  });
});

test("a CONNECT for whose will there is no memory is refused", async () => {
  const harness = new EngineHarness({ memoryBytesMax: 8 * 1024 * 1024 });
  harness.notices = [];
  const blocks = fillWholly(harness.engine);
  const client = beginClient(harness, "c", { connect: { will: WILL } });
  await harness.settle();
  free(harness.engine, blocks);
  await harness.settle();
  expect(client.isClosed).toBe(true);
  expect(harness.notices).toEqual([
    "Client <unknown> [memory] disconnected: quota exceeded: no memory for the will (as c).",
  ]);
  expect(harness.sessionOf("c")).toBe(0);
});

test("refusals are counted apart from connections that end, by Reason Code", async () => {
  const harness = new EngineHarness({}, new ScramCredentials(new Map()));
  const { tallies } = harness.dispatch;
  // No CONNECT, one of another version, one that is malformed, and one that is being proved.
  new HarnessClient(harness, 5).sendBytes(Buffer.of(0xc0, 0));
  new HarnessClient(harness, 5).sendBytes(Buffer.from("100c00044d5154540602003c0000", "hex"));
  new HarnessClient(harness, 5).sendBytes(Buffer.from("100200ff", "hex"));
  const proving = new HarnessClient(harness, 5);
  proving.sendBytes(authConnect("c", new ScramClient("truck", "diesel").first()));
  await harness.settle();
  expect([...tallies.refused]).toEqual([
    [0x84, 1],
    [0x81, 1],
  ]);
  expect([...tallies.ended]).toEqual([[0x82, 1]]);
  harness.dispatch.close(proving.peer.connection, 0x87);
  expect(tallies.refused.get(0x87)).toBe(1);
  const open = await connectClient(harness, "open");
  open.sendBytes(Buffer.of(0xc1, 0));
  await harness.settle();
  expect(tallies.ended.get(0x81)).toBe(1);
  expect(tallies.refused.get(0x81)).toBe(1);
});

describe("DISCONNECT", () => {
  test.for([
    [0, true],
    [4, true],
    [0, false],
  ] as const)("0x0%i, with a will %s: it closes once that is on record", async ([code, has]) => {
    const harness = new EngineHarness();
    const connect = has ? { will: WILL } : {};
    const client = await connectClient(harness, "c", { connect });
    const { connection } = client.peer;
    client.sendBytes(Buffer.of(0xe0, 1, code));
    expect(connection.closesAfterCommit).toBe(has);
    expect(connection.phase).toBe("closing");
    await harness.settle();
    expect(client.isClosed).toBe(true);
    expect(client.take()).toEqual([]);
    await harness.clear();
    expect(harness.heap()).toEqual({ blocks: 0, bytes: 0 });
  });
});

describe("DISCONNECT from the broker, to the byte", () => {
  /** SUBSCRIBE to `$share/g`. */
  const withoutFilter = Buffer.from("820e00010000082473686172652f6700", "hex");

  test.for([
    [0, "", "", "e0019c"],
    [0, "why", "", "e0089c061f0003776879"],
    [0, "", "to", "e0079c051c0002746f"],
    [0, "why", "to", "e00d9c0b1f00037768791c0002746f"],
    [15, "why", "to", "e00d9c0b1f00037768791c0002746f"],
    [14, "why", "to", "e0079c051c0002746f"],
    [9, "why", "to", "e0079c051c0002746f"],
    [8, "why", "to", "e0019c"],
    [3, "why", "to", "e0019c"],
  ] as const)("Maximum Packet Size %i, %j, %j [MQTT-3.14.2-3]", async ([max, why, to, bytes]) => {
    const harness = new EngineHarness();
    const client = await connectClient(harness, "c");
    const { connection } = client.peer;
    // As small as no CONNACK is.
    connection.packetBytesMax = max;
    connection.closeReason = why;
    harness.dispatch.close(connection, 0x9c, to);
    await harness.settle();
    expect(client.isClosed).toBe(true);
    expect(Buffer.from(client.wire.takeReceived()).toString("hex")).toBe(bytes);
  });

  test("says what was wrong, unless the client asked for silence [MQTT-3.1.2-29]", async () => {
    const harness = new EngineHarness();
    for (const asks of [1, 0]) {
      const connect = { properties: [[REQUEST_PROBLEM_INFORMATION, asks] as const] };
      const client = await connectClient(harness, `c${asks}`, { connect });
      client.sendBytes(withoutFilter);
      await harness.settle();
      const properties = [[REASON_STRING, "$share without a name or a filter"]];
      expect(client.take()).toEqual([
        { type: "disconnect", reasonCode: 0x8f, properties: asks === 1 ? properties : [] },
      ]);
    }
  });
});

describe("CONNACK says what differs from what was asked or from the standard", () => {
  test.for([
    [{}, 0],
    [{ receiveMaximum: 65_535 }, undefined],
    [{ receiveMaximum: 65_534 }, 65_534],
  ] as const)("Receive Maximum: %j", async ([settings, told]) => {
    const harness = new EngineHarness(settings);
    const { connack } = await connectClient(harness, "c");
    const found = connack?.properties.find(([identifier]) => identifier === RECEIVE_MAXIMUM);
    expect(found?.[1]).toBe(told === 0 ? harness.settings.receiveMaximum : told);
  });

  test.for([
    [100, 100, undefined],
    [101, 100, 100],
    [0, 100, undefined],
  ] as const)("Session Expiry Interval %i of %i: %s", async ([asked, most, told]) => {
    const harness = new EngineHarness({ sessionExpirySecondsMax: most });
    const { connack } = await connectClient(harness, "c", { expirySeconds: asked });
    const found = connack?.properties.find(
      ([identifier]) => identifier === SESSION_EXPIRY_INTERVAL,
    );
    expect(found?.[1]).toBe(told);
  });
});

test("a Client Identifier of 256 characters is whole in the log, one more is not", async () => {
  const harness = new EngineHarness();
  harness.notices = [];
  const name = "n".repeat(LOGGED_NAME_CHARACTERS_MAX);
  await connectClient(harness, name);
  await connectClient(harness, `${name}n`);
  expect(harness.notices).toEqual([
    `New client connected from memory as ${name} (p5, c1, k0).`,
    `New client connected from memory as ${name}… (p5, c1, k0).`,
  ]);
});
