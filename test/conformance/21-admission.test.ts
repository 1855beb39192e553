/** Chapter 21: who comes too fast, too many at once, or while the broker is late. MQTT 5.0 §4.8. */
import { describe, expect, test } from "vitest";
import { until } from "../support/await.ts";
import type { TestClient } from "../support/client.ts";
import type { ConnectOptions } from "../support/client-packets.ts";
import { type Chapter, startChapter } from "./chapter.ts";

/** The code of CONNACK, and the client. */
async function come(
  { open }: Chapter,
  options: ConnectOptions = {},
): Promise<{ readonly client: TestClient; readonly code: number }> {
  const client = await open(options);
  client.sendConnect(options);
  const { reasonCode, returnCode } = await client.expectConnack();
  return { client, code: (client.version === 5 ? reasonCode : returnCode) ?? -1 };
}

describe.each([
  ["connect_rate 5", "too many at once"],
  ["connect_rate_per_address 5", "too many from this address"],
])("%s", (line, reason) => {
  // The option counts for the listener above it: here for that of WebSocket.
  const chapter = startChapter({ configuration: [line] });
  const transport = "webSocket" as const;

  test("5 come in at once; then 0x9F, return code 3, until time has passed", async () => {
    const all = await Promise.all(Array.from({ length: 12 }, () => come(chapter, { transport })));
    const codes = all.map(({ code }) => code).toSorted((one, other) => one - other);
    expect(codes.slice(0, 5)).toEqual([0, 0, 0, 0, 0]);
    expect(codes.at(-1)).toBe(0x9f);
    const refused = all.find(({ code }) => code === 0x9f)?.client;
    expect(refused?.connack?.properties?.reasonString).toBe(reason);
    await refused?.closed();
    const older = await Promise.all(
      Array.from({ length: 8 }, () => come(chapter, { transport, version: 4 })),
    );
    expect(older.map(({ code }) => code)).toContain(3);
    await until("the next second", async () => (await come(chapter, { transport })).code === 0);
  });

  test("other listeners take them all", async () => {
    const all = await Promise.all(Array.from({ length: 12 }, () => come(chapter)));
    expect(all.every(({ code }) => code === 0)).toBe(true);
  });
});

describe("global_max_clients", () => {
  const chapter = startChapter({ configuration: ["global_max_clients 2"] });

  test("past it new Sessions get 0x97, and those that are there come back", async () => {
    const lasting = { clean: false, properties: { sessionExpiryInterval: 60 } };
    const first = await chapter.connect({ ...lasting, clientId: "first" });
    await chapter.connect({ clientId: "second" });
    expect((await come(chapter, { clientId: "third" })).code).toBe(0x97);
    expect((await come(chapter, { clientId: "third", version: 4 })).code).toBe(3);
    first.destroy();
    await first.closed();
    expect((await come(chapter, { clientId: "third" })).code).toBe(0x97);
    const { client, code } = await come(chapter, { ...lasting, clientId: "first" });
    expect([code, client.connack?.sessionPresent]).toEqual([0, true]);
  });
});

describe("global_max_connections", () => {
  const chapter = startChapter({ configuration: ["global_max_connections 2", "sys_interval 1"] });

  test.each(["tcp", "webSocket"] as const)(
    "one more, on %s, is closed at once, told of and counted",
    async (kind) => {
      const first = await chapter.connect();
      const second = await chapter.connect();
      const third = await chapter.open({ transport: kind }).catch(() => null);
      await third?.closed();
      const { port, webSocketPort, output } = chapter.broker();
      const on = `on port ${kind === "tcp" ? port : webSocketPort}`;
      const line = `Client connection ${on} denied: global_max_connections exceeded.`;
      await until(line, () => output().includes(line));
      await first.subscribe("$SYS/broker/holdfast/connections/refused/max_connections");
      await until("its count", async () => (await first.receive()).payload !== "0");
      second.destroy();
      await second.closed();
      await until("room for another", async () => {
        const another = await chapter.open();
        another.sendConnect();
        return await another.expectConnack().then(
          () => true,
          () => false,
        );
      });
    },
  );
});

describe("overload_delay", () => {
  const chapter = startChapter({ configuration: ["overload_delay 50"] });

  test("past it new Sessions get 0x89, return code 3, and known ones go on", async () => {
    const lasting = { clean: false, properties: { sessionExpiryInterval: 60 } };
    const known = await chapter.connect({ ...lasting, clientId: "known" });
    const { pid } = chapter.broker();
    let isOver = false;
    // The broker is kept from running most of the time, as a machine with too much to do would.
    const burden = (async () => {
      while (!isOver) {
        process.kill(pid, "SIGSTOP");
        await new Promise((resolve) => setTimeout(resolve, 150));
        process.kill(pid, "SIGCONT");
        await new Promise((resolve) => setTimeout(resolve, 30));
      }
    })();
    try {
      await until("refusals", async () => (await come(chapter)).code === 0x89, 15_000);
      expect((await come(chapter, { version: 4 })).code).toBe(3);
      await known.ping();
      const again = await come(chapter, { ...lasting, clientId: "known" });
      expect([again.code, again.client.connack?.sessionPresent]).toEqual([0, true]);
    } finally {
      isOver = true;
      await burden;
    }
    await until("room", async () => (await come(chapter)).code === 0);
    expect(chapter.broker().output()).toMatch(
      /event loop is \d+ ms late: new Sessions are refused/,
    );
  });
});
