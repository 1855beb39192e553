/**
 * Chapter 18: what the broker says stays within the client's Maximum Packet Size, for the packets
 * in which Reason String and User Properties may be left out, and what its DISCONNECT never holds.
 * MQTT 5.0 §3.2.2.3, §3.4.2.2 to §3.7.2.2, §3.9.2.1, §3.11.2.1, §3.14.2.2.
 *
 * Each answer is provoked in its worst form, a refusal where there is one, by a client whose
 * Maximum Packet Size is that of its CONNACK, the least with which it could be let in: the answer
 * must come all the same, within the limit.
 */
import type { Packet } from "mqtt-packet";
import { describe, expect, test } from "vitest";
import type { TestClient } from "../support/client.ts";
import { rawConnect, rawPacket, text } from "../support/client-bytes.ts";
import { startChapter } from "./chapter.ts";

const chapter = startChapter({ configuration: ["max_topic_alias 3"] });
const { connect, open } = chapter;

type Answer = Extract<
  Packet["cmd"],
  "puback" | "pubrec" | "pubrel" | "pubcomp" | "suback" | "unsuback"
>;

interface Provoked {
  readonly title: string;
  readonly answer: Answer;
  readonly provoke: (client: TestClient) => void;
}

const PROVOKED: readonly Provoked[] = [
  {
    title: "PUBACK [MQTT-3.4.2-2, -3]",
    answer: "puback",
    provoke: (client) => client.sendPublish("limit/x", "x", { qos: 1, packetIdentifier: 7 }),
  },
  {
    title: "PUBREC [MQTT-3.5.2-2, -3]",
    answer: "pubrec",
    provoke: (client) => client.sendPublish("limit/x", "x", { qos: 2, packetIdentifier: 7 }),
  },
  {
    title: "PUBREL of an unknown identifier [MQTT-3.6.2-2, -3]",
    answer: "pubrel",
    provoke: (client) => client.send({ cmd: "pubrec", messageId: 7 }),
  },
  {
    title: "PUBCOMP of an unknown identifier [MQTT-3.7.2-2, -3]",
    answer: "pubcomp",
    provoke: (client) => client.send({ cmd: "pubrel", messageId: 7 }),
  },
  {
    title: "SUBACK [MQTT-3.9.2-1, -2]",
    answer: "suback",
    provoke: (client) => client.sendBytes(rawPacket(0x82, [0, 7], 0, text("$share/a/b"), 0)),
  },
  {
    title: "UNSUBACK of what was not there [MQTT-3.11.2-1, -2]",
    answer: "unsuback",
    provoke: (client) => client.sendBytes(rawPacket(0xa2, [0, 7], 0, text("nothing"))),
  },
];

describe("Reason String and User Properties give way to the Maximum Packet Size", () => {
  test.for(PROVOKED)("$title", async ({ answer, provoke }) => {
    const { client, packetBytesMax } = await connectWithin();
    const before = client.byteCount;
    provoke(client);
    await client.expect(answer, 7);
    expect(client.byteCount - before).toBeLessThanOrEqual(packetBytesMax);
    await client.expectNothing();
  });

  test("DISCONNECT [MQTT-3.14.2-3, -4]", async () => {
    const { client, packetBytesMax } = await connectWithin();
    const before = client.byteCount;
    client.sendBytes(rawPacket(0x30, text("limit/x"), 3, [0x23, 0, 9])); // Alias above the maximum.
    const packet = await client.expect("disconnect");
    expect(packet.reasonCode).toBe(0x94);
    expect(client.byteCount - before).toBeLessThanOrEqual(packetBytesMax);
    await client.closed();
  });

  test("CONNACK with a refusal [MQTT-3.2.2-19, -20]", async () => {
    const client = await open();
    const limit = [0x27, 0, 0, 0, 5];
    const unknownMethod = [0x15, text("UNKNOWN-METHOD")];
    client.sendBytes(rawConnect({ properties: [limit, ...unknownMethod] }));
    const packet = await client.expectRefusal(0x8c);
    expect(client.byteCount).toBeLessThanOrEqual(5);
    expect(packet.properties ?? {}).toEqual({});
  });

  async function connectWithin(): Promise<{ client: TestClient; packetBytesMax: number }> {
    const { byteCount: packetBytesMax } = await connect();
    expect(packetBytesMax).toBeLessThan(60); // Or it would be no limit for a text.
    const client = await connect({ properties: { maximumPacketSize: packetBytesMax } });
    return { client, packetBytesMax };
  }
});

describe("DISCONNECT from the broker", () => {
  const lasting = { sessionExpiryInterval: 600 };

  test("has no Session Expiry Interval: a Protocol Error [MQTT-3.14.2-2]", async () => {
    const client = await connect({ properties: lasting });
    client.sendBytes(rawPacket(0x82, [0, 1], 0));
    const packet = await client.expect("disconnect");
    expect(packet.reasonCode).toBe(0x82);
    expect(packet.properties?.sessionExpiryInterval).toBeUndefined();
    await client.closed();
  });

  test("has no Session Expiry Interval: a takeover [MQTT-3.14.2-2]", async () => {
    const client = await connect({ clientId: "taken18", properties: lasting });
    await connect({ clientId: "taken18", clean: false, properties: lasting });
    const packet = await client.expect("disconnect");
    expect(packet.reasonCode).toBe(0x8e);
    expect(packet.properties?.sessionExpiryInterval).toBeUndefined();
    await client.closed();
  });
});

describe("a broker that asks who is there", () => {
  const guarded = startChapter({
    configuration: ["allow_anonymous false", "allow_zero_length_clientid false"],
  });

  test.for([4, 5] as const)(
    "version %i: who may not is refused, and the connection closed [MQTT-3.1.4-2]",
    async (version) => {
      const client = await guarded.open({ version });
      client.sendConnect({ clientId: "nobody" });
      client.send({ cmd: "pingreq" });
      await client.expectRefusal(version === 5 ? 0x87 : 5);
    },
  );

  test("a Client Identifier that is not accepted: 0x85 and the close [MQTT-3.1.3-8]", async () => {
    const client = await guarded.open();
    client.sendBytes(rawConnect({ payload: [text("")] }));
    client.send({ cmd: "pingreq" });
    await client.expectRefusal(0x85);
  });
});

describe("a broker that takes no Topic Alias", () => {
  const plain = startChapter({ configuration: ["max_topic_alias 0"] });

  test("says so, and answers one with 0x94 [MQTT-3.2.2-18]", async () => {
    const client = await plain.connect();
    expect(client.connack?.properties?.topicAliasMaximum ?? 0).toBe(0);
    client.sendBytes(rawPacket(0x30, text("alias/x"), 3, [0x23, 0, 1]));
    await client.expectDisconnect(0x94);
  });
});

describe("a broker out of memory", () => {
  const small = startChapter({
    configuration: [
      "durability memory",
      "memory_limit 67108864",
      "max_queued_messages 0",
      "max_queued_bytes 0",
    ],
  });

  test("closes the connection of what it cannot take [MQTT-4.8.0-2 @3.1.1]", async () => {
    const hoarder = await small.connect({ version: 4, clientId: "hoarder4", clean: false });
    await hoarder.subscribe("hoard4/#", { qos: 1 });
    await hoarder.disconnect();
    const publisher = await small.connect({ version: 4 });
    const bystander = await small.connect({ version: 4 });
    const payload = Buffer.alloc(500_000, "x");
    const fill = async () => {
      for (let i = 0; i < 400; i++) await publisher.publish("hoard4/x", payload, { qos: 1 });
    };
    await expect(fill()).rejects.toThrow(/closed/); // 200 MB do not fit into 64 MiB.
    await publisher.closed();
    await bystander.ping();
  });
});
