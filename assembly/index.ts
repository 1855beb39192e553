/**
 * The engine's exports: what the host calls per chunk, per turn, and per control packet.
 */
import { recordOf } from "./connection";
import { sendInOrder } from "./held";
import { freeBatch } from "./index-batch";
import { dropChanges } from "./index-changes";
import { freeIndex } from "./index-step";
import { journalBytes, journalFree, sealJournal } from "./journal";
import { recordTouched } from "./record";
import { freeReplayed } from "./replay";
import { dropLists, hasTouched } from "./session-lists";
import { freeStored } from "./stored";

export { internRules, mayRead, releaseRules, ruleSetBytes, ruleSetCount } from "./access";
export { isReceiver } from "./control-topic";
export { cutPacket, decodePacket, firstFilter, nextFilter } from "./decode";
export { dumpSession } from "./dump";
export { takeEvents } from "./events";
export { expireNext } from "./expiry";
export {
  answerAccess,
  guardBytes,
  limitRate,
  mayPublishWill,
  setRules,
  setTellsDenied,
} from "./guard";
export { indexOperations } from "./index-batch";
export { indexBegin, indexCommitted, indexGather, indexReplaced } from "./index-step";
export {
  journalBytes,
  journalWill,
  sealedApartAt,
  sealedApartBytes,
  sealedApartCount,
  sealedAt,
  sealedBytes,
  sealedTurn,
} from "./journal";
export {
  acceptConnection,
  closeConnection,
  committed,
  flushDone,
  isParked,
  limitQos,
  openConnection,
  setAuthenticating,
  written,
} from "./lifecycle";
export {
  loadMessage,
  loadMissing,
  loadNone,
  loadSegment,
  loadsLatest,
  loadWanted,
} from "./load";
export { cacheBytes, cacheCount, clearCache, lookup, match, releaseList } from "./match-cache";
export { sharedCount } from "./members";
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
export { addMount, mountConnection } from "./mount";
export { flush } from "./out";
export { decodePublish } from "./publish-decode";
export { inject, park, receive, resume } from "./receive";
export { loadRetained, loadSession, loadSubscriptions, recoveryEnd } from "./recover";
export { replay, replayApart, replayedWill, replayedWills } from "./replay";
export { continueRetained, dropRetained, sweepRetained } from "./retained";
export { dropKeptJobs, retainedRoom, startRetained } from "./retained-jobs";
export { judgeSource, setSources } from "./retained-source";
export { retainedCount } from "./retained-tree";
export { addQueueRule, clearQueueRules } from "./rules";
export {
  attachSession,
  createSession,
  detachSession,
  endSession,
  findSession,
  freeSessionTable,
  nextSessionNumber,
  sessionAfter,
  sessionCount,
  sessionOfNumber,
  setExpiry,
  setNumbers,
  setSessionSeed,
} from "./session";
export {
  clockMs,
  configure,
  configureQueues,
  configureShared,
  setClock,
  setPayloadsChecked,
  setRecording,
  setRefusing,
  setTurn,
} from "./settings";
export { drainShared } from "./shared";
export { pageHeld, slicesLeft } from "./slices";
export { nextMessageId, setMessageId } from "./stored";
export { addSubscription, removeSubscription } from "./subscriptions";
export { setHashSeed } from "./topic";
export {
  filterOf,
  nextSubscription,
  subscriptionCount,
  subscriptionIdentifier,
  subscriptionOptions,
} from "./topic-tree";
export { setUser } from "./user-name";
export { payloadUtf8Valid, topicNameStatus, utf8Valid } from "./utf8";
export { pump } from "./window";

/**
 * Sends a packet of the control plane behind the acknowledgements that wait.
 *
 * @param hold  1: only after what was recorded so far is committed
 * @returns 1, or 0 where there is no memory: close the connection
 */
export function send(connection: u32, at: usize, bytes: u32, hold: u32): u32 {
  return sendInOrder(recordOf(connection), at, bytes, hold !== 0) ? 1 : 0;
}

/**
 * 1 where the page being filled is to be sealed; 2 where only receivers that may acknowledge soon
 * keep something from being recorded: seal it some milliseconds later; otherwise 0.
 */
export function pagePending(): u32 {
  if (journalBytes() !== 0) return 1;
  return hasTouched() ? 2 : 0;
}

/**
 * Ends the page being filled; the last one must be committed. It stays as it is until committed().
 *
 * @param withMarks  1: how far Sessions are goes into it, and what was not acknowledged in time
 * @returns its bytes, or 0: nothing was recorded
 */
export function sealPage(withMarks: u32): u32 {
  if (withMarks !== 0) recordTouched();
  return sealJournal();
}

/** Forgets what the index is to learn: there is none. */
export function dropUnindexed(): void {
  dropLists();
  dropChanges();
}

/** Gives back what an empty engine keeps for the next time: for tests. */
export function freeSpare(): void {
  journalFree();
  dropLists();
  dropChanges();
  freeBatch();
  freeIndex();
  freeReplayed();
  freeStored();
}
