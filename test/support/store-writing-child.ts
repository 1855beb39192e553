/**
 * A process that commits pages of many sizes to a journal, and lets go of old ones, until it is
 * killed; it says each page that is safe, and then each position.
 *
 *    arguments: the journal's directory, the newest page in it, a seed
 *    lines out: `committed N`, `position N`
 */

import { writeSync } from "node:fs";
import { Journal } from "../../src/store/journal.ts";
import { randomFrom } from "./mutate.ts";

const HEADER_BYTES = 24;
const FORMAT = 2;
const STDOUT = 1;
/** Pages that stay behind the position. */
const YOUNG_PAGES = 20;
const PAGES_PER_CYCLE = 10;

const [, , path = "", newest = "", seed = ""] = process.argv;
const random = randomFrom(Number(seed));

function pageOf(number: number, bytes: number): Buffer {
  const page = Buffer.alloc(HEADER_BYTES + bytes, number);
  page.writeUInt32LE(FORMAT, 0);
  page.writeUInt32LE(number, 4);
  page.writeUInt32LE(page.length, 16);
  return page;
}

const journal = new Journal({
  ...{ path, storeId: "test", isSynced: true, closing: new AbortController().signal },
  watch: { onFailing: () => process.exit(1), onRecovered: () => undefined },
  onTorn: () => undefined,
});
await journal.startAt(Number(newest));
for (let number = Number(newest) + 1; ; number++) {
  const isLong = random(20) === 0;
  const apart = isLong ? [Buffer.alloc(random(3_000_000), number)] : [];
  await journal.commit([pageOf(number, random(60_000)), ...apart]);
  // At once: what is said is safe, whatever comes.
  writeSync(STDOUT, `committed ${number}\n`);
  if (number % PAGES_PER_CYCLE > 0 || number <= YOUNG_PAGES) continue;
  writeSync(STDOUT, `position ${number - YOUNG_PAGES}\n`);
  await journal.deleteUpTo(number - YOUNG_PAGES);
}
