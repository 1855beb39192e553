/**
 * Lists of Sessions that something is to be done for: each has a bit in SESSION_FLAGS, so that a
 * Session stands in it once. A Session that ends stays, without a number, in the lists that name
 * it; the last of them to let go frees its record.
 */
import { free } from "./memory";
import {
  SESSION_CHANGED,
  SESSION_CHANGED_NEXT,
  SESSION_CHANGED_TURN,
  SESSION_COMMIT_NEXT,
  SESSION_FLAGS,
  SESSION_IN_PAGE,
  SESSION_NUMBER,
  SESSION_PAGE_NEXT,
  SESSION_RESUBSCRIBED,
  SESSION_WAITS_COMMIT,
} from "./session-layout";
import { isRecording, turn } from "./settings";

/** Bits of the lists. */
const LISTS: u32 = SESSION_CHANGED | SESSION_IN_PAGE | SESSION_WAITS_COMMIT;

let commitHead: u32 = 0;
let pageHead: u32 = 0;
let changedHead: u32 = 0;
let changedTail: u32 = 0;

/** Whether a list still names the record of a Session that ends: then its bits stay. */
export function isListed(session: usize): bool {
  return (load<u32>(session, SESSION_FLAGS) & LISTS) !== 0;
}

/** Clears all bits but those of the lists: the Session has ended. */
export function keepListed(session: usize): void {
  store<u32>(session, load<u32>(session, SESSION_FLAGS) & LISTS, SESSION_FLAGS);
}

/** The list of this bit lets go of the Session. @returns false where it has ended */
export function leaveList(session: usize, bit: u32): bool {
  const flags = load<u32>(session, SESSION_FLAGS) & ~bit;
  store<u32>(session, flags, SESSION_FLAGS);
  if (load<u32>(session, SESSION_NUMBER) !== 0) return true;
  if (!(flags & LISTS)) free(session);
  return false;
}

/** The Session is to be looked at when the page is sealed. Hot. */
export function touch(session: usize): void {
  const flags = load<u32>(session, SESSION_FLAGS);
  if (flags & SESSION_IN_PAGE || !isRecording) return;
  store<u32>(session, flags | SESSION_IN_PAGE, SESSION_FLAGS);
  store<u32>(session, pageHead, SESSION_PAGE_NEXT);
  pageHead = <u32>session;
}

/** Whether some Session is to be looked at. */
export function hasTouched(): bool {
  return pageHead !== 0;
}

/** First Session to be looked at; the list is then empty. */
export function takeTouched(): usize {
  const session = pageHead;
  pageHead = 0;
  return session;
}

/** Something of the Session was recorded: the index is to learn of it. */
export function changed(session: usize): void {
  store<u32>(session, turn, SESSION_CHANGED_TURN);
  const flags = load<u32>(session, SESSION_FLAGS);
  if (flags & SESSION_CHANGED) return;
  store<u32>(session, flags | SESSION_CHANGED, SESSION_FLAGS);
  store<u32>(session, 0, SESSION_CHANGED_NEXT);
  if (changedTail !== 0) store<u32>(changedTail, <u32>session, SESSION_CHANGED_NEXT);
  else changedHead = <u32>session;
  changedTail = <u32>session;
}

/** Its subscriptions are to be written with the next row. */
export function resubscribed(session: usize): void {
  store<u32>(session, load<u32>(session, SESSION_FLAGS) | SESSION_RESUBSCRIBED, SESSION_FLAGS);
}

/** First Session that changed since the last call; the list is then empty. */
export function takeChanged(): usize {
  const session = changedHead;
  changedHead = 0;
  changedTail = 0;
  return session;
}

/** Lets go of all Sessions that are listed for the page or the index. */
export function dropLists(): void {
  let session = takeTouched();
  while (session !== 0) {
    const next: usize = load<u32>(session, SESSION_PAGE_NEXT);
    leaveList(session, SESSION_IN_PAGE);
    session = next;
  }
  dropChanged(takeChanged());
}

/** Lets go of a list of Sessions that changed. */
export function dropChanged(first: usize): void {
  let session = first;
  while (session !== 0) {
    const next: usize = load<u32>(session, SESSION_CHANGED_NEXT);
    leaveList(session, SESSION_CHANGED);
    session = next;
  }
}

/** What the Session waits for goes on, as pump() has it, behind the next commit. */
export function waitForCommit(session: usize): void {
  if (!isRecording) return;
  const flags = load<u32>(session, SESSION_FLAGS);
  if (flags & SESSION_WAITS_COMMIT) return;
  store<u32>(session, flags | SESSION_WAITS_COMMIT, SESSION_FLAGS);
  store<u32>(session, commitHead, SESSION_COMMIT_NEXT);
  commitHead = <u32>session;
}

/** First Session of those that wait for a commit; the list is then empty. */
export function takeCommitWaiters(): usize {
  const session = commitHead;
  commitHead = 0;
  return session;
}
