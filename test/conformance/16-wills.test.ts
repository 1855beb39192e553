/**
 * Chapter 16: every way a connection ends, and what becomes of its will, in both versions.
 * MQTT 5.0 §3.1.2.5, §3.1.3.2.2, §3.14.4; 3.1.1 §3.1.2.5, §3.14.4.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TestClient } from "../support/client.ts";
import { rawConnect, rawPacket, text } from "../support/client-bytes.ts";
import type { ConnectOptions, Version, Will } from "../support/client-packets.ts";
import { type RestartableBroker, startRestartableBroker } from "../support/restartable-broker.ts";
import { startChapter } from "./chapter.ts";

const chapter = startChapter();
const { connect } = chapter;

/** Options of a client whose will goes to `topic`. */
function mortal(topic: string, will: Partial<Will> = {}): ConnectOptions {
  return { will: { topic, payload: Buffer.from("gone"), qos: 1, ...will } };
}

function delayedBy(willDelayInterval: number): Partial<Will> {
  return { properties: { willDelayInterval } };
}

async function observe(topic: string): Promise<TestClient> {
  const observer = await connect();
  await observer.subscribe(topic, { qos: 2 });
  return observer;
}

/** Ends of a connection that are not a DISCONNECT with 0x00. */
const ENDS: readonly (readonly [string, readonly Version[], (client: TestClient) => void])[] = [
  [
    "a second CONNECT [MQTT-3.1.0-2] [MQTT-3.1.0-2 @3.1.1]",
    [4, 5],
    (client) => client.sendBytes(rawConnect({ level: client.version, payload: [text("again")] })),
  ],
  [
    "a malformed packet [MQTT-4.13.1-1] [MQTT-4.8.0-1 @3.1.1]",
    [4, 5],
    (client) => client.sendBytes(Buffer.from("c100", "hex")),
  ],
  ["a packet of servers", [4, 5], (client) => client.sendBytes(Buffer.from("d000", "hex"))],
  [
    "a malformed DISCONNECT [MQTT-3.14.1-1] [MQTT-3.14.1-1 @3.1.1]",
    [4, 5],
    (client) => client.sendBytes(Buffer.from("e100", "hex")),
  ],
  ["a DISCONNECT with a code of servers", [5], (client) => client.sendBytes(rawPacket(0xe0, 0x8e))],
  ["DISCONNECT 0x04 [§3.14.2.1]", [5], (client) => client.sendBytes(rawPacket(0xe0, 0x04))],
  ["DISCONNECT 0x83 [MQTT-3.14.4-3]", [5], (client) => client.sendBytes(rawPacket(0xe0, 0x83))],
  ["the end of the stream", [4, 5], (client) => void client.drop()],
  ["a reset", [4, 5], (client) => client.destroy()],
];

describe("the will is published upon", () => {
  for (const [how, versions, end] of ENDS) {
    test.for(versions)(`${how}, version %i [MQTT-3.1.2-8]`, async (version) => {
      const topic = `end/${version}`;
      const observer = await observe(topic);
      end(await connect({ ...mortal(topic), version }));
      await observer.receive({ topic, payload: "gone", qos: 1 });
      await observer.expectNothing();
    });
  }

  test("Keep Alive timeout, version 5 [MQTT-3.1.2-22]", async () => {
    const observer = await observe("end/silent");
    const client = await connect({ ...mortal("end/silent"), keepAliveSeconds: 1 });
    await observer.receive({ payload: "gone" });
    await client.expectDisconnect(0x8d);
  });

  test.for([4, 5] as const)(
    "takeover, where the Session ends with the connection, version %i [MQTT-3.1.4-3]",
    async (version) => {
      const topic = `takeover/clean/${version}`;
      const observer = await observe(topic);
      const clientId = `taken${version}`;
      await connect({ ...mortal(topic), version, clientId });
      await connect({ version, clientId, clean: false });
      await observer.receive({ payload: "gone" });
    },
  );

  test("takeover with a delay, where the older Session has expiry 0 [MQTT-3.1.2-8]", async () => {
    const observer = await observe("takeover/zero");
    await connect({ ...mortal("takeover/zero", delayedBy(600)), clientId: "zero" });
    await connect({ clientId: "zero", clean: false, properties: { sessionExpiryInterval: 60 } });
    await observer.receive({ payload: "gone" });
  });

  test("takeover with a delay and Clean Start 1 [MQTT-3.1.3-9] [MQTT-3.1.2-4]", async () => {
    const observer = await observe("takeover/start");
    const keeper = { clientId: "start", properties: { sessionExpiryInterval: 600 } };
    await connect({ ...mortal("takeover/start", delayedBy(600)), ...keeper });
    await connect({ ...keeper, clean: true });
    await observer.receive({ payload: "gone" });
  });

  test("takeover by 3.1.1 of a 5.0 Session, without delay [MQTT-3.1.4-3]", async () => {
    const observer = await observe("takeover/older");
    const keeper = { clientId: "older", clean: false };
    const properties = { sessionExpiryInterval: 600 };
    await connect({ ...mortal("takeover/older"), ...keeper, properties });
    await connect({ ...keeper, version: 4 });
    await observer.receive({ payload: "gone" });
  });

  test("DISCONNECT 0x04 that ends the Session, though it is delayed [MQTT-3.1.2-8]", async () => {
    const observer = await observe("end/expiry");
    const client = await connect({
      ...mortal("end/expiry", delayedBy(600)),
      properties: { sessionExpiryInterval: 600 },
    });
    await client.disconnect(0x04, 0);
    await observer.receive({ payload: "gone" });
  });
});

describe("the will is not published", () => {
  test.for([3, 4] as const)(
    "version %i: upon any valid DISCONNECT, Session kept or not [MQTT-3.1.2-10 @3.1.1]",
    async (version) => {
      const topic = `left/${version}`;
      const observer = await observe(topic);
      for (const clean of [true, false]) {
        const clientId = `left${version}${clean}`;
        await (await connect({ ...mortal(topic), version, clientId, clean })).disconnect();
      }
      await observer.expectNothing();
    },
  );

  test("DISCONNECT 0x00 forgets it, though it is delayed [MQTT-3.14.4-3]", async () => {
    const observer = await observe("left/delayed");
    const properties = { sessionExpiryInterval: 1 };
    await (
      await connect({ ...mortal("left/delayed", delayedBy(1)), clientId: "left", properties })
    ).disconnect();
    // Another, as long delayed and left later, marks when it would have come.
    const marker = await observe("left/marker");
    await (await connect({ ...mortal("left/marker", delayedBy(1)), properties })).drop();
    await marker.receive({ payload: "gone" });
    await observer.expectNothing();
  });

  test("when its CONNECT is refused [MQTT-3.1.4-6]", async () => {
    const observer = await observe("left/refused");
    const client = await chapter.open();
    client.sendConnect({
      ...mortal("left/refused"),
      properties: { authenticationMethod: "NONE" },
    });
    await client.expectRefusal(0x8c);
    await observer.expectNothing();
  });
});

describe("a new CONNECT brings its own will, or none", () => {
  test("a resumed Session has the will of its last CONNECT [MQTT-3.1.2-7]", async () => {
    const observer = await observe("own/#");
    const keeper = {
      clientId: "own",
      clean: false,
      properties: { sessionExpiryInterval: 600 },
    };
    await (await connect({ ...mortal("own/first"), ...keeper })).disconnect();
    await (await connect({ ...mortal("own/second"), ...keeper })).drop();
    await observer.receive({ topic: "own/second" });
    await (await connect(keeper)).drop();
    await observer.expectNothing();
  });
});

describe("when the broker stops", () => {
  let broker: RestartableBroker | undefined;

  beforeAll(async () => {
    broker = await startRestartableBroker();
  });
  afterAll(() => broker?.end());

  test("wills go out to Sessions that stay, in both versions [MQTT-3.1.2-8]", async () => {
    const running = broker as RestartableBroker;
    const heir = { clientId: "heir", clean: false, properties: { sessionExpiryInterval: 600 } };
    const first = await TestClient.connect(running.current(), heir);
    await first.subscribe("stop/#", { qos: 1 });
    await first.disconnect();
    for (const version of [4, 5] as const) {
      await TestClient.connect(running.current(), { ...mortal(`stop/${version}`), version });
    }
    const { current } = running;
    const dropped = await TestClient.connect(current(), mortal("stop/none"));
    await dropped.disconnect();
    await running.restart("stop");
    const again = await TestClient.connect(current(), heir);
    const topics = [(await again.receive()).topic, (await again.receive()).topic];
    expect(topics.toSorted()).toEqual(["stop/4", "stop/5"]);
    await again.expectNothing();
    await again.disconnect();
  });
});

test("no will goes to $SYS, kept or not, with rules or without [§4.7.2]", async () => {
  const observer = await connect();
  await observer.subscribe("$SYS/broker/version", { qos: 1 });
  const version = await observer.receive({ topic: "$SYS/broker/version" });
  await observer.subscribe("$SYS/broker/other", { qos: 1 });
  const client = await connect(mortal("$SYS/broker/version", { retain: true }));
  const other = await connect(mortal("$SYS/broker/other"));
  client.destroy();
  other.destroy();
  const behind = await connect(mortal("behind"));
  await observer.subscribe("behind");
  behind.destroy();
  await observer.receive({ topic: "behind" });
  const late = await connect();
  await late.subscribe("$SYS/broker/version");
  await late.receive({ topic: "$SYS/broker/version", payload: version.payload });
  const gone = observer.takeDeliveries().filter(({ payload }) => payload === "gone");
  expect(gone).toEqual([]);
});
