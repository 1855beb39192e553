/**
 * Chapter 12: "persistent sessions are not only a broker responsibility": what clients owe, seen
 * from the broker, who keeps to the standard where they do not; and what each `durability` keeps.
 * MQTT 5.0 §4.1, §4.3, §4.4, §3.2.2.1.1; 3.1.1 §4.1, §4.3, §4.4.
 */
import { describe, expect, test } from "vitest";
import { committed, keeperOf, leave, resume } from "../support/restartable-broker-sessions.ts";
import { stageStories, type TellStory } from "../support/restartable-broker-stories.ts";
import { nameOf, startChapter } from "./chapter.ts";

for (const interruption of ["a lost connection", "stop", "kill -9"] as const) {
  describe(`across ${interruption}`, () => {
    const story = stageStories({ interruptions: [interruption, interruption] });
    for (const version of [4, 5] as const) {
      tellCarefulClients(story, version);
      tellForgetfulClients(story, version);
      tellLeavingClients(story, version);
    }
  });
}

function tellCarefulClients(story: TellStory, version: 4 | 5): void {
  const v = nameOf(version);

  story(
    `${v}: "All messages in a QoS 1 or 2 flow that have not yet been confirmed by the broker", ` +
      "sent again by the client, arrive [MQTT-4.4.0-1] [MQTT-4.3.2-5] [MQTT-4.3.2-2 @3.1.1]",
    async (stage) => {
      const keeper = keeperOf(version, `careful${version}`);
      const receiver = keeperOf(version, `careful-receiver${version}`);
      await leave(stage, receiver, `careful${version}`);
      await stage.connect(keeper);
      await stage.interrupted();
      const second = await resume(stage, keeper);
      // What was lost on its way comes with DUP, its identifier, and in its order.
      const again = { dup: true, qos: 1 } as const;
      for (const packetIdentifier of [3, 4, 5]) {
        const payload = `${packetIdentifier}`;
        second.sendPublish(`careful${version}`, payload, { ...again, packetIdentifier });
      }
      for (const messageId of [3, 4, 5]) await second.expect("puback", messageId);
      await second.publish(`careful${version}`, "new", { qos: 2, packetIdentifier: 3 });
      await stage.interrupted();
      const last = await resume(stage, receiver);
      for (const payload of ["3", "4", "5"]) await last.receive({ payload, qos: 1, dup: false });
      await last.receive({ payload: "new", qos: 2 });
      await last.expectNothing();
    },
  );

  story(
    `${v}: "All QoS 2 messages received from the broker that are not yet completely ` +
      'acknowledged": the client that remembers goes on with PUBREC [MQTT-4.3.3-4] ' +
      "[MQTT-4.3.3-1 @3.1.1]",
    async (stage) => {
      const keeper = keeperOf(version, `remembers${version}`);
      const first = await stage.connect(keeper);
      await first.subscribe(`remembers${version}`, { qos: 2 });
      await first.publish(`remembers${version}`, "x", { qos: 2 });
      const { packetIdentifier: messageId } = await first.expectPublish();
      first.send({ cmd: "pubrec", messageId });
      await stage.interrupted(); // The broker may have seen that PUBREC, or not.
      const second = await resume(stage, keeper);
      await second.ping();
      second.send({ cmd: "pubrec", messageId });
      await second.expect("pubrel", messageId);
      second.send({ cmd: "pubcomp", messageId });
      await committed(second);
      await stage.interrupted();
      const last = await resume(stage, keeper);
      await last.expectNothing();
    },
  );
}

function tellForgetfulClients(story: TellStory, version: 4 | 5): void {
  const v = nameOf(version);

  story(
    `${v}: "a client that … does not preserve its own state on disconnect can confuse the ` +
      'broker": the identifier of an open QoS 2 message is taken for its repetition ' +
      "[MQTT-4.3.3-10] [MQTT-4.3.3-2 @3.1.1]",
    async (stage) => {
      const keeper = keeperOf(version, `forgets${version}`);
      const receiver = keeperOf(version, `forgets-receiver${version}`);
      await leave(stage, receiver, `forgets${version}`);
      const first = await stage.connect(keeper);
      first.sendPublish(`forgets${version}`, "first", { qos: 2, packetIdentifier: 1 });
      await first.expect("pubrec", 1);
      await stage.interrupted();
      const second = await resume(stage, keeper);
      await second.publish(`forgets${version}`, "not a repetition", {
        qos: 2,
        packetIdentifier: 1,
      });
      await second.publish(`forgets${version}`, "second", { qos: 2, packetIdentifier: 1 });
      await stage.interrupted();
      const last = await resume(stage, receiver);
      await last.receive({ payload: "first" });
      await last.receive({ payload: "second" });
      await last.expectNothing();
    },
  );

  story(
    `${v}: "a client that … does not preserve its own state": acknowledgements of what is not ` +
      "open harm neither connection nor Session [MQTT-4.3.3-11] [MQTT-4.1.0-1]",
    async (stage) => {
      const keeper = keeperOf(version, `confused${version}`);
      await leave(stage, keeper, `confused${version}`);
      await (await stage.connect()).publish(`confused${version}`, "queued", { qos: 2 });
      await stage.interrupted();
      const second = await resume(stage, keeper);
      const queued = await second.expectPublish({ payload: "queued", qos: 2 });
      const other = queued.packetIdentifier + 1000;
      second.send({ cmd: "puback", messageId: other });
      second.send({ cmd: "pubcomp", messageId: other });
      second.send({ cmd: "pubrel", messageId: other });
      const { reasonCode } = await second.expect("pubcomp", other);
      expect(reasonCode ?? 0).toBe(version === 5 ? 0x92 : 0);
      await second.ping();
      await second.acknowledge(queued);
      await second.publish(`confused${version}`, "live", { qos: 1 });
      await second.receive({ payload: "live" });
      await second.expectNothing();
    },
  );
}

function tellLeavingClients(story: TellStory, version: 4 | 5): void {
  const v = nameOf(version);

  story(
    `${v}: "Reading the flag": a client without state that leaves at Session Present 1 leaves ` +
      "the Session as it was [MQTT-3.2.2-4]",
    async (stage) => {
      const keeper = keeperOf(version, `leaves${version}`);
      await leave(stage, keeper, `leaves${version}`, { qos: 1 });
      await (await stage.connect()).publish(`leaves${version}`, "queued", { qos: 1 });
      await stage.interrupted();
      await (await resume(stage, keeper)).drop();
      await stage.interrupted();
      const last = await resume(stage, keeper);
      await last.receive({ payload: "queued", qos: 1 });
      await last.expectNothing();
    },
  );
}

describe("what no Session can be made of", () => {
  const { open } = startChapter();

  test("3.1.1: a Session without a Client Identifier is 0x02 [MQTT-3.1.3-8 @3.1.1]", async () => {
    const client = await open({ version: 4 });
    // CONNECT, "MQTT", level 4, no flag, Keep Alive 0, an empty Client Identifier.
    client.sendBytes(Buffer.from("100c00044d515454040000000000", "hex"));
    await client.expectRefusal(2);
  });
});

describe('"some brokers hold sessions in memory only … others persist sessions to disk"', () => {
  for (const [line, interruption, survives] of [
    ["durability memory", "stop", false],
    ["durability memory", "kill -9", false],
    ["persistence false", "stop", false],
    ["durability process", "stop", true],
    ["durability process", "kill -9", true],
    ["durability fsync", "kill -9", true],
    ["persistence true", "kill -9", true],
  ] as const) {
    describe(`${line}, ${interruption}`, () => {
      const story = stageStories({ interruptions: [interruption], configuration: [line] });
      for (const version of [4, 5] as const) {
        const what = survives
          ? '"so they survive restarts"'
          : '"a broker restart looks identical to a clean session"';
        story(`${nameOf(version)}: ${what} [MQTT-3.2.2-3] [MQTT-3.2.2-3 @3.1.1]`, async (stage) => {
          const keeper = keeperOf(version, `keeper${version}`);
          const topic = `durability${version}`;
          await leave(stage, keeper, topic, { qos: 1 });
          const publisher = await stage.connect();
          await publisher.publish(topic, "queued", { qos: 1 });
          await publisher.publish(`${topic}/retained`, "r", { qos: 1, retain: true });
          await stage.interrupted();
          const second = await stage.connect(keeper);
          expect(second.connack?.sessionPresent).toBe(survives);
          if (survives) await second.receive({ payload: "queued", qos: 1 });
          await second.subscribe(`${topic}/retained`, { qos: 1 });
          if (survives) await second.receive({ payload: "r", retain: true });
          await second.expectNothing();
        });
      }
    });
  }
});
