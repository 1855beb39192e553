/**
 * A process that writes to a data directory as a broker does, for the test of `backup`: run with
 * the directory as its argument, until it is killed.
 *
 * Page n of the journal says that row n mod ROWS of the index is n. A cycle of the index takes some
 * pages, writes the rows in several transactions, each with what has been committed by then, then
 * the position, and then lets go of the pages.
 */
import { join } from "node:path";
import { Environment, type Table } from "../../src/store/environment.ts";
import { Journal } from "../../src/store/journal.ts";
import { INDEX_TABLES } from "../../src/store/tables.ts";
import { page as pageOf, STORE_ID } from "./check-store.ts";

const ROWS = 16;
const CYCLE_PAGES = 24;
/** So that segments are full soon. */
const PAGE_BYTES = 30_000;
/** Pages that stay in the journal, as those of the latest seconds do. */
const YOUNG_PAGES = 400;
/** Rows of nothing, so that the index takes a while to copy. */
const FILLER_ROWS = 4_000;

const directory = process.argv[2] ?? "";

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

const index = new Environment(directory, "index.mdb", INDEX_TABLES, { mayCreate: false });
const [meta, sessions, messages] = ["meta", "sessions", "messages"].map((name) =>
  index.table(name),
) as [Table, Table, Table];

const journal = new Journal({
  ...{ path: join(directory, "journal"), storeId: STORE_ID, isSynced: false },
  closing: new AbortController().signal,
  watch: { onFailing: () => process.exit(1), onRecovered: () => undefined },
  onTorn: () => undefined,
});
await journal.startAt(0);

await index.write(
  Array.from({ length: FILLER_ROWS }, (_, row) => ({
    table: messages,
    key: u64(row),
    value: Buffer.alloc(4_000, row),
  })),
);

/** The newest committed page. */
let page = 0;
/** The value of each row, at the newest committed page. */
const values = new Array<number>(ROWS).fill(0);
let isTold = false;

async function commitPage(): Promise<void> {
  const next = page + 1;
  const [whole = Buffer.alloc(0), ...apart] = pageOf(next, Buffer.alloc(PAGE_BYTES, next));
  await journal.commit([whole, ...apart]);
  page = next;
  values[next % ROWS] = next;
}

for (;;) {
  for (let count = 0; count < CYCLE_PAGES; count++) await commitPage();
  const until = Math.max(0, page - YOUNG_PAGES);
  for (let row = 0; row < ROWS; row += 4) {
    const written = [row, row + 1, row + 2, row + 3].map((each) => ({
      table: sessions,
      key: Buffer.from([each]),
      value: u64(values[each] ?? 0),
    }));
    await index.write(written);
    await commitPage();
  }
  await index.write([{ table: meta, key: Buffer.from("position"), value: u64(until) }]);
  await journal.deleteUpTo(until);
  if (until > 0 && !isTold) process.stdout.write("writing\n");
  isTold = until > 0;
}
