/**
 * Chapter 14: how long a Session lives: Session Expiry Interval at CONNECT and DISCONNECT, its
 * bounds, and persistent_client_expiration; also where it ends while the broker is down.
 * MQTT 5.0 §3.1.2.11.2, §3.2.2.3.2, §3.14.2.2.2, §4.1; 3.1.1 §3.1.2.4.
 */
import { describe, expect } from "vitest";
import { elapse } from "../support/await.ts";
import type { TestClient } from "../support/client.ts";
import type { ConnectOptions } from "../support/client-packets.ts";
import { committed, keeperOf } from "../support/restartable-broker-sessions.ts";
import { type Stage, stageStories, type TellStory } from "../support/restartable-broker-stories.ts";

const FOR_EVER = 0xffff_ffff;
/** How long clients are away, and the broker is down: longer than an interval of 1 s. */
const AWAY_MS = 2500;

for (const interruption of ["a lost connection", "stop", "kill -9"] as const) {
  const plan = { interruptions: [interruption], downMs: AWAY_MS };

  describe(`across ${interruption}`, () => {
    const story = stageStories(plan);
    tellConnect(story);
    tellDisconnect(story);
    tellCountdown(story);
    tellEnded(story);
  });

  describe(`max_session_expiry_interval, across ${interruption}`, () => {
    tellMaximum(stageStories({ ...plan, configuration: ["max_session_expiry_interval 1"] }));
  });

  describe(`persistent_client_expiration, across ${interruption}`, () => {
    tellExpiration(stageStories({ ...plan, configuration: ["persistent_client_expiration 1"] }));
  });
}

/** Options of a 5.0 client that asks for this interval. */
function askFor(clientId: string, sessionExpiryInterval: number): ConnectOptions {
  return { clientId, clean: false, properties: { sessionExpiryInterval } };
}

/** Connects, subscribes to a topic named as the client, and leaves one message open. */
async function begin({ connect }: Stage, options: ConnectOptions): Promise<TestClient> {
  const client = await connect(options);
  expect(client.connack?.sessionPresent).toBe(false);
  await client.subscribe(client.clientId, { qos: 1 });
  await client.publish(client.clientId, "kept", { qos: 1 });
  await client.expectPublish({ payload: "kept" });
  return client;
}

/** Comes back, and finds the Session with its message and its subscription, or nothing of it. */
async function expectKept(
  { connect }: Stage,
  options: ConnectOptions,
  isKept: boolean,
): Promise<TestClient> {
  const client = await connect(options);
  expect(client.connack?.sessionPresent).toBe(isKept);
  if (isKept) await client.receive({ payload: "kept", dup: true });
  await client.publish(client.clientId, "live", { qos: 1 });
  if (isKept) await client.receive({ payload: "live" });
  await client.expectNothing();
  return client;
}

function tellConnect(story: TellStory): void {
  for (const [interval, isKept] of [
    [1, false],
    [600, true],
    [FOR_EVER - 1, true],
    [FOR_EVER, true],
  ] as const) {
    const what = isKept
      ? '"how long after this client disconnects the broker should keep the session"'
      : '"if the client has not reconnected by the time it elapses, the broker discards the ' +
        'session automatically"';
    story(`interval ${interval}: ${what} [MQTT-3.1.2-23] [MQTT-4.1.0-2]`, async (stage) => {
      const options = askFor(`connect-${interval}`, interval);
      await (await begin(stage, options)).drop();
      await stage.interrupted();
      await expectKept(stage, options, isKept);
    });
  }

  story(
    '3.1.1: "a persistent session in MQTT 3.1.1 lived indefinitely on the broker until ' +
      'something explicitly wiped it" [MQTT-3.1.2-4 @3.1.1]',
    async (stage) => {
      const options = { version: 4, clientId: "indefinitely", clean: false } as const;
      await (await begin(stage, options)).disconnect();
      await stage.interrupted();
      await (await expectKept(stage, options, true)).drop();
      await (await stage.connect({ ...options, clean: true })).disconnect();
      expect((await stage.connect(options)).connack?.sessionPresent).toBe(false);
    },
  );

  story("each CONNECT sets the interval anew [§3.1.2.11.2]", async (stage) => {
    for (const [clientId, before, after] of [
      ["longer", 1, 600],
      ["shorter", 600, 1],
    ] as const) {
      await (await stage.connect(askFor(clientId, before))).drop();
      const second = await stage.connect(askFor(clientId, after));
      expect(second.connack?.sessionPresent).toBe(true);
      await second.drop();
    }
    await stage.interrupted();
    for (const [clientId, isKept] of [
      ["longer", true],
      ["shorter", false],
    ] as const) {
      const last = await stage.connect(askFor(clientId, 600));
      expect(last.connack?.sessionPresent).toBe(isKept);
    }
  });
}

function tellDisconnect(story: TellStory): void {
  for (const [before, after, isKept] of [
    [600, 0, false],
    [600, 1, false],
    [1, 600, true],
    [1, FOR_EVER, true],
    [FOR_EVER, 1, false],
  ] as const) {
    story(
      `DISCONNECT changes the interval from ${before} to ${after} [§3.14.2.2.2] [MQTT-4.1.0-2]`,
      async (stage) => {
        const clientId = `disconnect-${before}-${after}`;
        await (await begin(stage, askFor(clientId, before))).disconnect(0, after);
        await stage.interrupted();
        await expectKept(stage, askFor(clientId, 600), isKept);
      },
    );
  }

  story(
    "from 0 it may not: DISCONNECT 0x82, and the Session is gone [§3.14.2.2.2] [MQTT-4.1.0-2]",
    async (stage) => {
      for (const properties of [{}, { sessionExpiryInterval: 0 }]) {
        const clientId = `zero-${Object.keys(properties).length}`;
        const client = await begin(stage, { clientId, properties });
        client.send({ cmd: "disconnect", reasonCode: 0, properties: { sessionExpiryInterval: 1 } });
        await client.expectDisconnect(0x82);
      }
      await stage.interrupted();
      for (const clientId of ["zero-0", "zero-1"]) {
        await expectKept(stage, askFor(clientId, 600), false);
      }
    },
  );
}

function tellCountdown(story: TellStory): void {
  story(
    '"After a client disconnects, the broker counts down from the interval": the time of day ' +
      "counts, not the broker's [MQTT-4.1.0-2]",
    async (stage) => {
      const options = askFor("absolute", 4);
      await (await begin(stage, options)).drop();
      await stage.interrupted(); // 2.5 of 4 seconds are over; a new countdown would say 0.
      await elapse(3000);
      await expectKept(stage, options, false);
    },
  );

  story(
    '"After a client disconnects": a Session whose client was there is kept its interval long, ' +
      "and not longer [MQTT-4.1.0-1] [MQTT-4.1.0-2]",
    async (stage) => {
      await begin(stage, askFor("online-10", 10));
      await begin(stage, askFor("online-1", 1));
      await begin(stage, askFor("online-0", 0));
      await stage.interrupted();
      await expectKept(stage, askFor("online-10", 10), true);
      await expectKept(stage, askFor("online-0", 600), false);
      await elapse(2600); // After a crash the countdown begins with the restart.
      await expectKept(stage, askFor("online-1", 600), false);
    },
  );

  story(
    '"if the client has not reconnected by the time it elapses": reconnecting ends the ' +
      "countdown [MQTT-4.1.0-1]",
    async (stage) => {
      const options = askFor("returning", 3);
      await (await begin(stage, options)).drop();
      await elapse(1500);
      const second = await stage.connect(options);
      expect(second.connack?.sessionPresent).toBe(true);
      await elapse(2000); // Longer than was left; the connection is open.
      await second.drop();
      const third = await stage.connect(options);
      expect(third.connack?.sessionPresent).toBe(true);
    },
  );
}

function tellEnded(story: TellStory): void {
  story("what has ended stays ended, and its successor lives [MQTT-4.1.0-2]", async (stage) => {
    const [lost, replaced] = [askFor("ended", 1), askFor("replaced", 1)];
    await (await begin(stage, lost)).drop();
    await (await begin(stage, replaced)).drop();
    await elapse(2600);
    const successor = askFor("replaced", 600);
    await (await begin(stage, successor)).drop();
    await stage.interrupted();
    await expectKept(stage, lost, false);
    await expectKept(stage, successor, true);
  });
}

function tellMaximum(story: TellStory): void {
  story(
    '"Each broker may also impose its own server-side maximum on the interval": CONNACK tells ' +
      "it, and it is kept [§3.2.2.3.2] [MQTT-4.1.0-2]",
    async (stage) => {
      for (const interval of [2, 600, FOR_EVER]) {
        const client = await begin(stage, askFor(`granted-${interval}`, interval));
        expect(client.connack?.properties?.sessionExpiryInterval).toBe(1);
        await client.drop();
      }
      // After a crash the countdown of who was connected begins anew: that they left is on record.
      await committed(await stage.connect(keeperOf(5, "granted")));
      await stage.interrupted();
      for (const interval of [2, 600, FOR_EVER]) {
        await expectKept(stage, askFor(`granted-${interval}`, interval), false);
      }
    },
  );

  story("what does not exceed it is granted as it is [§3.2.2.3.2]", async (stage) => {
    for (const interval of [0, 1]) {
      const client = await stage.connect(askFor(`plain-${interval}`, interval));
      const { sessionExpiryInterval = interval } = client.connack?.properties ?? {};
      expect(sessionExpiryInterval).toBe(interval);
    }
    const absent = await stage.connect({ clientId: "plain" });
    expect(absent.connack?.properties?.sessionExpiryInterval ?? 0).toBe(0);
  });

  story("it bounds the interval of a DISCONNECT, too [§3.14.2.2.2]", async (stage) => {
    await (await begin(stage, askFor("farewell", 1))).disconnect(0, 600);
    await committed(await stage.connect(keeperOf(5, "farewell-said")));
    await stage.interrupted();
    await expectKept(stage, askFor("farewell", 1), false);
  });

  story(
    '3.1.1 is not concerned: "lifetime management has to be configured at the broker, not ' +
      'negotiated in the protocol" [MQTT-3.1.2-4 @3.1.1]',
    async (stage) => {
      const options = { version: 4, clientId: "older", clean: false } as const;
      await (await begin(stage, options)).drop();
      await stage.interrupted();
      await expectKept(stage, options, true);
    },
  );
}

function tellExpiration(story: TellStory): void {
  for (const version of [3, 4] as const) {
    story(
      `version ${version}: "Mature brokers provide configuration to bound the lifetime of ` +
        'sessions": it ends, and its messages with it',
      async (stage) => {
        const options = { version, clientId: `bounded${version}`, clean: false } as const;
        await (await begin(stage, options)).drop();
        await stage.interrupted();
        const client = await stage.connect(options);
        expect(client.connack?.sessionPresent).toBe(false);
        await client.publish(client.clientId, "live", { qos: 1 });
        await client.expectNothing();
      },
    );
  }

  story(
    "5.0: it bounds a Session that asks for longer, and CONNACK tells it [§3.2.2.3.2]",
    async (stage) => {
      const client = await begin(stage, askFor("bounded5", 600));
      expect(client.connack?.properties?.sessionExpiryInterval).toBe(1);
      await client.drop();
      await stage.interrupted();
      await expectKept(stage, askFor("bounded5", 600), false);
    },
  );

  story("a client that is there keeps its Session", async (stage) => {
    const options = { version: 4, clientId: "present4", clean: false } as const;
    const client = await begin(stage, options);
    await elapse(2200);
    await client.ping();
    const second = await stage.connect(options);
    expect(second.connack?.sessionPresent).toBe(true);
  });
}
