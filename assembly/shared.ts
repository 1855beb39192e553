/**
 * A message for a group of shared subscriptions goes to one of its members, §4.8.2.
 *
 *   publish ─▶ group ─▶ a member that is there and has room
 *                 │
 *                 └──▶ the group's queue ─▶ the first member that has room again
 *
 * A member has room while less is in flight and waits than its Receive Maximum, and its output is
 * not full. Where nobody has room, or nobody is there, the message waits in the group, not with a
 * member: so it goes to whoever is there first, and no member's absence delays it. What was given
 * to a member is its own from then on, until its Session ends (leave.ts).
 */
import {
  DROPS_DENIED,
  E_CLOSE,
  J_HEAD,
  NO_MEMORY,
  S_DENIED_READ,
  S_DROPPED_MEMORY,
  S_DROPPED_SLOW,
} from "./abi";
import { startReceivers } from "./access";
import { isDurable, keepsUnacknowledged } from "./admission";
import { C_FLAGS, C_OUT_BYTES, C_WANTS_PUMP, connectionOf, raise } from "./connection";
import { describeStored, topicAt, topicBytes } from "./described";
import { retainFlag, sendPublish } from "./encode";
import { tellShared } from "./groups";
import { journalFull, journalSequence } from "./journal";
import { keepLatestOfAll } from "./latest";
import {
  AWAY,
  FULL,
  firstMember,
  flagsOfMember,
  groupOfMember,
  moveLast,
  moveMember,
  nextAside,
  nextMember,
  READY,
  sessionOfMember,
  setTold,
  stateOfMember,
  stuckSlot,
} from "./members";
import { memoryTight } from "./memory";
import { idBytesOfPublisher, M_EXPIRES_MS, M_QOS, M_RETAIN, publisherOf } from "./message";
import {
  dropExpired,
  dropQueued,
  E_FLAGS,
  E_MESSAGE,
  firstUnsent,
  freeEntry,
  hasQueued,
  isFull,
  isGapFirst,
  unqueue,
} from "./queue";
import { absentReader, memberMayRead, presentMayRead } from "./read-access";
import { hasKeepingRules, hasRules } from "./rules";
import { hashOf } from "./session";
import {
  SESSION_CONNECTION,
  SESSION_CURSOR,
  SESSION_FLAGS,
  SESSION_ID_HASH,
  SESSION_IN_FLIGHT,
  SESSION_NEXT,
  SESSION_NUMBER,
  SESSION_OWES_SHARED,
  SESSION_QUEUE_HEAD,
  SESSION_QUEUED_COUNT,
  SESSION_RECEIVE_MAXIMUM,
  SESSION_RECORDED_HEAD,
  SESSION_RESEND,
  SESSION_SHARES,
} from "./session-layout";
import { waitForCommit } from "./session-lists";
import {
  count,
  nowMs,
  outgoingBytesMax,
  queuedBytesMax,
  queuedMessagesMax,
  sharedStrategy,
} from "./settings";
import { setGroupAtHand } from "./shared-entry";
import { jumpHead, windowOpen } from "./slots";
import {
  ENTRY_QOS_MASK,
  ENTRY_RETAIN_AS_PUBLISHED,
  FLAGS_ENTRY_SHIFT,
  SUBSCRIPTION_IDENTIFIER,
} from "./topic-tree";
import { owe, queueForGroup, wantLoad } from "./window";

export const LEAST_INFLIGHT: u32 = 1;
export const STICKY_BY_PUBLISHER: u32 = 2;

/**
 * Members that are looked at for one message. Who has no room is not looked at again before it has;
 * so this is only reached where very many have none at once, or have just been there no more.
 */
const LOOKED_AT_MAX: u32 = 16;
/** Messages that leave a group's queue in one go; the rest follow in the next turn. */
const DRAINED_MAX: u32 = 1024;
/** Times that members are looked at in vain in one go. */
const ROUNDS_MAX: u32 = 64;

/** Whether choose() or chooseReading() passed over anybody who may not read the message. */
let someIsDenied: bool = false;
/** Whether chooseReading() or isReading() found anybody whose client is there. */
let someIsThere: bool = false;

/** Whether its client takes another message of QoS 1 or 2. Hot. */
function hasRoom(session: usize, record: usize): bool {
  const queued = load<u32>(session, SESSION_QUEUED_COUNT);
  // What waits for its record waits in the queue: no message is to be dropped from there.
  if (queued !== 0 && (hasRules() || isFull(session, 0, queuedMessagesMax, queuedBytesMax))) {
    return false;
  }
  return (
    load<u32>(session, SESSION_IN_FLIGHT) + queued < load<u32>(session, SESSION_RECEIVE_MAXIMUM) &&
    load<u64>(session, SESSION_RESEND) === load<u64>(session, SESSION_CURSOR) &&
    load<u32>(record, C_OUT_BYTES) < outgoingBytesMax &&
    windowOpen(session, load<u64>(session, SESSION_NEXT))
  );
}

function wantPump(record: usize): void {
  if (load<u32>(record, C_OUT_BYTES) < outgoingBytesMax) return;
  store<u32>(record, load<u32>(record, C_FLAGS) | C_WANTS_PUMP, C_FLAGS);
}

/** Whether the member has room; if not it is set aside until it has. Hot. */
function isReady(member: usize): bool {
  const session = sessionOfMember(member);
  const record: usize = load<u32>(session, SESSION_CONNECTION);
  if (record === 0) {
    moveMember(member, AWAY);
    return false;
  }
  if (hasRoom(session, record)) return true;
  moveMember(member, FULL);
  wantPump(record);
  return false;
}

/** Whether the member may read the message at hand; if not its turn passes. Hot. */
function mayHave(member: usize): bool {
  if (memberMayRead(member, topicAt, topicBytes)) return true;
  someIsDenied = true;
  moveLast(member);
  return false;
}

/** The member that this publisher's messages went to, if it has room. */
function stuckMember(slot: usize): usize {
  const member: usize = slot === 0 ? 0 : load<u32>(slot);
  if (member === 0 || stateOfMember(member) !== READY) return 0;
  return mayHave(member) && isReady(member) ? member : 0;
}

/**
 * Chooses who gets the next message. O(1): see LOOKED_AT_MAX. Hot.
 *
 * @param publisher  hash of its Client Identifier
 * @returns a member that has room, or 0
 */
function choose(group: usize, publisher: u32): usize {
  someIsDenied = false;
  let slot: usize = 0;
  if (sharedStrategy === STICKY_BY_PUBLISHER) {
    slot = stuckSlot(group, publisher);
    const stuck = stuckMember(slot);
    if (stuck !== 0) return stuck;
  }
  let best: usize = 0;
  let fewest = u32.MAX_VALUE;
  let member = firstMember(group, READY);
  for (let i: u32 = 0; i < LOOKED_AT_MAX && member !== 0; i++) {
    const next = nextMember(member);
    if (mayHave(member) && isReady(member)) {
      const inFlight = load<u32>(sessionOfMember(member), SESSION_IN_FLIGHT);
      if (inFlight < fewest) best = member;
      fewest = min(fewest, inFlight);
      if (sharedStrategy !== LEAST_INFLIGHT || fewest === 0) break;
    }
    member = next;
  }
  if (best === 0) return 0;
  moveLast(best);
  if (slot !== 0) store<u32>(slot, <u32>best);
  return best;
}

/** Sends the described message as QoS 0. Hot. */
function sendUnacknowledged(member: usize, record: usize, retain: bool): void {
  if (memoryTight()) {
    count(S_DROPPED_MEMORY, 1);
    return;
  }
  const identifier = load<u32>(member, SUBSCRIPTION_IDENTIFIER);
  const status = sendPublish(record, 0, retainFlag(retain), 0, false, identifier);
  if (status === NO_MEMORY) raise(E_CLOSE, connectionOf(record), 0x97);
}

/**
 * Gives the described message to a member that has room, as its own subscription has it. Hot.
 *
 * @returns whether a durable Session is owed it now
 */
function give(member: usize, qos: u32, retained: bool): bool {
  const session = sessionOfMember(member);
  const bits = flagsOfMember(member) >> FLAGS_ENTRY_SHIFT;
  const retain = retained && (bits & ENTRY_RETAIN_AS_PUBLISHED) !== 0;
  const effective = min(qos, bits & ENTRY_QOS_MASK); // [MQTT-4.8.2-3]
  if (effective === 0) {
    sendUnacknowledged(member, load<u32>(session, SESSION_CONNECTION), retain);
    return false;
  }
  store<u32>(session, load<u32>(session, SESSION_FLAGS) | SESSION_OWES_SHARED, SESSION_FLAGS);
  setGroupAtHand(load<u32>(groupOfMember(member), SESSION_NUMBER));
  const identifier = load<u32>(member, SUBSCRIPTION_IDENTIFIER);
  const owed = owe(session, effective, retain, false, identifier);
  setGroupAtHand(0);
  return owed && isDurable(session);
}

/** Whether the member's client is there and reads, whatever its window. Hot. */
function isReading(member: usize): bool {
  const record: usize = load<u32>(sessionOfMember(member), SESSION_CONNECTION);
  if (record === 0) {
    moveMember(member, AWAY);
    return false;
  }
  someIsThere = true;
  return load<u32>(record, C_OUT_BYTES) < outgoingBytesMax;
}

/** Chooses who gets the next QoS 0 message, as choose() does. @returns a member, or 0. Hot. */
function chooseReading(group: usize, publisher: u32): usize {
  someIsThere = false;
  someIsDenied = false;
  let slot: usize = 0;
  if (sharedStrategy === STICKY_BY_PUBLISHER) {
    slot = stuckSlot(group, publisher);
    const stuck: usize = slot === 0 ? 0 : load<u32>(slot);
    const isThere = stuck !== 0 && stateOfMember(stuck) !== AWAY;
    if (isThere && mayHave(stuck) && isReading(stuck)) return stuck;
  }
  let best: usize = 0;
  let fewest = u32.MAX_VALUE;
  for (let state = READY; state <= FULL && best === 0; state += FULL) {
    let member = firstMember(group, state);
    for (let i: u32 = 0; i < LOOKED_AT_MAX && member !== 0; i++) {
      const next = nextMember(member);
      if (mayHave(member) && isReading(member)) {
        const inFlight = load<u32>(sessionOfMember(member), SESSION_IN_FLIGHT);
        if (inFlight < fewest) best = member;
        fewest = min(fewest, inFlight);
        if (sharedStrategy !== LEAST_INFLIGHT || fewest === 0) break;
      }
      member = next;
    }
  }
  if (best === 0) return 0;
  moveLast(best);
  if (slot !== 0) store<u32>(slot, <u32>best);
  return best;
}

/** QoS 0: to who is there and reads; where nobody is there it waits if the operator says so. */
function giveUnacknowledged(group: usize, retained: bool, publisher: u32): void {
  const member = chooseReading(group, publisher);
  if (member !== 0) {
    give(member, 0, retained);
    return;
  }
  if (someIsThere || someIsDenied) {
    count(someIsThere ? S_DROPPED_SLOW : S_DENIED_READ, 1);
    return;
  }
  if (!isDurable(group)) return;
  if (keepsUnacknowledged()) queueForGroup(group, 0, retained);
}

/**
 * Delivers the described message, for which the group has one of its receivers. Hot.
 *
 * @param publisher  Session of who published it, or 0
 * @returns whether a durable Session is owed it now
 */
export function giveToGroup(group: usize, qos: u32, retained: bool, publisher: usize): bool {
  const hash = publisher !== 0 ? load<u32>(publisher, SESSION_ID_HASH) : 0;
  if (qos === 0) {
    giveUnacknowledged(group, retained, hash);
    return false;
  }
  if (!hasQueued(group)) {
    const member = choose(group, hash);
    if (member !== 0) return give(member, qos, retained);
  }
  const owed = queueForGroup(group, qos, retained);
  // Somebody was not looked at.
  if (firstMember(group, READY) !== 0) tellShared(group);
  return owed && isDurable(group);
}

/** Whether a message for the group need not be queued: somebody may have room, nothing waits. */
export function mayGive(group: usize): bool {
  return !hasQueued(group) && firstMember(group, READY) !== 0;
}

/**
 * What a group's queue has gave way to its members: all before is done, in the page that has it for
 * them, so that after a crash it is there once.
 */
function passDrained(group: usize): void {
  const first = firstUnsent(group, load<u64>(group, SESSION_NEXT));
  jumpHead(group, first);
  if (!isDurable(group)) return;
  store<u64>(group, first, SESSION_RECORDED_HEAD);
  journalSequence(J_HEAD, group, first);
}

/** Gives what waits in the group to members that have room, oldest first. */
export function drain(group: usize): void {
  let given: u32 = 0;
  let rounds: u32 = 0;
  let isStuck = false;
  while (hasQueued(group) && rounds < ROUNDS_MAX) {
    if (journalFull()) {
      waitForCommit(group);
      break;
    }
    if (given === DRAINED_MAX || firstMember(group, READY) === 0) break;
    if (isGapFirst(group)) {
      wantLoad(group);
      break;
    }
    const first: usize = load<u32>(group, SESSION_QUEUE_HEAD);
    const message: usize = load<u32>(first, E_MESSAGE);
    const expires = load<u64>(message, M_EXPIRES_MS);
    if (expires !== 0 && expires <= nowMs) {
      dropExpired(group);
      continue;
    }
    const publisherBytes = idBytesOfPublisher(message);
    const hash = publisherBytes === 0 ? 0 : hashOf(publisherOf(message), publisherBytes);
    describeStored(message);
    let member = choose(group, hash);
    if (member === 0) {
      rounds++;
      if (!someIsDenied) continue;
      startReceivers();
      // Somebody else's turn comes with room for it.
      if (presentMayRead(group, topicAt, topicBytes)) {
        isStuck = true;
        break;
      }
      // Nobody who is there may read it: what is behind it is not to wait.
      const isKept = (load<u32>(first, E_FLAGS) & M_QOS) !== 0;
      if (isKept) member = absentReader(group, topicAt, topicBytes);
      if (member === 0) {
        dropQueued(group, S_DENIED_READ, DROPS_DENIED);
        continue;
      }
    }
    const entry = unqueue(group);
    const flags = load<u32>(entry, E_FLAGS);
    give(member, flags & M_QOS, (flags & M_RETAIN) !== 0);
    freeEntry(entry);
    given++;
  }
  if (given !== 0) passDrained(group);
  if (isStuck) return;
  if (isGapFirst(group) || journalFull() || firstMember(group, READY) === 0) return;
  if (hasQueued(group)) tellShared(group);
}

/** What E_DRAIN asks for. */
export function drainShared(group: usize, number: u32): void {
  if (load<u32>(group, SESSION_NUMBER) !== number) return;
  setTold(group, false);
  drain(group);
}

/** The Session's client is back: what waits in groups of which nobody else is there. */
export function keepLatestOfGroups(session: usize): void {
  if (!hasKeepingRules()) return;
  let member = nextAside(session, 0);
  while (member !== 0) {
    const group = groupOfMember(member);
    const isAlone = firstMember(group, READY) === 0 && firstMember(group, FULL) === 0;
    if (isAlone) keepLatestOfAll(group);
    member = nextAside(session, member);
  }
}

/** The Session has room, it may be: groups that had set it aside look at it again. */
export function serveGroups(session: usize, record: usize): void {
  for (;;) {
    const member: usize = load<u32>(session, SESSION_SHARES);
    if (member === 0) return;
    if (!hasRoom(session, record)) {
      wantPump(record);
      return;
    }
    moveMember(member, READY);
    const group = groupOfMember(member);
    if (hasQueued(group)) drain(group);
  }
}
