/**
 * What is to be sent of the retained messages upon SUBSCRIBE: see retained.ts.
 *
 *   job: ┌──────┬────────┬─────────┬────────────┬───────┬───────┬──────┬────────┬─────────┬──────┐
 *        │ next │ cursor │ options │ identifier │ bytes │ asked │ seen │ passed │ changes │ text │
 *        └──────┴────────┴─────────┴────────────┴───────┴───────┴──────┴────────┴─────────┴──────┘
 *
 * One per Topic Filter, in the order of the SUBSCRIBE. A Session whose connection ends keeps those
 * of QoS 1 and 2, without their cursors: an open one would keep the tree from shrinking. They go on
 * where they were, unless topics have come or gone meanwhile: then they begin anew. Those that are
 * not done in the turn of their SUBSCRIBE are on record (retained-due.ts).
 */
import { E_RETAINED, NO_MEMORY, SCRATCH } from "./abi";
import {
  C_FLAGS,
  C_RETAINED_BYTES,
  C_RETAINED_JOBS,
  C_RETAINED_LAST,
  C_RETAINED_WAITS,
  connectionOf,
  raise,
  recordOf,
} from "./connection";
import { alloc, free, memoryTight } from "./memory";
import { releaseMessage } from "./message";
import { cursorClose, cursorOpen } from "./retained-cursor";
import { noteDue } from "./retained-due";
import { retainedChanges, retainedCount } from "./retained-tree";
import { SESSION_FLAGS, SESSION_OWES_RETAINED, SESSION_RETAINED } from "./session-layout";
import { OPTION_QOS, OPTION_RETAINED_DUE } from "./spec";
import {
  filterOf,
  nextSubscription,
  subscriptionIdentifier,
  subscriptionOf,
  subscriptionOptions,
} from "./topic-tree";

const J_NEXT: u32 = 0;
export const J_CURSOR: u32 = 4;
export const J_OPTIONS: u32 = 8;
export const J_IDENTIFIER: u32 = 12;
const J_FILTER_BYTES: u32 = 16;
/** A message whose publisher the host judges now, held; or 0. */
export const J_ASKED: u32 = 20;
/** Messages that its cursor came to; of those so many are to be passed over. */
const J_SEEN: u32 = 24;
const J_PASSED: u32 = 28;
/** u64: retainedChanges() when the cursor was opened. */
const J_CHANGES: u32 = 32;
const J_FILTER: u32 = 40;

/** Jobs that one connection may have, bytes: past it a SUBSCRIBE is refused. */
const JOBS_BYTES_MAX: u32 = 4 * 1024 * 1024;
/** Whether a SUBSCRIBE of so many bytes may add its jobs. */
export function retainedRoom(connection: u32, filterBytes: u32): bool {
  if (retainedCount() === 0) return true;
  return load<u32>(recordOf(connection), C_RETAINED_BYTES) + filterBytes <= JOBS_BYTES_MAX;
}

/**
 * Notes that the retained messages of a filter are to be sent; continueRetained() sends them.
 *
 * @returns 0, or NO_MEMORY
 */
export function startRetained(
  connection: u32,
  filterAt: usize,
  filterBytes: u32,
  options: u32,
  identifier: u32,
): i32 {
  if (retainedCount() === 0) return 0;
  const record = recordOf(connection);
  const job = alloc(J_FILTER + filterBytes);
  if (job === 0) return NO_MEMORY;
  memory.fill(job, 0, J_FILTER);
  store<u32>(job, options, J_OPTIONS);
  store<u32>(job, identifier, J_IDENTIFIER);
  store<u32>(job, filterBytes, J_FILTER_BYTES);
  memory.copy(job + J_FILTER, filterAt, filterBytes);
  if (load<u32>(record, C_RETAINED_JOBS) === 0) store<u32>(record, <u32>job, C_RETAINED_JOBS);
  else store<u32>(load<u32>(record, C_RETAINED_LAST), <u32>job, J_NEXT);
  store<u32>(record, <u32>job, C_RETAINED_LAST);
  addJobBytes(record, J_FILTER + filterBytes);
  return 0;
}

function addJobBytes(record: usize, bytes: i32): void {
  store<u32>(record, load<u32>(record, C_RETAINED_BYTES) + bytes, C_RETAINED_BYTES);
}

/** The first job of the connection is over. */
export function endJob(record: usize): void {
  const job: usize = load<u32>(record, C_RETAINED_JOBS);
  addJobBytes(record, -(<i32>(J_FILTER + load<u32>(job, J_FILTER_BYTES))));
  store<u32>(record, load<u32>(job, J_NEXT), C_RETAINED_JOBS);
  stopJob(job);
  free(job);
}

/** Whether the subscription that the job was made for is still there [MQTT-3.10.4-2]. */
export function isSubscribed(job: usize, session: usize): bool {
  return subscriptionOf(session, job + J_FILTER, load<u32>(job, J_FILTER_BYTES)) !== 0;
}

/** All that the first job of the connection was to send is sent, or in the queue. */
export function finishJob(record: usize, session: usize): void {
  const job: usize = load<u32>(record, C_RETAINED_JOBS);
  if (load<u32>(job, J_OPTIONS) & OPTION_RETAINED_DUE) {
    noteDue(session, job + J_FILTER, load<u32>(job, J_FILTER_BYTES), false);
  }
  endJob(record);
}

/** The turn ends with jobs left: they are put on record. */
export function recordJobs(record: usize, session: usize): void {
  let job: usize = load<u32>(record, C_RETAINED_JOBS);
  while (job !== 0) {
    const options = load<u32>(job, J_OPTIONS);
    if (
      options & OPTION_QOS &&
      !(options & OPTION_RETAINED_DUE) &&
      noteDue(session, job + J_FILTER, load<u32>(job, J_FILTER_BYTES), true)
    ) {
      store<u32>(job, options | OPTION_RETAINED_DUE, J_OPTIONS);
    }
    job = load<u32>(job, J_NEXT);
  }
}

/**
 * Makes the jobs that a Session had when the broker ended, of its subscriptions. Filters pass
 * through SCRATCH.
 */
export function startOwed(record: usize, session: usize): void {
  const flags = load<u32>(session, SESSION_FLAGS);
  if (!(flags & SESSION_OWES_RETAINED)) return;
  store<u32>(session, flags & ~SESSION_OWES_RETAINED, SESSION_FLAGS);
  let subscription = nextSubscription(session, 0);
  while (subscription !== 0) {
    const options = subscriptionOptions(subscription);
    if (options & OPTION_RETAINED_DUE) {
      const bytes = filterOf(subscription, SCRATCH);
      const identifier = subscriptionIdentifier(subscription);
      if (retainedCount() === 0) noteDue(session, SCRATCH, bytes, false);
      else startRetained(connectionOf(record), SCRATCH, bytes, options, identifier);
    }
    subscription = nextSubscription(session, subscription);
  }
}

/** Frees the jobs: the connection closes. */
export function dropRetainedJobs(record: usize): void {
  while (load<u32>(record, C_RETAINED_JOBS) !== 0) endJob(record);
}

/** Opens the job's cursor. @returns false: no memory */
export function openJob(job: usize): bool {
  const cursor = cursorOpen(job + J_FILTER, load<u32>(job, J_FILTER_BYTES));
  if (cursor === 0) return false;
  store<u32>(job, <u32>cursor, J_CURSOR);
  const isSame = load<u64>(job, J_CHANGES) === retainedChanges();
  store<u32>(job, isSame ? load<u32>(job, J_SEEN) : 0, J_PASSED);
  store<u32>(job, 0, J_SEEN);
  store<u64>(job, retainedChanges(), J_CHANGES);
  return true;
}

/** Whether the message that the job's cursor has come to was sent by an earlier connection. */
export function isPast(job: usize): bool {
  const seen = load<u32>(job, J_SEEN) + 1;
  store<u32>(job, seen, J_SEEN);
  return seen <= load<u32>(job, J_PASSED);
}

/** Gives up what a job has beside itself. */
function stopJob(job: usize): void {
  const cursor: usize = load<u32>(job, J_CURSOR);
  if (cursor === 0) return;
  cursorClose(cursor);
  store<u32>(job, 0, J_CURSOR);
  const asked: usize = load<u32>(job, J_ASKED);
  if (asked !== 0) {
    // It was seen, and is to be asked about again.
    store<u32>(job, load<u32>(job, J_SEEN) - 1, J_SEEN);
    releaseMessage(asked);
    store<u32>(job, 0, J_ASKED);
  }
  // It may end before it has passed over all that an earlier connection was sent.
  store<u32>(job, max(load<u32>(job, J_SEEN), load<u32>(job, J_PASSED)), J_SEEN);
}

/** The connection of a Session that stays ends: what it is owed yet is kept with the Session. */
export function keepRetainedJobs(record: usize, session: usize): void {
  let last: usize = 0;
  while (load<u32>(record, C_RETAINED_JOBS) !== 0) {
    const job: usize = load<u32>(record, C_RETAINED_JOBS);
    if (!(load<u32>(job, J_OPTIONS) & OPTION_QOS) || memoryTight()) {
      endJob(record);
      continue;
    }
    store<u32>(record, load<u32>(job, J_NEXT), C_RETAINED_JOBS);
    stopJob(job);
    store<u32>(job, 0, J_NEXT);
    if (last === 0) store<u32>(session, <u32>job, SESSION_RETAINED);
    else store<u32>(last, <u32>job, J_NEXT);
    last = job;
  }
  store<u32>(record, 0, C_RETAINED_BYTES);
}

/** The Session has a connection again, which has no jobs yet. */
export function takeRetainedJobs(session: usize, record: usize): void {
  let job: usize = load<u32>(session, SESSION_RETAINED);
  if (job === 0 && !(load<u32>(session, SESSION_FLAGS) & SESSION_OWES_RETAINED)) return;
  store<u32>(session, 0, SESSION_RETAINED);
  store<u32>(record, <u32>job, C_RETAINED_JOBS);
  while (job !== 0) {
    addJobBytes(record, J_FILTER + load<u32>(job, J_FILTER_BYTES));
    store<u32>(record, <u32>job, C_RETAINED_LAST);
    job = load<u32>(job, J_NEXT);
  }
  if (raise(E_RETAINED, connectionOf(record), 0)) return;
  store<u32>(record, load<u32>(record, C_FLAGS) | C_RETAINED_WAITS, C_FLAGS);
}

/** The Session ends. */
export function dropKeptJobs(session: usize): void {
  let job: usize = load<u32>(session, SESSION_RETAINED);
  store<u32>(session, 0, SESSION_RETAINED);
  while (job !== 0) {
    const next: usize = load<u32>(job, J_NEXT);
    free(job);
    job = next;
  }
}
