import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import * as abi from "#assembly/abi";
import { Environment } from "../../src/store/environment.ts";
import { Journal, type JournalPage } from "../../src/store/journal.ts";
import { JOURNAL_TABLES, pageKey } from "../../src/store/tables.ts";
import { crcOfPage, editTable, pageOf, temporaryDirectory } from "../support/store-directory.ts";

const CHILD = fileURLToPath(new URL("../support/store-failing-child.ts", import.meta.url));

/** Blocks of 1 KiB that the child's files may have: some pages fit. */
const FILE_KIBIBYTES = 1_500;

interface OpenJournal {
  readonly journal: Journal;
  readonly troubles: string[];
  close(): Promise<void>;
}

function openJournal(directory: string, mayCreate = true, isSynced = true): OpenJournal {
  const options = { isSynced, mayCreate };
  const environment = new Environment(directory, "journal.mdb", JOURNAL_TABLES, options);
  const troubles: string[] = [];
  const watch = {
    onFailing: (reason: string) => troubles.push(reason),
    onRecovered: () => troubles.push("recovered"),
  };
  let closed: Promise<void> | null = null;
  const close = (): Promise<void> => {
    closed ??= environment.close();
    return closed;
  };
  onTestFinished(close);
  return {
    journal: new Journal(environment, watch, new AbortController().signal),
    troubles,
    close,
  };
}

/** Commits pages 1 … count; those whose number is in `apart` have two payloads apart. */
async function writePages(directory: string, count: number, apart: readonly number[] = []) {
  const { journal, close } = openJournal(directory);
  for (let number = 1; number <= count; number++) {
    await journal.commit(pageOf(number, 100, apart.includes(number) ? [70_000, 80_000] : []));
  }
  await close();
}

function scan(directory: string, position = 0): JournalPage[] {
  return [...openJournal(directory, false).journal.scan(position)];
}

describe("pages", () => {
  test.each([true, false])(
    "are read as they were committed, in order (synced: %s)",
    async (isSynced) => {
      const directory = temporaryDirectory();
      const { journal, close } = openJournal(directory, true, isSynced);
      const written = [pageOf(1, 40), pageOf(2, 300_000, [70_000, 90_001]), pageOf(3, 0)];
      for (const sealed of written) {
        await journal.commit(sealed);
        expect(sealed[0].readUInt32LE(abi.JOURNAL_CRC_AT)).toBe(crcOfPage(sealed));
      }
      expect(journal.committedNumber).toBe(3);
      expect(journal.latency.count).toBe(3);
      await close();
      const pages = scan(directory);
      expect(pages.map(({ number }) => number)).toEqual([1, 2, 3]);
      const read = pages.map(({ page, apart }) => [page, ...apart]);
      expect(read.map((parts) => parts.length)).toEqual([1, 3, 1]);
      expect(Buffer.concat(read.flat()).equals(Buffer.concat(written.flat()))).toBe(true);
      expect(pages[1]?.timeMs).toBe(1_700_000_000_002);
      expect(scan(directory, 2).map(({ number }) => number)).toEqual([3]);
      expect(scan(directory, 3)).toEqual([]);
    },
  );

  test("have numbers past 32 bits", async () => {
    const directory = temporaryDirectory();
    const { journal, close } = openJournal(directory);
    journal.startAt(2 ** 32 - 1);
    await journal.commit(pageOf(2 ** 32, 10));
    await journal.commit(pageOf(2 ** 32 + 1, 10));
    await close();
    const numbers = scan(directory, 2 ** 32 - 1).map(({ number }) => number);
    expect(numbers).toEqual([2 ** 32, 2 ** 32 + 1]);
  });

  test("of another turn than the next are refused", () => {
    const { journal } = openJournal(temporaryDirectory());
    expect(() => journal.commit(pageOf(2, 10))).toThrow("page 1 is of turn 2");
  });

  test("are waited for until they are safe", async () => {
    const { journal } = openJournal(temporaryDirectory());
    const order: string[] = [];
    const waited = journal.committed(2).then((isSafe) => order.push(`waited ${isSafe}`));
    await journal.commit(pageOf(1, 10));
    order.push("first");
    await journal.commit(pageOf(2, 10));
    await waited;
    expect(order).toEqual(["first", "waited true"]);
  });
});

describe("damage is named", () => {
  test("a flipped byte", async () => {
    const directory = temporaryDirectory();
    await writePages(directory, 4);
    await edit(directory, 3, 0, (page) => page.writeUInt8(page.readUInt8(60) ^ 1, 60));
    expect(() => scan(directory)).toThrow(/journal page 3 is damaged: its crc is wrong; restore/);
    expect(scan(directory, 3).length).toBe(1);
  });

  test("a flipped byte in a payload apart", async () => {
    const directory = temporaryDirectory();
    await writePages(directory, 3, [2]);
    await edit(directory, 2, 2, (payload) => payload.writeUInt8(77, 79_999));
    expect(() => scan(directory)).toThrow("journal page 2 is damaged: its crc is wrong");
  });

  test("a missing page", async () => {
    const directory = temporaryDirectory();
    await writePages(directory, 5);
    await editTable(directory, "journal.mdb", "pages", (pages) => pages.remove(pageKey(3, 0)));
    expect(() => scan(directory)).toThrow(
      "journal page 3 is damaged: it is missing, and page 4 is there",
    );
    expect(() => scan(directory, 2)).toThrow("journal page 3 is damaged");
    expect(scan(directory, 3).length).toBe(2);
  });

  test("a missing payload", async () => {
    const directory = temporaryDirectory();
    await writePages(directory, 2, [1, 2]);
    await editTable(directory, "journal.mdb", "pages", (pages) => pages.remove(pageKey(1, 1)));
    expect(() => scan(directory)).toThrow("journal page 1 is damaged: part 1 of it is missing");
  });

  test.each([
    ["a newer format", 0, 9, "its format is 9, not 2"],
    ["another number", 4, 7, "it was written as page 7"],
    ["another length", abi.JOURNAL_BYTES_AT, 25, "it has 124 of 25 bytes"],
  ])("%s", async (_, at, value, fault) => {
    const directory = temporaryDirectory();
    await writePages(directory, 2);
    await edit(directory, 2, 0, (page) => page.writeUInt32LE(value, at));
    expect(() => scan(directory)).toThrow(`journal page 2 is damaged: ${fault}`);
  });

  async function edit(
    directory: string,
    number: number,
    part: number,
    change: (value: Buffer) => void,
  ): Promise<void> {
    await editTable(directory, "journal.mdb", "pages", async (pages) => {
      const value = pages.get(pageKey(number, part));
      if (value === undefined) throw new Error("there is no such page");
      change(value);
      await pages.put(pageKey(number, part), value);
    });
  }
});

describe("deleting", () => {
  test("takes a range with its payloads, and no more", async () => {
    const directory = temporaryDirectory();
    await writePages(directory, 700, [3, 255, 256, 257, 600, 601]);
    const { journal, close } = openJournal(directory, false);
    journal.startAt(700);
    expect(await journal.deleteUpTo(600)).toBe(true);
    expect(await journal.deleteUpTo(600)).toBe(true);
    await close();
    const pages = scan(directory, 600);
    expect(pages.length).toBe(100);
    expect(pages[0]?.apart.length).toBe(2);
    let count = 0;
    await editTable(directory, "journal.mdb", "pages", async (table) => {
      count = table.getKeysCount();
    });
    expect(count).toBe(102);
  });

  test("goes on beside commits", async () => {
    const directory = temporaryDirectory();
    await writePages(directory, 600);
    const { journal, close } = openJournal(directory, false);
    journal.startAt(600);
    const deleted = journal.deleteUpTo(590);
    for (let number = 601; number <= 640; number++) await journal.commit(pageOf(number, 50));
    expect(await deleted).toBe(true);
    await close();
    expect(scan(directory, 590).length).toBe(50);
  });
});

describe("a full disk", () => {
  test("is told, the page is kept, and written when there is room again", async () => {
    const directory = temporaryDirectory();
    const child = startChild(directory);
    const lines: string[] = [];
    for await (const line of child.lines) {
      lines.push(line);
      if (line.startsWith("failing")) allowMore(child.pid);
    }
    expect(lines[0]).toMatch(/^failing .*journal.mdb cannot be written: the disk is full or fails/);
    expect(lines.slice(1)).toEqual(["recovered", expect.stringMatching(/^committed \d+$/)]);
    expect(await child.exitCode).toBe(0);
    const committed = Number(lines.at(-1)?.split(" ")[1]);
    expect(scan(directory).length).toBe(committed);
  });

  test("has room again when pages are deleted", async () => {
    const directory = temporaryDirectory();
    const child = startChild(directory, "delete");
    const lines: string[] = [];
    for await (const line of child.lines) lines.push(line.split(" ")[0] ?? "");
    expect(lines).toEqual(["failing", "recovered", "committed"]);
    expect(await child.exitCode).toBe(0);
  });

  function startChild(directory: string, mode = "") {
    const limited = `ulimit -S -f ${FILE_KIBIBYTES}; exec "$@"`;
    const arguments_ = ["-c", limited, "sh", process.execPath, CHILD, directory, mode];
    const child = spawn("bash", arguments_, { stdio: ["ignore", "pipe", "ignore"] });
    const exitCode = once(child, "exit").then(([code]) => code as number);
    onTestFinished(() => void child.kill("SIGKILL"));
    return { pid: child.pid ?? 0, lines: createInterface(child.stdout), exitCode };
  }

  function allowMore(pid: number): void {
    const done = spawnSync("prlimit", ["--pid", String(pid), "--fsize=unlimited:unlimited"]);
    expect(done.status).toBe(0);
  }
});
