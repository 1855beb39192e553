/**
 * Chapter 14: Will Delay Interval against the Session's end, and wills across a restart.
 * MQTT 5.0 §3.1.2.5, §3.1.3.2.2; 3.1.1 §3.1.2.5.
 */
import { describe, expect } from "vitest";
import type { TestClient } from "../support/client.ts";
import type { ConnectOptions, Will } from "../support/client-packets.ts";
import { keeperOf, leave, resume } from "../support/restartable-broker-sessions.ts";
import { type Stage, stageStories, type TellStory } from "../support/restartable-broker-stories.ts";

const AWAY_MS = 1500;

for (const interruption of ["a lost connection", "stop", "kill -9"] as const) {
  describe(`across ${interruption}`, () => {
    const story = stageStories({ interruptions: [interruption, interruption], downMs: AWAY_MS });
    tellDelay(story);
    tellSessionEnd(story);
    tellOpenConnections(story);
    if (interruption !== "kill -9") tellBriefConnections(story);
  });
}

/** An heir who is away, and a client whose will, at QoS 1, goes to it. */
async function prepare(
  stage: Stage,
  name: string,
  sessionExpiryInterval: number,
  will: Partial<Will> = {},
): Promise<{ readonly mortal: ConnectOptions; readonly heir: ConnectOptions }> {
  const heir = keeperOf(5, `${name}-heir`);
  await leave(stage, heir, name, { qos: 1 });
  const mortal: ConnectOptions = {
    clientId: name,
    clean: false,
    properties: { sessionExpiryInterval },
    will: { topic: name, payload: Buffer.from("gone"), qos: 1, ...will },
  };
  return { mortal, heir };
}

function delayedBy(willDelayInterval: number): Partial<Will> {
  return { properties: { willDelayInterval } };
}

/** The will comes to the heir, once, also behind one more interruption. */
async function expectWill(stage: Stage, heir: ConnectOptions): Promise<void> {
  const client = await resume(stage, heir);
  await client.receive({ payload: "gone", qos: 1, dup: false });
  await expectNoWill(stage, heir, client);
}

/**
 * No will comes to the heir, neither now nor behind one more interruption, which ends later than
 * any delay here: its stories wait for the longest of them.
 */
async function expectNoWill(stage: Stage, heir: ConnectOptions, client?: TestClient) {
  const first = client ?? (await resume(stage, heir));
  await first.expectNothing();
  await first.subscribe("commit/behind"); // Its SUBACK waits for all before it.
  await stage.interrupted();
  const second = await resume(stage, heir);
  await second.expectNothing();
}

function tellDelay(story: TellStory): void {
  story(
    "Will Delay Interval counts in the time of day, across the interruption [MQTT-3.1.2-8]",
    async (stage) => {
      const { mortal, heir } = await prepare(stage, "delay/absolute", 600, delayedBy(4));
      const client = await stage.connect(mortal);
      const sinceMs = performance.now();
      await client.drop();
      await stage.interrupted();
      const waiting = await resume(stage, heir);
      await waiting.expectNothing(); // 4 s are not over.
      await waiting.receive({ payload: "gone", qos: 1 });
      const passedMs = performance.now() - sinceMs;
      expect(passedMs).toBeGreaterThan(2900);
      expect(passedMs).toBeLessThan(6500);
      await expectNoWill(stage, heir, waiting);
    },
  );

  story(
    "a will that fell due while nobody was there is published then [MQTT-3.1.2-8]",
    async (stage) => {
      const { mortal, heir } = await prepare(stage, "delay/due", 600, delayedBy(1));
      await (await stage.connect(mortal)).drop();
      await stage.interrupted();
      await expectWill(stage, heir);
    },
  );

  story("reconnecting behind the interruption cancels it [MQTT-3.1.3-9]", async (stage) => {
    const { mortal, heir } = await prepare(stage, "delay/cancelled", 600, delayedBy(4));
    await (await stage.connect(mortal)).drop();
    await stage.interrupted();
    const back = await resume(stage, { ...mortal, will: { topic: "x", payload: Buffer.from("") } });
    await back.disconnect();
    await expectNoWill(stage, heir);
  });

  story("DISCONNECT 0x00 dropped it for good [MQTT-3.14.4-3] [MQTT-3.1.2-10]", async (stage) => {
    const { mortal, heir } = await prepare(stage, "delay/dropped", 600, delayedBy(1));
    await (await stage.connect(mortal)).disconnect();
    await stage.interrupted();
    await expectNoWill(stage, heir);
  });

  story(
    "DISCONNECT 0x04 sent it on its way, with its delay [§3.14.2.1] [MQTT-3.1.2-8]",
    async (stage) => {
      const { mortal, heir } = await prepare(stage, "delay/asked", 600, delayedBy(1));
      await (await stage.connect(mortal)).disconnect(4);
      await stage.interrupted();
      await expectWill(stage, heir);
    },
  );
}

function tellSessionEnd(story: TellStory): void {
  story(
    "the Session's end cuts the delay short, also while nobody is there [MQTT-3.1.2-8]",
    async (stage) => {
      const { mortal, heir } = await prepare(stage, "end/expired", 1, delayedBy(600));
      await (await stage.connect(mortal)).drop();
      await stage.interrupted();
      await expectWill(stage, heir);
    },
  );

  story(
    "Clean Start 1 behind the interruption ends the Session, and sends it at once " +
      "[MQTT-3.1.2-4] [MQTT-3.1.2-8]",
    async (stage) => {
      const { mortal, heir } = await prepare(stage, "end/cleaned", 600, delayedBy(600));
      await (await stage.connect(mortal)).drop();
      await stage.interrupted();
      await (await stage.connect({ clientId: "end/cleaned", clean: true })).disconnect();
      await expectWill(stage, heir);
    },
  );

  story(
    "DISCONNECT 0x04 with interval 0 ends the Session, and sends it at once [§3.14.2.2.2]",
    async (stage) => {
      const { mortal, heir } = await prepare(stage, "end/farewell", 600, delayedBy(600));
      await (await stage.connect(mortal)).disconnect(4, 0);
      await stage.interrupted();
      await expectWill(stage, heir);
    },
  );
}

function tellOpenConnections(story: TellStory): void {
  for (const version of [4, 5] as const) {
    story(
      `version ${version}: "the broker eventually detects the loss": the will of a connection ` +
        "that was open goes out, before or behind the interruption [MQTT-3.1.2-8] " +
        "[MQTT-3.1.2-8 @3.1.1]",
      async (stage) => {
        const { mortal, heir } = await prepare(stage, `open/${version}`, 600);
        await stage.connect({ ...mortal, version });
        await stage.interrupted();
        await expectWill(stage, heir);
      },
    );
  }

  story("retained, it is there for who subscribes later [MQTT-3.1.2-15]", async (stage) => {
    const { mortal, heir } = await prepare(stage, "open/retained", 600, { retain: true });
    await stage.connect(mortal);
    await stage.interrupted();
    await (await resume(stage, heir)).receive({ payload: "gone" });
    await stage.interrupted();
    const late = await stage.connect();
    await late.subscribe("open/retained", { qos: 1 });
    await late.receive({ payload: "gone", retain: true });
  });

  story(
    "with a delay, the client that returns behind the interruption cancels it [MQTT-3.1.3-9]",
    async (stage) => {
      const { mortal, heir } = await prepare(stage, "open/back", 600, delayedBy(3));
      await stage.connect(mortal);
      await stage.interrupted();
      await (await resume(stage, mortal)).disconnect();
      await expectNoWill(stage, heir);
    },
  );

  story("with a delay, it goes out when nobody returns [MQTT-3.1.2-8]", async (stage) => {
    const { mortal, heir } = await prepare(stage, "open/delayed", 600, delayedBy(1));
    await stage.connect(mortal);
    await stage.interrupted();
    await expectWill(stage, heir);
  });

  story(
    "with a delay, the Session's end behind the interruption cuts it short [MQTT-3.1.2-8]",
    async (stage) => {
      const { mortal, heir } = await prepare(stage, "open/expired", 1, delayedBy(600));
      await stage.connect(mortal);
      await stage.interrupted();
      await expectWill(stage, heir);
    },
  );
}

function tellBriefConnections(story: TellStory): void {
  story(
    "so does that of a connection whose Session ends with it [MQTT-3.1.2-8] [MQTT-4.1.0-2]",
    async (stage) => {
      const { mortal, heir } = await prepare(stage, "open/brief", 0, delayedBy(600));
      await stage.connect({ ...mortal, clean: true });
      await stage.interrupted();
      await expectWill(stage, heir);
    },
  );
}
