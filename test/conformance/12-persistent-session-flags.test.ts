/**
 * Chapter 12: the clean session flag, Session Present, Clean Start and Session Expiry Interval in
 * all combinations, and where a Client Identifier leads; across restarts as well.
 * MQTT 5.0 §3.1.2.4, §3.1.2.11.2, §3.2.2.1.1; 3.1.1 §3.1.2.4, §3.2.2.2.
 */
import { describe, expect } from "vitest";
import type { TestClient } from "../support/client.ts";
import type { ConnectOptions, Version } from "../support/client-packets.ts";
import { keeperOf, leave, resume } from "../support/restartable-broker-sessions.ts";
import { type Stage, stageStories, type TellStory } from "../support/restartable-broker-stories.ts";
import { nameOf } from "./chapter.ts";

const FOR_EVER = 0xffff_ffff;

for (const interruption of ["a lost connection", "stop", "kill -9"] as const) {
  describe(`across ${interruption}`, () => {
    const story = stageStories({ interruptions: [interruption, interruption] });
    tellCleanSession(story);
    tellCleanStart(story);
    tellClientIdentifiers(story);
    tellOddIdentifiers(story);
    for (const version of [4, 5] as const) tellWipes(story, version);
  });
}

/** Finds whether the broker had a Session for `options`, and then whether it works. */
async function expectSession(
  client: TestClient,
  isPresent: boolean,
  topic: string,
  isQueued = isPresent,
): Promise<void> {
  expect(client.connack?.sessionPresent).toBe(isPresent && client.version > 3);
  if (isQueued) await client.receive({ topic, payload: "queued", qos: 1 });
  await client.publish(topic, "live", { qos: 1 });
  if (isPresent) await client.receive({ topic, payload: "live", qos: 1 });
  await client.expectNothing();
}

function tellCleanSession(story: TellStory): void {
  const cases = ([3, 4] as const).flatMap((version) =>
    [false, true].flatMap((clean) =>
      [false, true].map((isStored) => ({ version, clean, isStored })),
    ),
  );
  for (const { version, clean, isStored } of cases) {
    const present = !clean && isStored;
    story(
      `${nameOf(version)}: clean session ${clean}, ${isStored ? "a" : "no"} stored Session: ` +
        (version === 3
          ? `${present ? "resumed" : "fresh"}, and no flag: "since MQTT 3.1.1, the broker ` +
            `reports this" `
          : `"the session present flag is ${present}" [MQTT-3.2.2-1 @3.1.1] `) +
        "[MQTT-3.2.2-2 @3.1.1] [MQTT-3.2.2-3 @3.1.1]",
      async (stage) => {
        const clientId = `flag-${version}-${clean}-${isStored}`;
        const keeper = { version, clientId, clean: false };
        if (isStored) {
          await leave(stage, keeper, clientId, { qos: 1 });
          await (await stage.connect()).publish(clientId, "queued", { qos: 1 });
        }
        await stage.interrupted();
        const client = await stage.connect({ ...keeper, clean });
        await expectSession(client, present, clientId);
        await client.subscribe(clientId, { qos: 1 });
        await stage.interrupted();
        // "creates no new persistent state", or "preserves any state it already has"
        await expectSession(await stage.connect(keeper), !clean, clientId, false);
      },
    );
  }
}

function tellCleanStart(story: TellStory): void {
  const cases = [false, true].flatMap((clean) =>
    [undefined, 0, 600, FOR_EVER].flatMap((interval) =>
      [false, true].map((isStored) => ({ clean, interval, isStored })),
    ),
  );
  for (const { clean, interval, isStored } of cases) {
    const present = !clean && isStored;
    const stays = (interval ?? 0) > 0;
    story(
      `5.0: Clean Start ${clean}, interval ${interval ?? "absent"}, ${isStored ? "a" : "no"} ` +
        `stored Session: ${present ? "resumes" : '"start fresh"'}, ` +
        `${stays ? "stays" : '"removes the session as soon as the connection closes"'} ` +
        "[MQTT-3.1.2-4, -5, -6, -23] [MQTT-3.2.2-2, -3] [MQTT-4.1.0-2]",
      async (stage) => {
        const clientId = `start-${clean}-${interval}-${isStored}`;
        const keeper = keeperOf(5, clientId);
        if (isStored) {
          await leave(stage, keeper, clientId, { qos: 1 });
          await (await stage.connect()).publish(clientId, "queued", { qos: 1 });
        }
        await stage.interrupted();
        const properties = interval === undefined ? {} : { sessionExpiryInterval: interval };
        const client = await stage.connect({ clientId, clean, properties });
        await expectSession(client, present, clientId);
        await client.subscribe(clientId, { qos: 1 });
        await stage.interrupted();
        await expectSession(await stage.connect(keeper), stays, clientId, false);
      },
    );
  }
}

function tellWipes(story: TellStory, version: 4 | 5): void {
  const v = nameOf(version);

  story(
    `${v}: "the flag is checked on every connect, not just the first one … a single connect ` +
      'with clean session = true will wipe out the persistent state" [MQTT-3.1.2-6 @3.1.1] ' +
      "[MQTT-3.1.2-4]",
    async (stage) => {
      const keeper = keeperOf(version, `every${version}`);
      await leave(stage, keeper, `every${version}`, { qos: 1 });
      await (await resume(stage, keeper)).disconnect();
      await (await resume(stage, keeper)).drop();
      await (await stage.connect()).publish(`every${version}`, "lost", { qos: 1 });
      const clean = { ...keeper, clean: true, properties: { sessionExpiryInterval: 0 } };
      expect((await stage.connect(clean)).connack?.sessionPresent).toBe(false);
      await stage.interrupted(); // Its connection was open: the wipe itself must last.
      await expectSession(await stage.connect(keeper), false, `every${version}`);
    },
  );

  story(
    `${v}: "If this client disconnects for any reason, all subscriptions and queued messages ` +
      'tied to it are lost" [MQTT-3.1.2-6 @3.1.1] [MQTT-4.1.0-2]',
    async (stage) => {
      const ends: Record<string, (client: TestClient) => Promise<unknown>> = {
        disconnect: (client) => client.disconnect(),
        drop: (client) => client.drop(),
        interruption: () => stage.interrupted(),
        error: (client) => {
          client.sendBytes(Buffer.from("f1", "hex"));
          return client.closed();
        },
      };
      for (const [name, end] of Object.entries(ends)) {
        const clientId = `reason-${version}-${name}`;
        const client = await stage.connect({ version, clientId, clean: true });
        await client.subscribe(clientId, { qos: 2 });
        await client.publish(clientId, "unconfirmed", { qos: 2 });
        await client.expectPublish({ payload: "unconfirmed" });
        await end(client);
        await (await stage.connect()).publish(clientId, "missed", { qos: 1 });
        await expectSession(await stage.connect(keeperOf(version, clientId)), false, clientId);
      }
    },
  );
}

function tellClientIdentifiers(story: TellStory): void {
  const other = (name: string): ConnectOptions => keeperOf(5, name);

  story(
    '"The session is keyed entirely on the ClientId": another one, in case or length, is ' +
      "another Session [MQTT-3.1.3-2] [MQTT-3.1.3-2 @3.1.1]",
    async (stage) => {
      await leave(stage, other("keyed-1"), "keyed", { qos: 1 });
      await (await stage.connect()).publish("keyed", "queued", { qos: 1 });
      await stage.interrupted();
      for (const name of ["Keyed-1", "keyed-", "keyed-11", "keyed-1 "]) {
        const stranger = await stage.connect(other(name));
        expect(stranger.connack?.sessionPresent).toBe(false);
        await stranger.expectNothing();
      }
      await expectSession(await stage.connect(other("keyed-1")), true, "keyed");
    },
  );

  story(
    '"The session is keyed entirely on the ClientId": whatever version or transport it comes ' +
      "back with [MQTT-3.1.3-2] [MQTT-3.1.2-5]",
    async (stage) => {
      const clientId = "versions";
      await leave(stage, { version: 4, clientId, clean: false }, clientId, { qos: 1 });
      await (await stage.connect()).publish(clientId, "queued", { qos: 1 });
      await stage.interrupted();
      const upgraded = await stage.connect({ ...keeperOf(5, clientId), transport: "webSocket" });
      await expectSession(upgraded, true, clientId);
      await upgraded.drop();
      await (await stage.connect()).publish(clientId, "queued", { qos: 1 });
      await stage.interrupted();
      const version: Version = 4;
      await expectSession(await stage.connect({ version, clientId, clean: false }), true, clientId);
    },
  );

  story(
    "5.0: an assigned Client Identifier leads back to its Session [MQTT-3.1.3-6, -7] " +
      "[MQTT-3.2.2-16]",
    async (stage) => {
      const nameless = { ...other(""), clean: true };
      const first = await stage.connect(nameless);
      const clientId = first.connack?.properties?.assignedClientIdentifier ?? "";
      expect(clientId).not.toBe("");
      await first.subscribe("assigned", { qos: 1 });
      await first.drop();
      await (await stage.connect()).publish("assigned", "queued", { qos: 1 });
      await stage.interrupted();
      await expectSession(await stage.connect(other(clientId)), true, "assigned");
      const second = await stage.connect(nameless);
      expect(second.connack?.properties?.assignedClientIdentifier).not.toBe(clientId);
    },
  );

  story(
    `"the broker performs a take-over, closing the first one's connection so the second can ` +
      'attach to the session" [MQTT-3.1.4-3] [MQTT-3.1.4-2 @3.1.1] [MQTT-4.4.0-1]',
    async (stage) => takeOver(stage, 4).then(() => takeOver(stage, 5)),
  );
}

function tellOddIdentifiers(story: TellStory): void {
  story(
    '"identified by ClientId", however long it is and whatever is in it [MQTT-3.1.3-2, -4]',
    async (stage) => {
      const names = ["é/+/#", "名前", "long".repeat(1200), `${"long".repeat(1200)}er`];
      for (const [index, clientId] of names.entries()) {
        await leave(stage, keeperOf(5, clientId), `named/${index}`, { qos: 1 });
        await (await stage.connect()).publish(`named/${index}`, "queued", { qos: 1 });
      }
      await stage.interrupted();
      for (const [index, clientId] of names.entries()) {
        await expectSession(await stage.connect(keeperOf(5, clientId)), true, `named/${index}`);
      }
    },
  );
}

async function takeOver(stage: Stage, version: 4 | 5): Promise<void> {
  const keeper = keeperOf(version, `shared-id-${version}`);
  const first = await stage.connect(keeper);
  await first.subscribe(`shared-id-${version}`, { qos: 2 });
  await first.publish(`shared-id-${version}`, "x", { qos: 2 });
  const { packetIdentifier } = await first.expectPublish({ payload: "x", dup: false });
  const second = await resume(stage, keeper);
  await first.expectDisconnect(0x8e);
  await second.expectPublish({ payload: "x", dup: true, packetIdentifier });
  // "The two then fight, each repeatedly kicking the other off."
  const third = await resume(stage, keeper);
  await second.expectDisconnect(0x8e);
  await third.expectPublish({ payload: "x", dup: true, packetIdentifier });
  await stage.interrupted();
  const last = await resume(stage, keeper);
  await last.receive({ payload: "x", dup: true, packetIdentifier });
  await last.expectNothing();
}
