import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import * as abi from "#assembly/abi";
import { sessionKey } from "../../src/store/tables.ts";
import { willRow } from "../../src/store/will-rows.ts";
import {
  copyOf,
  editTable,
  openTestStore,
  recordingLog,
  rejectionOf,
  temporaryDirectory,
} from "../support/store-directory.ts";
import { startLife } from "../support/store-life.ts";

/** Messages that a Session is sent at most past the newest mark on record: sent-mark.ts. */
const SENT_AHEAD_MAX = 8192;

/** A directory with a store in which nothing happened yet. */
async function newStore(): Promise<string> {
  const directory = temporaryDirectory();
  await (await openTestStore(directory)).close();
  return directory;
}

describe("a directory", () => {
  test("that does not exist becomes a store, which stays one", async () => {
    const directory = join(temporaryDirectory(), "deep", "data");
    await (await openTestStore(directory)).close();
    const marker = JSON.parse(readFileSync(join(directory, "holdfast.json"), "utf8"));
    expect(marker).toMatchObject({ format: 1, id: expect.stringMatching(/^[0-9a-f]{16}$/) });
    await (await openTestStore(directory)).close();
    const again = JSON.parse(readFileSync(join(directory, "holdfast.json"), "utf8"));
    expect(again).toEqual(marker);
    expect(existsSync(join(directory, "holdfast.lock"))).toBe(false);
  });

  test("with other files becomes a store, and they stay as they are", async () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, "mosquitto.db"), "theirs");
    const lines: string[] = [];
    await (await openTestStore(directory, { log: recordingLog(lines) })).close();
    expect(readFileSync(join(directory, "mosquitto.db"), "utf8")).toBe("theirs");
    // Who comes from mosquitto is told, once.
    const told = expect.stringContaining(`${join(directory, "mosquitto.db")} is not read`);
    expect(lines).toEqual([told]);
    await (await openTestStore(directory, { log: recordingLog(lines) })).close();
    expect(lines).toEqual([told]);
  });

  test("that is in use is refused", async () => {
    const directory = temporaryDirectory();
    await openTestStore(directory);
    expect(await rejectionOf(openTestStore(directory))).toMatch(
      `StartError: ${directory} is in use by process ${process.pid}`,
    );
  });

  test("that cannot be made is refused", async () => {
    const file = join(temporaryDirectory(), "file");
    writeFileSync(file, "");
    expect(await rejectionOf(openTestStore(file))).toMatch(
      `StartError: ${file} cannot be used as persistence_location: EEXIST`,
    );
  });

  test.each(["journal", "index.mdb"])("that has %s and no marker is refused", async (name) => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, name), "foreign");
    const refusal = await rejectionOf(openTestStore(directory));
    expect(refusal).toMatch(`StartError: ${directory} has ${name} but no holdfast.json`);
    expect(readFileSync(join(directory, name), "utf8")).toBe("foreign");
    expect(existsSync(join(directory, "holdfast.lock"))).toBe(false);
  });

  test.each(["journal", "index.mdb"])("that has lost %s is refused", async (name) => {
    const directory = await newStore();
    rmSync(join(directory, name), { recursive: true });
    expect(await rejectionOf(openTestStore(directory))).toMatch(
      `StartError: ${directory} has lost ${name}; restore a backup`,
    );
  });

  test.each([
    ["empty", () => Buffer.alloc(0), "is empty"],
    ["another file", () => Buffer.alloc(8_192, 1), "is no file of LMDB"],
    ["cut off", (bytes: Buffer) => bytes.subarray(0, 8_192), "is cut off"],
  ])("whose index is %s is refused", async (_, change, fault) => {
    const directory = await newStore();
    const path = join(directory, "index.mdb");
    writeFileSync(path, change(readFileSync(path)));
    expect(await rejectionOf(openTestStore(directory))).toMatch(`StartError: ${path} ${fault}`);
  });

  test("of a newer format is refused", async () => {
    const directory = await newStore();
    writeFileSync(join(directory, "holdfast.json"), '{"format":2,"created":"","id":""}');
    expect(await rejectionOf(openTestStore(directory))).toMatch(
      "was written by a newer Holdfast (format 2, this one knows 1): start that version",
    );
  });

  test.each(["", "{}", '{"format":"1"}', '{"format":0}', "null"])(
    "whose marker is %j is refused",
    async (text) => {
      const directory = await newStore();
      writeFileSync(join(directory, "holdfast.json"), text);
      expect(await rejectionOf(openTestStore(directory))).toMatch(/StartError: .*cannot be read/);
    },
  );

  test("whose creation was interrupted becomes a store", async () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, "holdfast.json.new"), "");
    writeFileSync(join(directory, "index.mdb"), "half");
    await (await openTestStore(directory)).close();
    expect(existsSync(join(directory, "holdfast.json"))).toBe(true);
    expect(existsSync(join(directory, "holdfast.json.new"))).toBe(false);
  });
});

describe("a restart", () => {
  test("brings Sessions, subscriptions and retained messages back from the journal", async () => {
    const directory = temporaryDirectory();
    const life = await startLife(directory);
    fill(life);
    await life.turn();
    // As after kill -9: nothing is closed in order.
    await checkFilled(copyOf(directory), 1);
  });

  test("brings them back from the index", async () => {
    const directory = temporaryDirectory();
    const life = await startLife(directory);
    fill(life);
    await life.turn();
    await life.index();
    expect(life.store.state(Date.now()).tailCount).toBe(0);
    await life.close();
    await checkFilled(directory, 0);
  });

  test("numbers Sessions on", async () => {
    const directory = temporaryDirectory();
    const life = await startLife(directory);
    const number = life.numberOf(life.session("truck7"));
    await life.turn();
    await life.close();
    const next = await startLife(directory);
    expect(next.numberOf(next.session("truck8"))).toBe(number + 1);
  });

  test("brings wills back, of the index and of the journal", async () => {
    const directory = temporaryDirectory();
    const life = await startLife(directory);
    life.session("truck7");
    const packet = Buffer.from("30050001610a0b", "hex");
    life.changedWills.push({ number: 1, will: { delaySeconds: 5, dueSecond: 9, packet } });
    await life.turn();
    await life.index();
    const at = life.engine.keep(packet);
    life.engine.calls.journalWill(2, 60, 1_234, at, packet.length);
    await life.turn();
    expect(life.store.state(0).indexedPage).toBe(1);
    const { recovered } = await startLife(copyOf(directory));
    expect([...recovered.wills]).toEqual([
      [1, { delaySeconds: 5, dueSecond: 9, packet }],
      [2, { delaySeconds: 60, dueSecond: 1_234, packet }],
    ]);
    expect(recovered).toMatchObject({ position: 1, lastNumber: 2, sessionCount: 1 });
    expect(recovered.tail.map(({ number }) => number)).toEqual([2]);
  });

  test("sends with DUP what was sent before the connection ended [MQTT-3.3.1-1]", async () => {
    const directory = temporaryDirectory();
    const life = await startLife(directory);
    const session = life.session("truck7", "fleet/#");
    life.engine.calls.detachSession(session, 0);
    for (const text of ["one", "two"]) life.publish("fleet/all", text);
    await life.turn();
    life.engine.calls.setExpiry(session, 0xffffffff, 5);
    await life.commitUnmarked();
    life.attach(session, 1);
    expect(life.sentTo(1).map(({ isDuplicate }) => isDuplicate)).toEqual([false, false]);
    life.engine.calls.detachSession(session, 0);
    await life.commitUnmarked();
    const next = await startLife(copyOf(directory));
    next.attach(next.find("truck7"), 1);
    const again = next.sentTo(1).map(({ isDuplicate, payload }) => `${isDuplicate} ${payload}`);
    expect(again).toEqual(["true one", "true two"]);
  });

  test.each(["journal", "index"])(
    "sends QoS 0 of the %s once at most [MQTT-3.3.1-2]",
    async (from) => {
      const directory = temporaryDirectory();
      const life = await startLife(directory);
      life.engine.calls.configureQueues(1, 1, 0, 0);
      const session = life.session("truck7", "fleet/#");
      life.engine.calls.detachSession(session, 0);
      for (const text of ["one", "two", "three"]) {
        life.publish("fleet/all", text, false, text === "two" ? 0 : 1);
      }
      await life.turn();
      if (from === "index") await life.index();
      life.engine.calls.setExpiry(session, 0xffffffff, 5);
      await life.commitUnmarked();
      const next = await startLife(copyOf(directory));
      const found = next.find("truck7");
      // What may have been sent is not known: of QoS 0 nothing is sent again.
      next.attach(found, 1);
      const sent: string[] = [];
      for (let turns = 0; turns < 10; turns++) {
        await next.turn();
        await new Promise((resolve) => setImmediate(resolve));
        for (const { packetIdentifier, qos, isDuplicate, payload } of next.sentTo(1)) {
          sent.push(`${qos} ${isDuplicate} ${payload}`);
          if (qos !== 0) next.acknowledge(1, packetIdentifier);
        }
      }
      expect(sent).toEqual(["1 true one", "1 true three"]);
      expect(next.engine.word(found + abi.SESSION_QUEUED_COUNT)).toBe(0);
      next.publish("fleet/all", "four");
      expect(next.sentTo(1).map(({ payload }) => `${payload}`)).toEqual(["four"]);
    },
  );

  test("sends nothing again that is on record as acknowledged, in whatever order", async () => {
    const directory = temporaryDirectory();
    const life = await startLife(directory);
    const session = life.session("truck7", "fleet/#");
    life.engine.calls.detachSession(session, 0);
    for (const text of ["one", "two", "three"]) life.publish("fleet/all", text);
    await life.turn();
    await life.index();
    life.engine.calls.setExpiry(session, 0xffffffff, 5);
    await life.commitUnmarked();
    life.attach(session, 1);
    const sent = [];
    while (sent.length < 3) {
      // Events are taken in a turn; nothing was sent yet that it could record.
      if (sent.length === 0) await life.turn();
      await new Promise((resolve) => setImmediate(resolve));
      sent.push(...life.sentTo(1));
    }
    life.acknowledge(1, sent[1]?.packetIdentifier ?? 0);
    await life.commitUnmarked();
    const next = await startLife(copyOf(directory));
    const payloads = await next.drain(next.find("truck7"), 1);
    expect(payloads.map(String)).toEqual(["one", "three"]);
  });

  test("sends with DUP what may have been sent when it was killed [MQTT-3.3.1-1]", async () => {
    const directory = temporaryDirectory();
    const life = await startLife(directory);
    const session = life.session("truck7", "fleet/#");
    life.engine.calls.detachSession(session, 0);
    for (let count = 0; count < 3 * SENT_AHEAD_MAX; count++) life.publish("fleet/all", "x");
    await life.turn();
    // That its client came is on record; how far it was sent is not.
    life.engine.calls.setExpiry(session, 0xffffffff, 5);
    await life.commitUnmarked();
    life.attach(session, 1);
    expect(life.sentTo(1).length).toBe(SENT_AHEAD_MAX);
    const killed = copyOf(directory);
    await (await startLife(killed)).commitUnmarked();
    // Killed again as soon as it recovered, and once more when the client came and got nothing.
    const again = copyOf(killed);
    const next = await startLife(again);
    next.engine.calls.setExpiry(next.find("truck7"), 0xffffffff, 5);
    await next.commitUnmarked();
    const last = await startLife(copyOf(again));
    last.attach(last.find("truck7"), 1);
    const sent = last.sentTo(1).filter(({ isDuplicate }) => isDuplicate);
    expect(sent.length).toBe(SENT_AHEAD_MAX);
    // What is on record lets the first one go on, to the end.
    await life.turn();
    expect(life.sentTo(1).length).toBe(2 * SENT_AHEAD_MAX);
  });

  test("takes a wide window's acknowledgements in any order", async () => {
    const directory = temporaryDirectory();
    const life = await startLife(directory);
    const session = life.session("truck7", "fleet/#");
    life.engine.calls.detachSession(session, 0);
    for (let count = 0; count < 8_000; count++) life.publish("fleet/all", "x");
    await life.turn();
    life.engine.calls.setExpiry(session, 0xffffffff, 5);
    await life.commitUnmarked();
    life.attach(session, 1);
    const [first, ...rest] = life.sentTo(1).map(({ packetIdentifier }) => packetIdentifier);
    await life.turn();
    for (const packetIdentifier of rest) life.acknowledge(1, packetIdentifier);
    await life.turn();
    life.acknowledge(1, first as number);
    await life.turn();
    const next = await startLife(copyOf(directory));
    next.publish("fleet/all", "new");
    expect((await next.drain(next.find("truck7"), 1)).map(String)).toEqual(["new"]);
  });

  test("with a damaged row is refused, and the row is named", async () => {
    const directory = temporaryDirectory();
    const life = await startLife(directory);
    const number = life.numberOf(life.session("truck7", "fleet/#"));
    await life.turn();
    await life.close();
    await editTable(directory, "sessions", (sessions) =>
      sessions.put(sessionKey(number), Buffer.alloc(96)),
    );
    expect(await rejectionOf(startLife(directory))).toMatch(
      `StartError: the row of Session ${number} is damaged; restore a backup`,
    );
  });

  test("with a damaged will is refused", async () => {
    const directory = await newStore();
    await editTable(directory, "wills", (wills) =>
      wills.put(sessionKey(4), willRow({ delaySeconds: 1, dueSecond: 1, packet: Buffer.alloc(0) })),
    );
    expect(await rejectionOf(startLife(directory))).toMatch("the will of Session 4 is damaged");
  });

  test("without what says how far the index is, is refused", async () => {
    const directory = await newStore();
    await editTable(directory, "meta", (meta) => meta.remove(Buffer.from("position")));
    expect(await rejectionOf(startLife(directory))).toMatch("`meta` of the index is damaged");
  });

  test("with rows of a newer format is refused", async () => {
    const directory = await newStore();
    await editTable(directory, "meta", (meta) =>
      meta.put(Buffer.from("format"), Buffer.from([2, 0, 0, 0])),
    );
    expect(await rejectionOf(openTestStore(directory))).toMatch("has format 2, not 1");
  });

  function fill(life: Awaited<ReturnType<typeof startLife>>): void {
    life.session("truck7", "fleet/truck7/#", "fleet/all");
    life.session("desk", "fleet/+/alarm");
    life.publish("fleet/truck7/position", "here", true);
    life.publish("fleet/truck7/alarm", Buffer.alloc(100_000, 7), true);
  }

  async function checkFilled(directory: string, tailCount: number): Promise<void> {
    const life = await startLife(directory);
    const { engine, recovered } = life;
    expect(recovered).toMatchObject({ sessionCount: 2, retainedCount: 2, wipes: [] });
    expect(recovered.tail.length).toBe(tailCount);
    expect(engine.calls.sessionCount()).toBe(2);
    expect(engine.calls.subscriptionCount()).toBe(3);
    expect(engine.calls.retainedCount()).toBe(2);
    expect(life.find("truck7")).not.toBe(0);
    expect(life.find("truck8")).toBe(0);
    await life.turn();
  }
});

describe("durability process", () => {
  test("after a failure of the machine the journal is set aside, and said to be", async () => {
    const directory = temporaryDirectory();
    const life = await startLife(directory, { durability: "process" });
    life.session("truck7");
    await life.turn();
    await life.index();
    await life.close();
    // As that broker would have left it, in another boot, and with a torn journal.
    writeFileSync(join(directory, "holdfast.lock"), "1 1 another-boot process\n");
    writeFileSync(join(directory, "journal", "0000000000000001.log"), "torn");
    const next = await startLife(directory, { durability: "process" });
    expect(next.lines).toEqual([expect.stringMatching(/^warning: the machine went down while/)]);
    const aside = join(directory, "journal.unsynced", "0000000000000001.log");
    expect(readFileSync(aside, "utf8")).toBe("torn");
    expect(readdirSync(join(directory, "journal"))).toContain("0000000000000002.log");
    expect(next.recovered).toMatchObject({ sessionCount: 1, lastNumber: 1 });
    next.session("truck8");
    await next.turn();
    await next.close();
    expect((await startLife(directory)).recovered.sessionCount).toBe(2);
  });
});
