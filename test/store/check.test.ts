/** `check`: a sound store has no faults, and each kind of fault is found and named. */
import { createHash } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { afterEach, beforeEach, expect, test } from "vitest";
import * as abi from "#assembly/abi";
import { StartError } from "../../src/base/errors.ts";
import { checkStore } from "../../src/store/check.ts";
import { currentBoot } from "../../src/store/lock.ts";
import { segmentFile } from "../support/store-frames.ts";
import {
  chunkRow,
  createStore,
  fillStore,
  key,
  messageRow,
  page,
  segmentRow,
  sessionRow,
  type WritableStore,
  words,
} from "./check-store.ts";

let store: WritableStore;

beforeEach(() => {
  store = createStore();
});

afterEach(async () => {
  await store.close();
  rmSync(store.directory, { recursive: true });
});

/** The faults that are found, and the summary. */
async function check() {
  await store.flush();
  const faults: string[] = [];
  const { counts, faultCount, brokerPid } = await checkStore(
    store.directory,
    (fault) => faults.push(fault),
    () => undefined,
  );
  expect(faultCount).toBe(faults.length);
  expect(brokerPid).toBeNull();
  return { faults, counts: Object.fromEntries(counts) };
}

const SUMMARY = {
  Sessions: 2,
  subscriptions: 5,
  "queued messages": 76,
  "shared messages": 1,
  "retained messages": 1,
  wills: 1,
};

test("a store that was just created is sound", async () => {
  const { faults, counts } = await check();
  expect(faults).toEqual([]);
  expect(counts).toMatchObject({ Sessions: 0, "journal pages": 0 });
});

test("a store with a row in every table is sound", async () => {
  await fillStore(store);
  const { faults, counts } = await check();
  expect(faults).toEqual([]);
  expect(counts).toEqual({
    ...SUMMARY,
    "journal pages": 1,
    "journal pages behind the index": 0,
  });
});

test("so is one with pages behind the index and before, with payloads apart", async () => {
  await fillStore(store, false);
  const { faults, counts } = await check();
  expect(faults).toEqual([]);
  expect(counts).toEqual({
    ...SUMMARY,
    "journal pages": 3,
    "journal pages behind the index": 2,
  });
});

/** What is put into a sound store that is settled, and what is said of it. */
const INDEX_FAULTS: readonly (readonly [
  title: string,
  table: string,
  rowKey: Buffer,
  value: Buffer | null,
  faults: readonly string[],
])[] = [
  [
    "a position that is missing",
    "meta",
    Buffer.from("position"),
    null,
    ["meta: position is missing", "journal: pages 1 to 6 are missing behind position 0"],
  ],
  [
    "a Session row cut short",
    "sessions",
    key(11),
    sessionRow().subarray(0, 90),
    ["Session 11: 90 bytes are less than its head"],
  ],
  [
    "a Session row of a newer form",
    "sessions",
    key(11),
    sessionRow({ version: 3, chunked: 3 }),
    ["Session 11: version 3 of its form is unknown"],
  ],
  [
    "a Session row without the user that its form has",
    "sessions",
    key(11),
    sessionRow({ version: 2, chunked: 3 }),
    ["Session 11: its user name is cut off"],
  ],
  [
    "an unknown protocol version",
    "sessions",
    key(11),
    sessionRow({ protocol: 6, chunked: 3 }),
    ["Session 11: protocol version 6 is unknown"],
  ],
  [
    "head past sent",
    "sessions",
    key(11),
    sessionRow({ head: 5, sent: 4, next: 9, chunked: 3 }),
    ["Session 11: head 5 is past sent 4"],
  ],
  [
    "sent past next",
    "sessions",
    key(11),
    sessionRow({ sent: 9, next: 8, storedEnd: 8, chunked: 3 }),
    ["Session 11: sent 9 is past next 8"],
  ],
  [
    "stored end past next",
    "sessions",
    key(11),
    sessionRow({ next: 8, storedEnd: 9, chunked: 3 }),
    ["Session 11: stored end 9 is past next 8"],
  ],
  [
    "a sequence done that was never given out",
    "sessions",
    key(11),
    sessionRow({ next: 8, done: [7], chunked: 3 }),
    ["Session 11: its list of sequences done has 7"],
  ],
  [
    "a Packet Identifier received twice",
    "sessions",
    key(11),
    sessionRow({ received: [4, 4], chunked: 3 }),
    ["Session 11: its list of received Packet Identifiers names one twice"],
  ],
  [
    "bytes behind a Session row",
    "sessions",
    key(11),
    Buffer.concat([sessionRow({ chunked: 3 }), words(0)]),
    ["Session 11: 4 bytes follow its end"],
  ],
  [
    "unsent entries of which there are none",
    "sessions",
    key(11),
    sessionRow({ sent: 1, next: 3, unsent: 1, unsentCount: 2, clientId: "desk", chunked: 3 }),
    ["Session 11: 0 unsent entries instead of 2"],
  ],
  [
    "two Sessions of one client",
    "sessions",
    key(11),
    sessionRow({ clientId: "truck7", chunked: 3 }),
    ["Session 11: its client has Session 3, too"],
  ],
  [
    "a Session number that is still to be given out",
    "sessions",
    key(12),
    sessionRow({ clientId: "late" }),
    ["Session 12: the next number is 12"],
  ],
  [
    "a chunk too few",
    "subscriptions",
    Buffer.concat([key(11), Buffer.from([0, 1])]),
    null,
    ["Session 11: 2 subscriptions instead of 3"],
  ],
  [
    "subscriptions without a Session",
    "subscriptions",
    Buffer.concat([key(10), Buffer.from([0, 0])]),
    chunkRow(["a"]),
    ["subscriptions of Session 10, which is not there"],
  ],
  [
    "a queue without a Session",
    "queue",
    key(20, 1n),
    segmentRow([1]),
    ["queue of Session 20, which is not there"],
  ],
  [
    "a Session that is there and to be wiped",
    "wipes",
    key(11),
    Buffer.alloc(0),
    ["Session 11: it is there and in wipes"],
  ],
  [
    "segments that overlap",
    "queue",
    key(3, 79n),
    segmentRow([79]),
    ["queue of Session 3, segment 79: the one before reaches to 79"],
  ],
  [
    "a segment past the stored end",
    "queue",
    key(11, 4n),
    segmentRow([4]),
    ["Session 11: its queue has 4, its stored end is 1"],
  ],
  [
    "entries out of order",
    "queue",
    key(9, 1n),
    segmentRow([1, 3, 2], [5]),
    [
      "queue of Session 9, segment 1: entry 2 is out of order",
      "message 5: 3 references are counted, 2 segments refer to it",
    ],
  ],
  [
    "a count of references too high",
    "references",
    key(5n),
    words(4),
    ["message 5: 4 references are counted, 3 segments refer to it"],
  ],
  [
    "a message that nothing refers to",
    "messages",
    key(4n),
    messageRow("a"),
    ["message 4: no segment refers to it"],
  ],
  [
    "a message that is missing",
    "messages",
    key(5n),
    null,
    [
      "references of message 5, which is not there",
      "message 5: 3 segments refer to it, and it is not there",
    ],
  ],
  [
    "a message cut short",
    "messages",
    key(5n),
    messageRow("fleet/all").subarray(0, 48),
    ["message 5: its message has 48 bytes instead of 52"],
  ],
  [
    "a retained message under another's name",
    "retained",
    Buffer.from("fleet/truck8/position"),
    messageRow("fleet/truck7/position"),
    ["retained message fleet/truck8/position: it is of another Topic Name"],
  ],
  [
    "a will that is no PUBLISH",
    "wills",
    key(3),
    Buffer.concat([words(1, 0, 0, 0), Buffer.from("40020001", "hex")]),
    ["will of Session 3: its packet is no PUBLISH"],
  ],
];

test.each(INDEX_FAULTS)("%s is found", async (_title, table, rowKey, value, expected) => {
  await fillStore(store);
  if (value === null) await store.table(table).remove(rowKey);
  else await store.table(table).put(rowKey, value);
  const { faults } = await check();
  expect(faults).toEqual(expected);
});

test("a long Topic Name is kept under its beginning and its digest", async () => {
  const topic = "l".repeat(1_979);
  const digest = createHash("sha256").update(topic).digest();
  const rowKey = Buffer.concat([Buffer.from(topic.slice(0, 1_900)), digest]);
  await store.table("retained").put(rowKey, messageRow(topic));
  expect((await check()).faults).toEqual([]);
  await store.table("retained").put(Buffer.from(topic.slice(0, 1_932)), messageRow(topic));
  expect((await check()).faults).toEqual([
    expect.stringMatching(/^retained message l{64}: it is of another Topic Name$/),
  ]);
});

test("numbers to be given out are not judged while pages are behind the index", async () => {
  await fillStore(store, false);
  await store.table("sessions").put(key(12), sessionRow({ clientId: "late" }));
  expect((await check()).faults).toEqual([]);
});

const records = Buffer.alloc(64, 8);

/** Page 9, with a crc that is right, but with another number here. */
function pageWith(at: number, value: number): readonly Buffer[] {
  const [whole = Buffer.alloc(0)] = page(9, records);
  whole.writeUInt32LE(value, at);
  whole.writeUInt32LE(0, abi.JOURNAL_CRC_AT);
  whole.writeUInt32LE(crc32(whole), abi.JOURNAL_CRC_AT);
  return [whole];
}

/** What is put into a journal with pages 7 to 9, of which 8 has two payloads apart. */
const JOURNAL_FAULTS: readonly (readonly [
  title: string,
  change: (pages: WritableStore["pages"]) => unknown,
  faults: readonly unknown[],
])[] = [
  [
    "a page missing at once behind the index",
    (pages) => pages.delete(8),
    ["journal: page 8 is missing behind position 7"],
  ],
  [
    "pages missing in between",
    (pages) => pages.set(12, page(12, records)),
    ["journal: pages 10 to 11 are missing behind position 7"],
  ],
  [
    "all pages missing that are in the index, and more",
    (pages) => pages.clear(),
    ["journal: it ends at page 0, the index has 7"],
  ],
  [
    "a byte changed in a page",
    (pages) => pages.get(8)?.[0]?.writeUInt8(99, 40),
    ["journal page 8: its crc is wrong"],
  ],
  [
    "a byte changed in a payload apart",
    (pages) => pages.get(8)?.[2]?.writeUInt8(99, 40),
    ["journal page 8: its crc is wrong"],
  ],
  [
    "a byte changed in the page of the position",
    (pages) => {
      pages.get(7)?.[0]?.writeUInt8(99, 40);
      pages.delete(8);
      pages.delete(9);
    },
    ["journal page 7: its crc is wrong"],
  ],
  [
    "a page under another's number",
    (pages) => pages.set(9, page(8, records)),
    ["journal page 9: it was written as page 8"],
  ],
  [
    "a page of another format",
    (pages) => pages.set(9, pageWith(0, 9)),
    ["journal page 9: its format is 9, not 2"],
  ],
  [
    "a page cut short",
    (pages) => pages.set(9, pageWith(abi.JOURNAL_BYTES_AT, 99)),
    ["journal page 9: it has 88 of 99 bytes"],
  ],
];

test.each(JOURNAL_FAULTS)("%s is found", async (_title, change, expected) => {
  await fillStore(store, false);
  change(store.pages);
  const { faults } = await check();
  expect(faults).toEqual(expected);
});

test("a last page that was not written whole is counted, and no fault", async () => {
  await fillStore(store, false);
  store.pages.get(9)?.[0]?.writeUInt8(99, 40);
  const { faults, counts } = await check();
  expect(faults).toEqual([]);
  expect(counts).toMatchObject({ "journal pages": 2, "journal pages not written whole": 1 });
});

test("segments that are missing, and files that are none, are found", async () => {
  await fillStore(store, false);
  const at = (name: string) => join(store.directory, "journal", name);
  await store.flush();
  writeFileSync(at("0000000000000009.log.bak"), "");
  writeFileSync(at("spare-3"), "");
  writeFileSync(at(segmentFile(20)), "");
  const faults: string[] = [];
  await checkStore(
    store.directory,
    (fault) => faults.push(fault),
    () => undefined,
  );
  expect(faults).toEqual([
    "journal: 0000000000000009.log.bak is no segment",
    "journal: pages 10 to 19 are missing behind position 7",
  ]);
});

test("of very many faults a thousand are said, and all are counted", async () => {
  for (let number = 1; number <= 1_500; number++) {
    void store.table("sessions").put(key(number), Buffer.alloc(1));
  }
  await store.flush();
  let said = 0;
  const { faultCount } = await checkStore(
    store.directory,
    () => {
      said += 1;
    },
    () => undefined,
  );
  expect([said, faultCount]).toEqual([1_000, 1_500]);
});

/** A whole data directory but for this file; closed. */
async function directoryWith(name: string, content: Buffer): Promise<string> {
  const other = createStore();
  await other.close();
  writeFileSync(join(other.directory, name), content);
  return other.directory;
}

const WHOLE = (): Buffer => readFileSync(join(store.directory, "index.mdb"));

test.each([
  ["another program's file", "index.mdb", () => Buffer.alloc(20_000, 7), "is no file of LMDB"],
  ["an empty file", "index.mdb", () => Buffer.alloc(0), "is no file of LMDB"],
  [
    "its first page only",
    "index.mdb",
    () => WHOLE().subarray(0, 4_096),
    "is damaged in its second",
  ],
  ["what is left of it", "index.mdb", () => WHOLE().subarray(0, 8_192), "is cut off"],
])("%s in place of %s is refused", async (_title, name, content, fault) => {
  await fillStore(store);
  const directory = await directoryWith(name, content());
  const checked = checkStore(
    directory,
    () => undefined,
    () => undefined,
  );
  await expect(checked).rejects.toThrow(StartError);
  await expect(checked).rejects.toThrow(`${join(directory, name)} ${fault}`);
  // Not to see what this very command says.
  await expect(checked).rejects.toThrow(/; restore a backup$/);
  rmSync(directory, { recursive: true });
});

test("a journal that may be torn by a power cut is refused, not opened", async () => {
  await fillStore(store);
  const lock = join(store.directory, "holdfast.lock");
  const checked = () =>
    checkStore(
      store.directory,
      () => undefined,
      () => undefined,
    );
  writeFileSync(lock, "4194303 1 another-boot process\n");
  await expect(checked()).rejects.toThrow(/went down while .* durability process: .* may be torn/);
  writeFileSync(lock, "4194303 1 another-boot fsync\n");
  expect((await checked()).faultCount).toBe(0);
  writeFileSync(lock, `4194303 1 ${currentBoot()} process\n`);
  expect((await checked()).faultCount).toBe(0);
});

test("a directory that is none is refused", async () => {
  const checked = checkStore(
    join(store.directory, "none"),
    () => undefined,
    () => undefined,
  );
  await expect(checked).rejects.toThrow(StartError);
});
