/**
 * A process that commits pages to a journal on a disk that does not take them all: it says so, and
 * goes on when there is room again.
 *
 *    arguments: the journal's directory, "delete" or "", bytes of each page that is tried
 *    lines out: `ready`, `failing …`, `recovered`, `committed N`
 */
import { Journal } from "../../src/store/journal.ts";
import { createJournal } from "../../src/store/segments.ts";

const HEADER_BYTES = 24;
const FORMAT = 2;

/** Pages that are committed once there is room again. */
const PAGES_BEHIND = 5;

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function pageOf(number: number, bytes: number): Buffer {
  const page = Buffer.alloc(HEADER_BYTES + bytes, number);
  page.writeUInt32LE(FORMAT, 0);
  page.writeUInt32LE(number, 4);
  page.writeUInt32LE(page.length, 16);
  return page;
}

// Instead of ending the process.
process.on("SIGXFSZ", () => undefined);

const [, , path = "", mode = "", ...sizes] = process.argv;
createJournal(path, 1);
const closing = new AbortController();
let failedAt = 0;
let number = 0;
const journal = new Journal({
  ...{ path, storeId: "test", isSynced: true, closing: closing.signal },
  watch: {
    onFailing: (reason) => {
      failedAt = number;
      say(`failing ${reason}`);
      if (mode === "delete") void journal.deleteUpTo(number - 1);
    },
    onRecovered: () => say("recovered"),
  },
  onTorn: say,
});
await journal.startAt(0);
while (failedAt === 0 || number < failedAt + PAGES_BEHIND) {
  const bytes = Number(sizes[number % sizes.length]);
  number++;
  await journal.commit([pageOf(number, bytes)]);
}
say(`committed ${number}`);
await journal.close();
