/**
 * ACL files: the same file for mosquitto and for Holdfast, and the same clients. What each client
 * may publish, and what it is sent, must be the same; so must be which files are refused.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { until } from "../support/await.ts";
import type { TestClient } from "../support/client.ts";
import type { ConnectOptions } from "../support/client-packets.ts";
import {
  BROKERS,
  type BrokerName,
  placeFor,
  type Side,
  start,
  startSide,
} from "./mosquitto-pair.ts";

const ACL = `
# Clients without a name.
topic read open/#
topic deny open/hidden
topic write in/anonymous
topic read end

user root
topic #
topic $app/#
topic read end

user alice
topic readwrite a/#
topic deny a/secret/#
topic read  with blanks/in it  
topic both
topic write own/write
topic deny p/alice/no/#
topic read end
topic read +/plus/+
topic read $app/one

user bob smith
topic read b/#
topic read end
user alice
topic read late/#

user w+ld
topic read w/#
topic read end

pattern read p/%u/#
pattern deny p/%u/no/#
pattern readwrite c/%c/x
pattern write d-%c/x
pattern read end
`;

/** Who connects: user name and Client Identifier. */
const WHO: readonly ConnectOptions[] = [
  { clientId: "one" },
  { clientId: "alice", userName: "alice" },
  { clientId: "c/d", userName: "alice" },
  { clientId: "two", userName: "bob smith" },
  { clientId: "three", userName: "nobody" },
  { clientId: "four", userName: "w+ld" },
  { clientId: "f#ve", userName: "alice" },
];

const TOPICS = [
  ...["open", "open/a", "open/hidden", "open/hidden/x", "in/anonymous", "a", "a/b", "a/secret"],
  ...["a/secret/x", "with blanks/in it", "both", "own/write", "b/x", "late/x", "w/x", "x/plus/y"],
  ...["p/alice/x", "p/alice/no/x", "p/nobody/x", "p/bob smith/x", "p/w+ld/x", "c/one/x"],
  ...["c/alice/x", "c/c/d/x", "c/two/x", "c/three/x", "c/four/x", "d-one/x", "d-three/x"],
  ...["$app/one", "$app/two", "p//x"],
].filter((topic) => !/[+#]/.test(topic));

const sides = new Map<BrokerName, Side>();
const side = (broker: BrokerName): Side => {
  const running = sides.get(broker);
  if (running === undefined) throw new Error(`${broker} does not run`);
  return running;
};

function lines(port: number, directory: string, content: string): string[] {
  writeFileSync(join(directory, "acl"), content);
  return [
    `listener ${port} 127.0.0.1`,
    "allow_anonymous true",
    `acl_file ${join(directory, "acl")}`,
    "max_queued_messages 1000",
    "log_type all",
  ];
}

beforeAll(async () => {
  for (const broker of BROKERS) {
    const running = await startSide(broker, ({ port, directory }) => lines(port, directory, ACL));
    sides.set(broker, running);
  }
});
afterAll(async () => {
  for (const running of sides.values()) await running.stop();
});

/** What comes until a message of topic `end`. */
async function untilEnd(client: TestClient): Promise<string[]> {
  const topics: string[] = [];
  for (;;) {
    const { topic } = await client.receive();
    if (topic === "end") return topics;
    topics.push(topic);
  }
}

async function both<T>(play: (running: Side) => Promise<T>): Promise<void> {
  const [mosquitto, holdfast] = [await play(side("mosquitto")), await play(side("holdfast"))];
  expect(holdfast).toEqual(mosquitto);
}

const root = (running: Side, more: ConnectOptions = {}) =>
  running.connect({ userName: "root", ...more });

describe.each(WHO)("$clientId as $userName", (who) => {
  test("publishes", () =>
    both(async (running) => {
      const client = await running.connect({ ...who, version: 5 });
      const denied: string[] = [];
      for (const topic of TOPICS) {
        for (const qos of [1, 2, 1] as const) {
          if ((await client.publish(topic, "x", { qos })) === 0x87) denied.push(`${topic} ${qos}`);
        }
      }
      await client.disconnect();
      return denied;
    }));

  test("is sent what is published, retained, and kept for it", () =>
    both(async (running) => {
      const publisher = await root(running);
      for (const topic of TOPICS) await publisher.publish(topic, "kept", { qos: 1, retain: true });
      const lasting = { sessionExpiryInterval: 600 };
      const options = { ...who, version: 5, clean: false, properties: lasting } as const;
      const client = await running.connect(options);
      expect(await client.subscribe("#", { qos: 1 })).toBe(1);
      expect(await client.subscribe("$app/#", { qos: 1 })).toBe(1);
      await publisher.publish("end", "", { qos: 1 });
      const retained = await untilEnd(client);
      for (const topic of TOPICS) await publisher.publish(topic, "live", { qos: 1 });
      await publisher.publish("end", "", { qos: 1 });
      const live = await untilEnd(client);
      await client.drop();
      for (const topic of TOPICS) await publisher.publish(topic, "queued", { qos: 1 });
      await publisher.publish("end", "", { qos: 1 });
      const back = await running.connect(options);
      const queued = await untilEnd(back);
      await back.disconnect(0, 0);
      for (const topic of TOPICS) await publisher.publish(topic, "", { qos: 1, retain: true });
      await publisher.disconnect();
      return [retained.sort(), live, queued];
    }));

  test("leaves a will", () =>
    both(async (running) => {
      const observer = await root(running);
      await observer.subscribe("#");
      await observer.subscribe("$app/#");
      for (const topic of TOPICS) {
        const client = await running.connect({
          ...who,
          version: 5,
          will: { topic, payload: Buffer.from("gone"), qos: 1 },
        });
        // Told once that has happened: a DISCONNECT that asks for the will.
        await client.disconnect(4);
      }
      await observer.publish("end", "", { qos: 1 });
      const seen = await untilEnd(observer);
      await observer.disconnect();
      return seen;
    }));
});

test("older versions are told nothing, and are sent nothing", () =>
  both(async (running) => {
    const observer = await root(running);
    await observer.subscribe("#");
    for (const version of [3, 4] as const) {
      const client = await running.connect({ ...WHO[1], version });
      for (const qos of [0, 1, 2] as const) {
        await client.publish("b/x", `${version} ${qos}`, { qos });
        await client.publish("a/x", `${version} ${qos}`, { qos });
      }
      await client.disconnect();
    }
    await observer.publish("end", "", { qos: 1 });
    return untilEnd(observer);
  }));

test("the file is read again at SIGHUP: who is connected may do what it says now", () =>
  both(async (running) => {
    const observer = await root(running);
    const client = await running.connect({ ...WHO[1], version: 5 });
    await client.subscribe("#");
    const before = [
      await client.publish("new/x", "", { qos: 1 }),
      await client.publish("a/x", "", { qos: 1 }),
    ];
    writeFileSync(
      join(running.directory, "acl"),
      "user root\ntopic #\nuser alice\ntopic read end\ntopic new/#\n",
    );
    running.signal("SIGHUP");
    await until("the new file", async () => (await client.publish("new/x", "", { qos: 1 })) < 0x80);
    const after = [await client.publish("a/x", "", { qos: 1 })];
    await observer.publish("a/x", "", { qos: 1 });
    await observer.publish("end", "", { qos: 1 });
    const seen = (await untilEnd(client)).filter((topic, at, all) => all.indexOf(topic) === at);
    writeFileSync(join(running.directory, "acl"), ACL);
    running.signal("SIGHUP");
    await until("the old file", async () => (await client.publish("a/x", "", { qos: 1 })) < 0x80);
    return [before.map((code) => code < 0x80), after.map((code) => code < 0x80), seen.sort()];
  }));

const FILES: readonly (readonly [content: string, isAccepted: boolean])[] = [
  ["topic read x\n", true],
  ["topic read\n", true],
  ["  topic read a  \r\n", true],
  ["pattern read same/for/all\n", true],
  ["topic deny x\n", true],
  ["topic\n", false],
  ["topic two words\n", false],
  ["topic a/#/b\n", false],
  ["topic write a+\n", false],
  ["pattern read a/b#\n", false],
  ["user\n", false],
  ["users x\n", false],
  ["TOPIC read x\n", false],
  ["topic\tread x\n", false],
];

test.each(FILES)("a file with %j: accepted %j", async (content, isAccepted) => {
  for (const broker of BROKERS) {
    const place = await placeFor(broker);
    const started = await start(place, lines(place.port, place.directory, content));
    expect([broker, "output" in started]).toEqual([broker, isAccepted]);
    if ("output" in started) await started.stop();
    else if (broker === "holdfast") {
      expect(started.text).toContain("acl:1: ");
      expect(started.exitCode).not.toBe(0);
    }
  }
});
