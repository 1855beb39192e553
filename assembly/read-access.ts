/**
 * Who may be sent what, besides the receivers of topic-match.ts: members of groups, of which a
 * message goes only to one that may read it, and Sessions whose messages waited.
 */
import { mayRead, receiverMayRead, ruleSetCount } from "./access";
import {
  AWAY,
  FULL,
  firstMember,
  flagsOfMember,
  hasMembers,
  nextMember,
  READY,
  sessionOfMember,
} from "./members";
import { M_TOPIC_BYTES, topicOf } from "./message";
import { E_MESSAGE } from "./queue";
import { SESSION_ACCESS } from "./session-layout";
import { OPTION_QOS } from "./spec";

/** Members that are asked, of a group that nobody was found in: more are taken to have one. */
const ASKED_MAX: u32 = 4096;

/** Whether a member may be given a message of this topic. Hot. */
export function memberMayRead(member: usize, at: usize, bytes: u32): bool {
  const session = sessionOfMember(member);
  return load<u32>(session, SESSION_ACCESS) === 0 || mayRead(session, at, bytes);
}

function someMayRead(group: usize, last: u32, at: usize, bytes: u32): bool {
  let asked: u32 = 0;
  for (let state = READY; state <= last; state += FULL) {
    let member = firstMember(group, state);
    while (member !== 0) {
      const session = sessionOfMember(member);
      if (load<u32>(session, SESSION_ACCESS) === 0) return true;
      if (receiverMayRead(session, at, bytes) || ++asked === ASKED_MAX) return true;
      member = nextMember(member);
    }
  }
  return false;
}

/** Whether somebody of the group may read the topic that buildReceivers() matches. */
export function groupMayRead(group: usize, at: usize, bytes: u32): bool {
  // A group without members is about to end, or its members are about to be read from the store.
  if (ruleSetCount() === 0 || !hasMembers(group)) return true;
  return someMayRead(group, AWAY, at, bytes);
}

/** Whether somebody of those whose clients are there may read it. @see startReceivers */
export function presentMayRead(group: usize, at: usize, bytes: u32): bool {
  return someMayRead(group, FULL, at, bytes);
}

/** A member with QoS 1 or 2 whose client is away that may read it, or 0. @see startReceivers */
export function absentReader(group: usize, at: usize, bytes: u32): usize {
  let member = firstMember(group, AWAY);
  for (let asked: u32 = 0; member !== 0 && asked < ASKED_MAX; asked++) {
    const session = sessionOfMember(member);
    const isFree = load<u32>(session, SESSION_ACCESS) === 0;
    const isAcknowledging = (flagsOfMember(member) & OPTION_QOS) !== 0;
    if (isAcknowledging && (isFree || receiverMayRead(session, at, bytes))) return member;
    member = nextMember(member);
  }
  return 0;
}

/**
 * Whether a message that waited may not be sent: the rules have changed since it was queued, or
 * were not known then.
 */
export function isDenied(session: usize, entry: usize): bool {
  if (load<u32>(session, SESSION_ACCESS) === 0) return false;
  const message: usize = load<u32>(entry, E_MESSAGE);
  return !mayRead(session, topicOf(message), load<u32>(message, M_TOPIC_BYTES));
}
