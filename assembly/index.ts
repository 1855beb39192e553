/**
 * The engine's exports: what the host calls per chunk, per turn, and per control packet.
 */
import { recordOf } from "./connection";
import { hasHolders, sendInOrder } from "./held";
import { journalBytes, journalReset } from "./journal";
import { nextTurn } from "./settings";
import { hasCommitWaiters } from "./window";

export { takeEvents } from "./connection";
export { cutPacket, decodePacket, firstFilter, nextFilter } from "./decode";
export {
  journalApartAt,
  journalApartBytes,
  journalApartCount,
  journalBytes,
  journalFree,
  journalPage,
  journalWill,
} from "./journal";
export {
  acceptConnection,
  closeConnection,
  committed,
  flushDone,
  openConnection,
  written,
} from "./lifecycle";
export { cacheBytes, cacheCount, clearCache, lookup, match, releaseList } from "./match-cache";
export {
  alloc as allocBlock,
  free as freeBlock,
  heapBlocksUsed,
  heapBytesCap,
  heapBytesCommitted,
  heapBytesUsed,
  memoryStart,
  memoryTight,
} from "./memory";
export { flush } from "./out";
export { decodePublish } from "./publish-decode";
export { inject, park, receive, resume } from "./receive";
export { dumpSession, replay, replayApart } from "./replay";
export { continueRetained, dropRetained, retainedRoom, startRetained } from "./retained";
export { retainedCount } from "./retained-tree";
export {
  attachSession,
  createSession,
  detachSession,
  endSession,
  findSession,
  firstSession,
  freeSessionTable,
  sessionCount,
  setExpiry,
  setSessionSeed,
} from "./session";
export { configure, setClock } from "./settings";
export { addSubscription, removeSubscription } from "./subscriptions";
export { setHashSeed } from "./topic";
export {
  filterOf,
  nextSubscription,
  subscriptionCount,
  subscriptionIdentifier,
  subscriptionOptions,
} from "./topic-tree";
export { topicNameStatus, utf8Valid } from "./utf8";
export { pump } from "./window";

/**
 * Sends a packet of the control plane behind the acknowledgements that wait.
 *
 * @param hold  1: only after the page being filled is committed
 * @returns 1, or 0 where there is no memory: close the connection
 */
export function send(connection: u32, at: usize, bytes: u32, hold: u32): u32 {
  return sendInOrder(recordOf(connection), at, bytes, hold !== 0) ? 1 : 0;
}

/**
 * 1 where the turn is to be ended and committed: records are written, or something waits for it.
 */
export function turnPending(): u32 {
  return journalBytes() !== 0 || hasHolders() || hasCommitWaiters() ? 1 : 0;
}

/** Ends the page being filled and forgets it. @returns its turn, for committed() */
export function endTurn(): u32 {
  journalReset();
  return nextTurn();
}
