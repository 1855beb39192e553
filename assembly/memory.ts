/**
 * The engine's allocator: size classes in pages of 64 KiB, and runs of pages for what is larger.
 *
 * A page serves one class. Its descriptor lies outside the page, so that a block costs its class
 * and nothing else; a page whose last block came back serves another class or a run later.
 *
 *   PAGES + 32 × page number
 *   ┌──────────┬───────┬──────┬───────┬──────┬──────┬───────────┬───┐
 *   │ freeHead │ fresh │ used │ class │ next │ prev │ spanPages │ – │   u32 each
 *   └──────────┴───────┴──────┴───────┴──────┴──────┴───────────┴───┘
 *
 * Free pages form spans, joined with their neighbours; the first and the last page of a span know
 * its length. A full heap answers 0 and never traps: callers refuse the work. So that work under
 * way can end in order, RESERVE_BYTES stay above the configured cap: memoryTight() tells that the
 * cap is reached and new work is to be refused.
 */
import { HEAP, PAGE_BYTES, PAGES } from "./abi";

const FREE_HEAD: u32 = 0;
const FRESH: u32 = 4;
const USED: u32 = 8;
const CLASS: u32 = 12;
const NEXT: u32 = 16;
const PREVIOUS: u32 = 20;
const SPAN_PAGES: u32 = 24;
const DESCRIPTOR_SHIFT: u32 = 5;
const PAGE_SHIFT: u32 = 16;

/** Classes of a page that serves no blocks. */
const CLASS_FREE: u32 = 0xf0;
const CLASS_RUN: u32 = 0xf1;
const CLASS_INSIDE: u32 = 0xf2;

/** Largest block that a size class serves, bytes. */
const BLOCK_BYTES_MAX: u32 = 32768;
const CLASS_COUNT: u32 = 39;
/**
 * Class of Session records: its pages serve nothing else, so that a stale address stays a record.
 */
const CLASS_STABLE: u32 = CLASS_COUNT;
/** Bytes of a block that allocStable() gives. */
export const STABLE_BYTES: u32 = 256;
/** Kept above the cap, so that work already begun can end. */
export const RESERVE_BYTES: u32 = 16 * 1024 * 1024;

const FIRST_PAGE: u32 = HEAP >> PAGE_SHIFT;

const classBytes: usize = memory.data<u16>([
  16,
  24,
  32,
  40,
  48,
  64,
  80,
  96,
  112,
  128,
  160,
  192,
  224,
  256,
  320,
  384,
  448,
  512,
  640,
  768,
  896,
  1024,
  1280,
  1536,
  1792,
  2048,
  2560,
  3072,
  3584,
  4096,
  5456,
  6552,
  8192,
  9360,
  10920,
  13104,
  16384,
  21840,
  32768,
  <u16>STABLE_BYTES,
]);
/** Class of a size up to 1024, by steps of 8. */
const classOfStep: usize = memory.data(129);
/** First page with room, by class. */
const partialHead: usize = memory.data(4 * 40, 4);

let pageEnd: u32 = 0;
let pageTop: u32 = FIRST_PAGE;
let spanHead: u32 = 0;
let pagesUsed: u32 = 0;
let pagesCap: u32 = 0;
let bytesUsed: u64 = 0;
let blocksUsed: u32 = 0;

function descriptor(page: u32): usize {
  return PAGES + (page << DESCRIPTOR_SHIFT);
}

/**
 * Prepares an empty heap. Called once, before any allocation.
 *
 * @param limitBytes  cap for blocks and runs together; 0 = all of the memory
 */
export function memoryStart(limitBytes: u64): void {
  const memoryPages = <u32>memory.size();
  // The last page is never used: vector loads may run past a block, and 2^32 would wrap to 0.
  pageEnd = memoryPages - 1;
  const reservePages = RESERVE_BYTES >> PAGE_SHIFT;
  const available = pageEnd - FIRST_PAGE;
  pagesCap = available > 2 * reservePages ? available - reservePages : available >> 1;
  const limitPages = limitBytes >> PAGE_SHIFT;
  if (limitBytes !== 0 && limitPages < <u64>pagesCap) {
    pagesCap = max(<u32>limitPages, 1);
    pageEnd = min(pageEnd, FIRST_PAGE + pagesCap + reservePages);
  }
  let step: u32 = 0;
  for (let sizeClass: u32 = 0; step <= 128; step++) {
    while (<u32>load<u16>(classBytes + (sizeClass << 1)) < step << 3) sizeClass++;
    store<u8>(classOfStep + step, sizeClass);
  }
}

/** True once the configured cap is reached: refuse new work, finish what is under way. */
export function memoryTight(): bool {
  return pagesUsed >= pagesCap;
}

/** Whether a block of so many bytes fits below the cap now; for work whose size a peer chooses. */
export function memoryHasRoom(bytes: u32): bool {
  return <u64>pagesUsed + ((<u64>bytes + PAGE_BYTES - 1) >> PAGE_SHIFT) < <u64>pagesCap;
}

/** Bytes of all blocks and runs in use. */
export function heapBytesUsed(): u64 {
  return bytesUsed;
}

/** Blocks and runs in use. */
export function heapBlocksUsed(): u32 {
  return blocksUsed;
}

/** Pages taken from the heap, in bytes: what the process keeps resident at most. */
export function heapBytesCommitted(): u64 {
  return (<u64>pagesUsed) << PAGE_SHIFT;
}

/** The configured cap in bytes. */
export function heapBytesCap(): u64 {
  return (<u64>pagesCap) << PAGE_SHIFT;
}

function unlinkSpan(page: u32): void {
  const at = descriptor(page);
  const next = load<u32>(at, NEXT);
  const previous = load<u32>(at, PREVIOUS);
  if (previous !== 0) store<u32>(descriptor(previous), next, NEXT);
  else spanHead = next;
  if (next !== 0) store<u32>(descriptor(next), previous, PREVIOUS);
}

function linkSpan(page: u32, pages: u32): void {
  const at = descriptor(page);
  store<u32>(at, CLASS_FREE, CLASS);
  store<u32>(at, pages, SPAN_PAGES);
  store<u32>(at, spanHead, NEXT);
  store<u32>(at, 0, PREVIOUS);
  if (spanHead !== 0) store<u32>(descriptor(spanHead), page, PREVIOUS);
  spanHead = page;
  const last = descriptor(page + pages - 1);
  store<u32>(last, CLASS_FREE, CLASS);
  store<u32>(last, pages, SPAN_PAGES);
}

/** Takes so many neighbouring pages. @returns the first page's number, or 0 */
function takePages(pages: u32): u32 {
  let page = spanHead;
  while (page !== 0) {
    const at = descriptor(page);
    const spanPages = load<u32>(at, SPAN_PAGES);
    if (spanPages >= pages) {
      unlinkSpan(page);
      if (spanPages > pages) linkSpan(page + pages, spanPages - pages);
      pagesUsed += pages;
      return page;
    }
    page = load<u32>(at, NEXT);
  }
  if (pages > pageEnd - pageTop) return 0;
  page = pageTop;
  pageTop += pages;
  pagesUsed += pages;
  return page;
}

function givePages(first: u32, count: u32): void {
  pagesUsed -= count;
  let page = first;
  let pages = count;
  const behind = page + pages;
  if (behind < pageTop && load<u32>(descriptor(behind), CLASS) === CLASS_FREE) {
    pages += load<u32>(descriptor(behind), SPAN_PAGES);
    unlinkSpan(behind);
  }
  if (page > FIRST_PAGE && load<u32>(descriptor(page - 1), CLASS) === CLASS_FREE) {
    const before = load<u32>(descriptor(page - 1), SPAN_PAGES);
    page -= before;
    pages += before;
    unlinkSpan(page);
  }
  // Pages inside the span must not look like a span of their own.
  store<u32>(descriptor(first), CLASS_INSIDE, CLASS);
  store<u32>(descriptor(first + count - 1), CLASS_INSIDE, CLASS);
  linkSpan(page, pages);
}

function unlinkPartial(page: u32, sizeClass: u32): void {
  const at = descriptor(page);
  const next = load<u32>(at, NEXT);
  const previous = load<u32>(at, PREVIOUS);
  if (previous !== 0) store<u32>(descriptor(previous), next, NEXT);
  else store<u32>(partialHead + (sizeClass << 2), next);
  if (next !== 0) store<u32>(descriptor(next), previous, PREVIOUS);
}

function linkPartial(page: u32, sizeClass: u32): void {
  const at = descriptor(page);
  const head = load<u32>(partialHead + (sizeClass << 2));
  store<u32>(at, head, NEXT);
  store<u32>(at, 0, PREVIOUS);
  if (head !== 0) store<u32>(descriptor(head), page, PREVIOUS);
  store<u32>(partialHead + (sizeClass << 2), page);
}

function classOf(bytes: u32): u32 {
  if (bytes <= 1024) return <u32>load<u8>(classOfStep + ((bytes + 7) >> 3));
  let sizeClass: u32 = 22;
  while (<u32>load<u16>(classBytes + (sizeClass << 1)) < bytes) sizeClass++;
  return sizeClass;
}

function takeBlock(sizeClass: u32): usize {
  const size = <u32>load<u16>(classBytes + (sizeClass << 1));
  let page = load<u32>(partialHead + (sizeClass << 2));
  if (page === 0) {
    page = takePages(1);
    if (page === 0) return 0;
    const at = descriptor(page);
    store<u32>(at, 0, FREE_HEAD);
    store<u32>(at, page << PAGE_SHIFT, FRESH);
    store<u32>(at, 0, USED);
    store<u32>(at, sizeClass, CLASS);
    linkPartial(page, sizeClass);
  }
  const at = descriptor(page);
  let block = load<u32>(at, FREE_HEAD);
  if (block !== 0) {
    store<u32>(at, load<u32>(block), FREE_HEAD);
  } else {
    block = load<u32>(at, FRESH);
    store<u32>(at, block + size, FRESH);
  }
  store<u32>(at, load<u32>(at, USED) + 1, USED);
  const fresh = load<u32>(at, FRESH);
  // Unsigned distance: the page's end may be 2^32 away from nothing.
  if (load<u32>(at, FREE_HEAD) === 0 && PAGE_BYTES - (fresh - (page << PAGE_SHIFT)) < size) {
    unlinkPartial(page, sizeClass);
  }
  bytesUsed += size;
  blocksUsed++;
  return block;
}

/**
 * Gives a block with garbage in it, aligned to 8 bytes. Hot.
 *
 * @param bytes  1 … 2^31
 * @returns its address, or 0 where the cap and the reserve are used up
 */
export function alloc(bytes: u32): usize {
  if (bytes <= BLOCK_BYTES_MAX) return takeBlock(classOf(bytes));
  const pages = ((bytes - 1) >> PAGE_SHIFT) + 1;
  const page = takePages(pages);
  if (page === 0) return 0;
  const at = descriptor(page);
  store<u32>(at, CLASS_RUN, CLASS);
  store<u32>(at, pages, SPAN_PAGES);
  if (pages > 1) store<u32>(descriptor(page + pages - 1), CLASS_INSIDE, CLASS);
  bytesUsed += (<u64>pages) << PAGE_SHIFT;
  blocksUsed++;
  return page << PAGE_SHIFT;
}

/** As alloc(STABLE_BYTES), from pages that never serve anything else. */
export function allocStable(): usize {
  return takeBlock(CLASS_STABLE);
}

/** Bytes that the block really has: at least what was asked for. */
export function blockBytes(block: usize): u32 {
  const at = descriptor(<u32>(block >> PAGE_SHIFT));
  const sizeClass = load<u32>(at, CLASS);
  if (sizeClass === CLASS_RUN) return load<u32>(at, SPAN_PAGES) << PAGE_SHIFT;
  return <u32>load<u16>(classBytes + (sizeClass << 1));
}

/** Takes a block back. Hot. */
export function free(block: usize): void {
  const page = <u32>(block >> PAGE_SHIFT);
  const at = descriptor(page);
  const sizeClass = load<u32>(at, CLASS);
  assert(page >= FIRST_PAGE && page < pageTop, "free: not of this heap");
  assert(sizeClass <= CLASS_STABLE || sizeClass === CLASS_RUN, "free: page is free already");
  blocksUsed--;
  if (sizeClass === CLASS_RUN) {
    const pages = load<u32>(at, SPAN_PAGES);
    bytesUsed -= (<u64>pages) << PAGE_SHIFT;
    givePages(page, pages);
    return;
  }
  const size = <u32>load<u16>(classBytes + (sizeClass << 1));
  bytesUsed -= size;
  const freeHead = load<u32>(at, FREE_HEAD);
  const full = freeHead === 0 && PAGE_BYTES - (load<u32>(at, FRESH) - (page << PAGE_SHIFT)) < size;
  store<u32>(block, freeHead);
  store<u32>(at, <u32>block, FREE_HEAD);
  const used = load<u32>(at, USED) - 1;
  store<u32>(at, used, USED);
  if (full) linkPartial(page, sizeClass);
  if (used !== 0 || sizeClass === CLASS_STABLE) return;
  // One empty page per class stays, so that a lone block does not take and give a page each time.
  const alone = load<u32>(partialHead + (sizeClass << 2)) === page && load<u32>(at, NEXT) === 0;
  if (alone) return;
  unlinkPartial(page, sizeClass);
  givePages(page, 1);
}
