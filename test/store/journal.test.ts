import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import * as abi from "#assembly/abi";
import { Journal } from "../../src/store/journal.ts";
import type { JournalPage } from "../../src/store/journal-scan.ts";
import { SEGMENT_BYTES, SPARE_SEGMENTS_MAX } from "../../src/store/limits.ts";
import { createJournal } from "../../src/store/segments.ts";
import { mountSmallDisk } from "../support/durability-disk.ts";
import { crcOfPage, pageOf, temporaryDirectory } from "../support/store-directory.ts";
import { frameBytes, framesOf, segmentFile, segmentsOf } from "../support/store-frames.ts";

const STORE_ID = "test";
const MEBIBYTE = 1024 * 1024;

function childOf(name: string): string {
  return fileURLToPath(new URL(`../support/${name}.ts`, import.meta.url));
}

interface OpenJournal {
  readonly journal: Journal;
  readonly torn: string[];
  close(): Promise<void>;
}

function openJournal(path: string, isSynced = true): OpenJournal {
  const torn: string[] = [];
  const journal = new Journal({
    ...{ path, storeId: STORE_ID, isSynced, closing: new AbortController().signal },
    watch: { onFailing: expect.unreachable, onRecovered: expect.unreachable },
    onTorn: (text) => torn.push(text),
  });
  let closed: Promise<void> | null = null;
  const close = (): Promise<void> => {
    closed ??= journal.close();
    return closed;
  };
  onTestFinished(close);
  return { journal, torn, close };
}

/** A journal without pages, whose first will be this one. */
function newPath(first = 1): string {
  const path = join(temporaryDirectory(), "journal");
  createJournal(path, first);
  return path;
}

/** Commits pages up to `last` behind those that are there, each of so many bytes. */
async function writePages(
  path: string,
  last: number,
  bytes = 100,
  apart: readonly number[] = [],
): Promise<void> {
  const { journal, close } = openJournal(path);
  const newest = [...journal.scan(0)].at(-1)?.number ?? 0;
  await journal.startAt(newest);
  for (let number = newest + 1; number <= last; number++) {
    await journal.commit(pageOf(number, bytes, apart.includes(number) ? [70_000, 80_000] : []));
  }
  await close();
}

function scan(path: string, position = 0): JournalPage[] {
  return [...openJournal(path).journal.scan(position)];
}

function numbersOf(path: string, position = 0): number[] {
  return scan(path, position).map(({ number }) => number);
}

/** Changes a segment; by default the one with page 1. */
function edit(path: string, change: (file: Buffer) => void, name = segmentFile(1)): void {
  const file = readFileSync(join(path, name));
  change(file);
  writeFileSync(join(path, name), file);
}

function frameOf(path: string, number: number, name = segmentFile(1)) {
  const frame = framesOf(path, name).find((each) => each.number === number);
  if (frame === undefined) throw new Error("there is no such page");
  return frame;
}

describe("pages", () => {
  test.each([true, false])(
    "are read as they were committed, in order (synced: %s)",
    async (isSynced) => {
      const path = newPath();
      const { journal, close } = openJournal(path, isSynced);
      await journal.startAt(0);
      const written = [pageOf(1, 40), pageOf(2, 300_000, [70_000, 90_001]), pageOf(3, 0)];
      for (const sealed of written) {
        await journal.commit(sealed);
        expect(sealed[0].readUInt32LE(abi.JOURNAL_CRC_AT)).toBe(crcOfPage(sealed));
      }
      expect(journal.committedNumber).toBe(3);
      expect(journal.latency.count).toBe(3);
      await close();
      const pages = scan(path);
      expect(pages.map(({ number }) => number)).toEqual([1, 2, 3]);
      const read = pages.map(({ page, apart }) => [page, ...apart]);
      expect(read.map((parts) => parts.length)).toEqual([1, 3, 1]);
      expect(Buffer.concat(read.flat()).equals(Buffer.concat(written.flat()))).toBe(true);
      expect(pages[1]?.timeMs).toBe(1_700_000_000_002);
      expect(numbersOf(path, 2)).toEqual([3]);
      expect(scan(path, 3)).toEqual([]);
    },
  );

  test("stand in the frame that is drawn, with very many payloads apart, too", async () => {
    const path = newPath();
    const { journal, close } = openJournal(path);
    await journal.startAt(0);
    const many = pageOf(1, 10, new Array<number>(1_500).fill(10));
    await journal.commit(many);
    await journal.commit(pageOf(2, 4_100));
    await close();
    const file = readFileSync(join(path, segmentFile(1)));
    const expected = frameBytes(STORE_ID, 1, 1, many);
    expect(file.subarray(0, expected.length).equals(expected)).toBe(true);
    expect(frameOf(path, 2)).toMatchObject({ at: expected.length, bytes: 8_192 });
    expect(file.length).toBe(SEGMENT_BYTES);
    expect(scan(path)[0]?.apart.length).toBe(1_500);
  });

  test("have numbers past 32 bits", async () => {
    const path = newPath(2 ** 32);
    const { journal, close } = openJournal(path);
    await journal.startAt(2 ** 32 - 1);
    await journal.commit(pageOf(2 ** 32, 10));
    await journal.commit(pageOf(2 ** 32 + 1, 10));
    await close();
    expect(segmentsOf(path)).toEqual(["0000000100000000.log"]);
    expect(numbersOf(path, 2 ** 32 - 1)).toEqual([2 ** 32, 2 ** 32 + 1]);
  });

  test("of another turn than the next are refused", () => {
    const { journal } = openJournal(newPath());
    expect(() => journal.commit(pageOf(2, 10))).toThrow("page 1 is of turn 2");
  });

  test("are waited for until they are safe", async () => {
    const { journal } = openJournal(newPath());
    await journal.startAt(0);
    const order: string[] = [];
    const waited = journal.committed(2).then((isSafe) => order.push(`waited ${isSafe}`));
    await journal.commit(pageOf(1, 10));
    order.push("first");
    await journal.commit(pageOf(2, 10));
    await waited;
    expect(order).toEqual(["first", "waited true"]);
  });
});

describe("segments", () => {
  test("follow each other when one is full, and at each start", async () => {
    const path = newPath();
    await writePages(path, 10, MEBIBYTE);
    const names = [1, 4, 7, 10].map(segmentFile);
    expect(segmentsOf(path)).toEqual(names);
    await writePages(path, 11);
    expect(segmentsOf(path)).toEqual([...names, segmentFile(11)]);
    expect(numbersOf(path)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    expect(numbersOf(path, 8)).toEqual([9, 10, 11]);
  });

  test("are as large as a page needs, and then not used again", async () => {
    const path = newPath();
    await writePages(path, 1);
    await writePages(path, 2, 9 * MEBIBYTE);
    await writePages(path, 3);
    expect(statSync(join(path, segmentFile(2))).size).toBeGreaterThan(9 * MEBIBYTE);
    expect(scan(path).map(({ page }) => page.length)).toEqual([124, 9 * MEBIBYTE + 24, 124]);
    const { journal } = openJournal(path);
    await journal.startAt(3);
    expect(await journal.deleteUpTo(3)).toBe(true);
    expect(segmentsOf(path)).toEqual([segmentFile(3)]);
    const bytes = readdirSync(path).map((name) => statSync(join(path, name)).size);
    expect(new Set(bytes)).toEqual(new Set([SEGMENT_BYTES]));
    expect(journal.bytes).toBe(bytes.length * SEGMENT_BYTES);
  });

  test("are used again, a few of them; what was in them is no page any more", async () => {
    const path = newPath();
    await writePages(path, 30, MEBIBYTE);
    const { journal, close } = openJournal(path);
    await journal.startAt(30);
    expect(await journal.deleteUpTo(27)).toBe(true);
    expect(await journal.deleteUpTo(27)).toBe(true);
    expect(segmentsOf(path)).toEqual([28].map(segmentFile));
    for (const number of [31, 32, 33]) await journal.commit(pageOf(number, 2.5 * MEBIBYTE));
    await close();
    const spares = readdirSync(path).filter((name) => name.startsWith("spare-"));
    expect(spares.length).toBeLessThanOrEqual(SPARE_SEGMENTS_MAX);
    expect(numbersOf(path, 27)).toEqual([28, 29, 30, 31, 32, 33]);
    const files = [31, 32, 33].map((number) => readFileSync(join(path, segmentFile(number))));
    expect(files.some((file) => file.readUInt32LE(2.75 * MEBIBYTE) !== 0)).toBe(true);
  });

  test("of old are not looked at, also where there is a hole between them", async () => {
    const path = newPath();
    await writePages(path, 10, MEBIBYTE);
    rmSync(join(path, segmentFile(4)));
    expect(numbersOf(path, 6)).toEqual([7, 8, 9, 10]);
    expect(() => scan(path, 5)).toThrow("journal page 4 is damaged: it is missing");
  });

  test("that an interrupted preparation has left are removed", async () => {
    const path = newPath();
    writeFileSync(join(path, "spare-7"), Buffer.alloc(5));
    await writePages(path, 1);
    expect(readdirSync(path)).toEqual([segmentFile(1), expect.stringMatching(/^spare-[89]$/)]);
  });

  test("go on beside commits", async () => {
    const path = newPath();
    await writePages(path, 60, 200_000);
    const { journal, close } = openJournal(path);
    await journal.startAt(60);
    const deleted = journal.deleteUpTo(50);
    for (let number = 61; number <= 120; number++) {
      await journal.commit(pageOf(number, 200_000));
      if (number % 10 === 0) expect(await journal.deleteUpTo(number - 10)).toBe(true);
    }
    expect(await deleted).toBe(true);
    await close();
    expect(numbersOf(path, 110).length).toBe(10);
  });
});

describe("a last page that was not written whole", () => {
  /** Zeros from … to …, in blocks; a negative number counts from the frame's end. */
  const missing = (from: number, to?: number) => (frame: Buffer) =>
    void frame.subarray(from * 4_096).fill(0, 0, to === undefined ? undefined : to * 4_096);

  test.each([
    ["its last block is missing", 2, missing(-1), true],
    ["its first block is missing", 2, missing(0, 1), false],
    ["nothing of it is there", 2, missing(0), false],
    ["a byte is another", 2, (frame: Buffer) => void frame.writeUInt8(1, 90), true],
    ["it is the only one", 0, missing(-1), true],
  ])("is left out, and another takes its place: %s", async (_title, before, change, isTold) => {
    const path = newPath();
    await writePages(path, before + 1, 9_000);
    const { at, bytes } = frameOf(path, before + 1);
    edit(path, (file) => change(file.subarray(at, at + bytes)));
    const { journal, torn } = openJournal(path);
    expect([...journal.scan(0)].length).toBe(before);
    expect(torn.length).toBe(isTold ? 1 : 0);
    await writePages(path, before + 3, 20);
    const lengths = scan(path).map(({ page }) => page.length);
    expect(lengths.slice(before)).toEqual([44, 44, 44]);
    expect(numbersOf(path).at(-1)).toBe(before + 3);
  });

  test("may have a payload that looks like pages", async () => {
    const path = newPath();
    const { journal, close } = openJournal(path);
    await journal.startAt(0);
    await journal.commit(pageOf(1, 10));
    const forged = frameBytes("guessed", 1, 9, [Buffer.alloc(4_000)]);
    const [page] = pageOf(2, 4_096 - 36 - 24);
    await journal.commit([page, Buffer.concat([forged, forged, forged])]);
    await close();
    const { at } = frameOf(path, 2);
    expect(readFileSync(join(path, segmentFile(1))).readUInt32LE(at + 4096)).toBe(0x4d524648);
    edit(path, (file) => file.fill(0, at, at + 4_096));
    expect(numbersOf(path)).toEqual([1]);
  });
});

describe("damage is named", () => {
  test("a flipped byte with another page behind it", async () => {
    const path = newPath();
    await writePages(path, 4);
    const { partsAt } = frameOf(path, 3);
    const at = (partsAt[0] ?? 0) + 60;
    edit(path, (file) => file.writeUInt8(file.readUInt8(at) ^ 1, at));
    expect(() => scan(path)).toThrow(/journal page 3 is damaged: its crc is wrong; restore/);
    expect(scan(path, 3).length).toBe(1);
  });

  test("a flipped byte in a payload apart", async () => {
    const path = newPath();
    await writePages(path, 3, 100, [2]);
    const at = (frameOf(path, 2).partsAt[2] ?? 0) + 79_999;
    edit(path, (file) => file.writeUInt8(77, at));
    expect(() => scan(path)).toThrow("journal page 2 is damaged: its crc is wrong");
  });

  test("a flipped byte in a header", async () => {
    const path = newPath();
    await writePages(path, 5);
    const { at } = frameOf(path, 3);
    edit(path, (file) => file.writeUInt8(1, at + 25));
    const fault = "journal page 3 is damaged: it is missing, and page 4 is there";
    expect(() => scan(path)).toThrow(fault);
    expect(() => scan(path, 2)).toThrow(fault);
    expect(() => scan(path, 4)).toThrow("it is missing, and the index has page 4");
  });

  test("a missing segment: in the middle, the oldest, the newest", async () => {
    const path = newPath();
    await writePages(path, 10, MEBIBYTE);
    const aside = join(path, "aside");
    const without = (first: number, position: number): string => {
      const name = join(path, segmentFile(first));
      renameSync(name, aside);
      try {
        return `${scan(path, position).length} pages`;
      } catch (error) {
        return (error as Error).message;
      } finally {
        renameSync(aside, name);
      }
    };
    expect(without(4, 2)).toMatch("page 4 is damaged: it is missing, and page 7 is there");
    expect(without(1, 2)).toMatch("page 3 is damaged: the segment is missing that it would be in");
    expect(without(10, 10)).toMatch("page 10 is damaged: it is missing, and the index has page 10");
    expect(without(1, 3)).toBe("7 pages");
  });

  test("a segment that is another's", async () => {
    const path = newPath();
    await writePages(path, 10, MEBIBYTE);
    copyFileSync(join(path, segmentFile(1)), join(path, segmentFile(4)));
    expect(() => scan(path)).toThrow("page 4 is damaged: it is missing, and page 7 is there");
  });

  test.each([
    ["a newer format", 0, 9, "its format is 9, not 2"],
    ["another number", 4, 7, "it was written as page 7"],
    ["another length", abi.JOURNAL_BYTES_AT, 25, "it has 124 of 25 bytes"],
  ])("%s", async (_, at, value, fault) => {
    const path = newPath();
    const [page] = pageOf(1, 100);
    page.writeUInt32LE(value, at);
    page.writeUInt32LE(crcOfPage([page]), abi.JOURNAL_CRC_AT);
    writeFileSync(join(path, segmentFile(1)), frameBytes(STORE_ID, 1, 1, [page]));
    expect(() => scan(path)).toThrow(`journal page 1 is damaged: ${fault}`);
  });
});

/** Starts a child; its lines come one by one. */
function startChild(command: readonly string[]): {
  readonly child: ChildProcess;
  readonly lines: AsyncIterable<string>;
  readonly exitCode: Promise<number>;
} {
  const [program = "", ...rest] = command;
  const child = spawn(program, rest, { stdio: ["ignore", "pipe", "inherit"] });
  const exitCode = once(child, "exit").then(([code]) => code as number);
  onTestFinished(() => void child.kill("SIGKILL"));
  return { child, lines: createInterface(child.stdout), exitCode };
}

describe("a full disk", () => {
  test("is told, the page is kept, and written when there is room again", async () => {
    const path = join(temporaryDirectory(), "journal");
    // Blocks of 1 KiB that its files may have: not those of the segment that the fifth page needs.
    const sizes = [60_000, 60_000, 60_000, 60_000, 6 * MEBIBYTE].map(String);
    const command = [process.execPath, childOf("store-failing-child"), path, "", ...sizes];
    const limited = 'ulimit -S -f 5000; exec "$@"';
    const { child, lines, exitCode } = startChild(["bash", "-c", limited, "sh", ...command]);
    const said: string[] = [];
    for await (const line of lines) {
      said.push(line);
      if (line.startsWith("failing")) allowMore(child.pid ?? 0);
    }
    expect(said[0]).toMatch(
      /^failing .*journal cannot be written: its files may not be that large/,
    );
    expect(said.slice(1)).toEqual(["recovered", "committed 10"]);
    expect(await exitCode).toBe(0);
    expect(scan(path).length).toBe(10);
  });

  test("may end the process: what is safe is there", async () => {
    const path = join(temporaryDirectory(), "journal");
    const sizes = [60_000, 60_000, 6 * MEBIBYTE].map(String);
    const command = [process.execPath, childOf("store-failing-child"), path, "", ...sizes];
    const limited = 'ulimit -f 5000; exec "$@"';
    const { child, lines, exitCode } = startChild(["bash", "-c", limited, "sh", ...command]);
    for await (const _line of lines) child.kill("SIGKILL");
    await exitCode;
    expect(numbersOf(path)).toEqual([1, 2]);
    await writePages(path, 4, 6 * MEBIBYTE);
    expect(numbersOf(path)).toEqual([1, 2, 3, 4]);
  });

  test("has room again when pages are needed no more", async () => {
    const place = join(temporaryDirectory(), "disk");
    const disk = await mountSmallDisk(place, 20 * MEBIBYTE);
    onTestFinished(() => disk.remove());
    const path = join(place, "journal");
    const command = [process.execPath, childOf("store-failing-child"), path, "delete", "900000"];
    const { lines, exitCode } = startChild([...disk.wrapper, ...command]);
    const said: string[] = [];
    for await (const line of lines) said.push(line);
    expect(said[0]).toMatch(/^failing .*journal cannot be written: the disk is full \(ENOSPC\)/);
    expect(said.slice(1)).toEqual(["recovered", expect.stringMatching(/^committed \d+$/)]);
    expect(await exitCode).toBe(0);
  });

  function allowMore(pid: number): void {
    const done = spawnSync("prlimit", ["--pid", String(pid), "--fsize=unlimited:unlimited"]);
    expect(done.status).toBe(0);
  }
});

describe("kill -9", () => {
  test("in the middle of it, again and again: what is safe is there", {
    timeout: 60_000,
  }, async () => {
    const path = newPath();
    let position = 0;
    let newest = 0;
    for (let round = 0; round < 12; round++) {
      const command = [childOf("store-writing-child"), path, String(newest), String(round)];
      const { child, lines } = startChild([process.execPath, ...command]);
      let left = 5 + 13 * round;
      for await (const line of lines) {
        const [what, number] = line.split(" ");
        if (what === "position") position = Number(number);
        else newest = Number(number);
        if (--left === 0) child.kill("SIGKILL");
      }
      const numbers = numbersOf(path, position);
      // The page that was under way may be there as well.
      expect(numbers.length - (newest - position)).toBeOneOf([0, 1]);
      expect(numbers.at(-1)).toBe(position + numbers.length);
      newest = position + numbers.length;
    }
    expect(readdirSync(path).length).toBeLessThan(3 + 12 + SPARE_SEGMENTS_MAX);
  });
});

test("a directory that is none is refused", () => {
  const path = join(temporaryDirectory(), "journal");
  mkdirSync(path);
  expect(() => scan(path)).toThrow("journal page 1 is damaged: the segment is missing");
  rmSync(path, { recursive: true });
  expect(() => openJournal(path)).toThrow("ENOENT");
});
