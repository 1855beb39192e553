/**
 * Lines of the log that scripts look for, against mosquitto's: the same events on both brokers.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { until } from "../support/await.ts";
import type { TestClient } from "../support/client.ts";
import { expectAllLookedAt, expectDifferences } from "./mosquitto-differences.ts";
import { BROKERS, type BrokerName, type Side, startSide } from "./mosquitto-pair.ts";

/** Addresses and ports are each broker's own; the time is not the subject. */
function plain(line: string): string {
  return line
    .replace(/^\d{10}: /, "")
    .replace(/127\.0\.0\.1:\d+/g, "ADDRESS:PORT")
    .replace(/on port \d+\./, "on port PORT.");
}

function linesOf(side: Side): string[] {
  return side.output().split("\n").slice(0, -1).map(plain);
}

interface Event {
  readonly name: string;
  /** Makes it happen; the lines that name `clientId`, or nobody, are looked at. */
  readonly make: (side: Side) => Promise<unknown>;
  readonly clientId: string;
  /** Which lines are looked at, from the one that is last. */
  readonly last: RegExp;
  /** What Holdfast says, as mosquitto 2.1 does. */
  readonly holdfast: readonly string[];
}

const secretive = { userName: "secret-user", password: "secret-password" } as const;

async function malformed(client: TestClient): Promise<void> {
  client.sendBytes(Uint8Array.from([0x36, 0x02, 0x00, 0x00]));
  await client.closed();
}

const EVENTS: readonly Event[] = [
  {
    name: "a client of 5.0 comes and goes",
    clientId: "five",
    make: async (side) =>
      (await side.connect({ clientId: "five", keepAliveSeconds: 60, ...secretive })).disconnect(),
    last: /disconnected/,
    holdfast: [
      "New client connected from ADDRESS:PORT as five (p5, c1, k60, u'secret-user').",
      "Client five [ADDRESS:PORT] disconnected.",
    ],
  },
  {
    name: "a client of 3.1.1 comes, without a clean session",
    clientId: "four",
    make: async (side) =>
      (await side.connect({ clientId: "four", version: 4, clean: false })).drop(),
    last: /closed/,
    holdfast: [
      "New client connected from ADDRESS:PORT as four (p4, c0, k0).",
      "Client four [ADDRESS:PORT] closed its connection.",
    ],
  },
  {
    name: "another connection takes a Session over",
    clientId: "twice",
    make: async (side) => {
      const first = await side.connect({ clientId: "twice" });
      await side.connect({ clientId: "twice" });
      await first.closed();
    },
    last: /connected from.*\n(.*\n)*.*connected from/,
    holdfast: [
      "New client connected from ADDRESS:PORT as twice (p5, c1, k0).",
      "Client twice already connected, closing old connection.",
      "Client twice [ADDRESS:PORT] disconnected: session taken over.",
      "New client connected from ADDRESS:PORT as twice (p5, c1, k0).",
    ],
  },
  {
    name: "a packet is malformed",
    clientId: "malformed",
    make: async (side) => malformed(await side.connect({ clientId: "malformed", version: 4 })),
    last: /disconnected/,
    holdfast: [
      "New client connected from ADDRESS:PORT as malformed (p4, c1, k0).",
      "Client malformed [ADDRESS:PORT] disconnected: malformed packet.",
    ],
  },
  {
    name: "Keep Alive is over",
    clientId: "silent",
    make: async (side) =>
      (await side.connect({ clientId: "silent", keepAliveSeconds: 1 })).closed(),
    last: /timeout/,
    holdfast: [
      "New client connected from ADDRESS:PORT as silent (p5, c1, k1).",
      "Client silent [ADDRESS:PORT] has exceeded timeout, disconnecting.",
    ],
  },
  {
    name: "a full queue drops",
    clientId: "hoarder",
    make: async (side) => {
      const hoarder = await side.connect({ clientId: "hoarder", version: 4, clean: false });
      await hoarder.subscribe("hoard", { qos: 1 });
      await hoarder.disconnect();
      const publisher = await side.connect({ clientId: "filler" });
      for (let i = 0; i < 40; i++)
        await publisher.publish("hoard", `secret-payload ${i}`, { qos: 1 });
    },
    last: /Outgoing/,
    holdfast: [
      "New client connected from ADDRESS:PORT as hoarder (p4, c0, k0).",
      "hoarder 1 hoard",
      "Client hoarder [ADDRESS:PORT] disconnected.",
      "Warning: The queue of client hoarder is four fifths full: 8 messages wait.",
      "Warning: Outgoing messages are being dropped for client hoarder.",
    ],
  },
  {
    name: "a client asks for its will when it goes",
    clientId: "testator",
    make: async (side) => {
      const will = { topic: "w", payload: Buffer.from("w"), qos: 0, retain: false } as const;
      await (await side.connect({ clientId: "testator", will })).disconnect(0x04);
    },
    last: /disconnected/,
    holdfast: [
      "New client connected from ADDRESS:PORT as testator (p5, c1, k0).",
      "Client testator [ADDRESS:PORT] disconnected: its will was asked for.",
    ],
  },
  {
    name: "subscriptions",
    clientId: "reader",
    make: async (side) => {
      const reader = await side.connect({ clientId: "reader" });
      await reader.subscribe("a/+/c", { qos: 1 });
      await reader.unsubscribe("a/+/c");
    },
    last: /reader a/,
    holdfast: [
      "New client connected from ADDRESS:PORT as reader (p5, c1, k0).",
      "reader 1 a/+/c",
      "reader a/+/c",
    ],
  },
];

const LINES = [
  "allow_anonymous true",
  "persistence false",
  "max_inflight_messages 1",
  "max_queued_messages 10",
  "log_dest stderr",
  ...["error", "warning", "notice", "information", "subscribe", "unsubscribe"].map(
    (type) => `log_type ${type}`,
  ),
];

describe("the same events", () => {
  const sides = new Map<BrokerName, Side>();
  const of = (broker: BrokerName) => sides.get(broker) as Side;

  beforeAll(async () => {
    for (const broker of BROKERS) {
      const lines = (port: number) => [`listener ${port} 127.0.0.1`, ...LINES];
      sides.set(broker, await startSide(broker, ({ port }) => lines(port)));
    }
  });
  afterAll(async () => {
    await Promise.all([...sides.values()].map((side) => side.stop()));
  });

  test.for(EVENTS)("$name", async ({ name, make, clientId, last, holdfast }) => {
    const seen = { mosquitto: [] as string[], holdfast: [] as string[] };
    for (const broker of BROKERS) {
      const side = of(broker);
      await make(side);
      const lines = () => linesOf(side).filter((line) => line.split(/[ .]/).includes(clientId));
      await until(`${broker}: ${last}`, () => last.test(lines().join("\n")));
      seen[broker] = lines();
    }
    expect(seen.holdfast).toEqual(holdfast);
    expectDifferences(`log: ${name}`, seen);
  });

  test("a connection is told of before its client is", () => {
    for (const broker of BROKERS) {
      expect(linesOf(of(broker))).toContain("New connection from ADDRESS:PORT on port PORT.");
    }
  });

  test("start and stop", async () => {
    const seen = { mosquitto: [] as string[], holdfast: [] as string[] };
    for (const broker of BROKERS) {
      const side = of(broker);
      side.signal("SIGTERM");
      const wanted = /^(mosquitto version|Config loaded|Opening)/;
      const lines = () => linesOf(side).filter((line) => wanted.test(line));
      await until(
        `${broker}: its last line`,
        () => lines().at(-1)?.endsWith("terminating") === true,
      );
      seen[broker] = lines().map((line) =>
        line.replace(/version \S+/, "version VERSION").replace(/from \S+\.conf/, "from FILE"),
      );
    }
    expectDifferences("log: start and stop", seen);
  });

  test("every listed difference was looked at", () => {
    expectAllLookedAt("log");
  });

  test("no password and no payload is in any line", () => {
    const output = of("holdfast").output();
    expect(output).toContain("secret-user");
    expect(output).not.toContain("secret-password");
    expect(output).not.toContain("secret-payload");
  });
});
