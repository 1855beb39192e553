/**
 * A process whose files may not grow any more: it commits pages to a journal until the disk is
 * full, says so, and goes on when it has room again.
 *
 *    holdfast's directory is the argument; lines out: `failing …`, `recovered`, `committed N`
 */
import { Environment } from "../../src/store/environment.ts";
import { Journal } from "../../src/store/journal.ts";
import { JOURNAL_TABLES } from "../../src/store/tables.ts";

const PAGE_BYTES = 64 * 1024;
const HEADER_BYTES = 24;
const FORMAT = 2;

/** Pages that are committed once there is room again. */
const PAGES_BEHIND = 5;

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function pageOf(number: number): Buffer {
  const page = Buffer.alloc(HEADER_BYTES + PAGE_BYTES, number);
  page.writeUInt32LE(FORMAT, 0);
  page.writeUInt32LE(number, 4);
  page.writeUInt32LE(page.length, 16);
  return page;
}

// Instead of ending the process.
process.on("SIGXFSZ", () => undefined);

const directory = process.argv[2] ?? "";
const environment = new Environment(directory, "journal.mdb", JOURNAL_TABLES, {
  isSynced: true,
  mayCreate: true,
});
const closing = new AbortController();
let failedAt = 0;
let number = 0;
const journal = new Journal(
  environment,
  {
    onFailing: (reason) => {
      failedAt = number;
      say(`failing ${reason}`);
      if (process.argv[3] === "delete") void journal.deleteUpTo(number - 1);
    },
    onRecovered: () => say("recovered"),
  },
  closing.signal,
);
while (failedAt === 0 || number < failedAt + PAGES_BEHIND) {
  number++;
  await journal.commit([pageOf(number)]);
}
say(`committed ${number}`);
await environment.close();
