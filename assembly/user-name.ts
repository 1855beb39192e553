/**
 * Whose a Session is: the user that its client proved to be last, and the listener it came by. Kept
 * as long as the Session, also in the store: what it may read is judged while it is away.
 *
 *   block at SESSION_ID_AT      ┌───────────────────┬───┬───────────┐   the zero and the name only
 *                               │ Client Identifier │ 0 │ user name │   where there is a name
 *                               └───────────────────┴───┴───────────┘
 */
import { NO_MEMORY } from "./abi";
import { describeOrigin } from "./described";
import { journalUser } from "./journal";
import { alloc, free } from "./memory";
import { M_RETAIN } from "./message";
import { sourceEpoch } from "./retained-source";
import {
  SESSION_DURABLE,
  SESSION_FLAGS,
  SESSION_ID_AT,
  SESSION_ID_BYTES,
  SESSION_LISTENER,
  SESSION_SUBSCRIPTIONS,
  SESSION_USER_BYTES,
} from "./session-layout";
import { FLAG_RETAIN } from "./spec";
import { treeChanged } from "./topic-tree";

/** Address of the Session's user name, of load<u16>(session, SESSION_USER_BYTES) bytes. */
export function userNameOf(session: usize): usize {
  return load<u32>(session, SESSION_ID_AT) + load<u32>(session, SESSION_ID_BYTES) + 1;
}

/**
 * Notes whose the Session is.
 *
 * @param at  the user name, copied; 0 bytes: it has none
 * @param listener  its key; 0: it does not matter
 * @returns 0, or NO_MEMORY with nothing changed
 */
export function setUser(session: usize, at: usize, bytes: u32, listener: u32): i32 {
  const before = <u32>load<u16>(session, SESSION_USER_BYTES);
  const isSame = before === bytes && memory.compare(userNameOf(session), at, bytes) === 0;
  if (isSame && <u32>load<u16>(session, SESSION_LISTENER) === listener) return 0;
  if (!isSame) {
    const idBytes = load<u32>(session, SESSION_ID_BYTES);
    const block = alloc(max(idBytes + 1 + bytes, 1));
    if (block === 0) return NO_MEMORY;
    memory.copy(block, load<u32>(session, SESSION_ID_AT), idBytes);
    store<u8>(block + idBytes, 0);
    memory.copy(block + idBytes + 1, at, bytes);
    free(load<u32>(session, SESSION_ID_AT));
    store<u32>(session, <u32>block, SESSION_ID_AT);
    store<u16>(session, <u16>bytes, SESSION_USER_BYTES);
    // What another user may read is to be judged anew, by the same rules as well.
    if (load<u32>(session, SESSION_SUBSCRIPTIONS) !== 0) treeChanged();
  }
  store<u16>(session, <u16>listener, SESSION_LISTENER);
  if (load<u32>(session, SESSION_FLAGS) & SESSION_DURABLE) journalUser(session);
  return 0;
}

/** In place of a listener: the rules came with the login (src/protocol/authorization.ts). */
const OWN_RULES: u32 = 0xffff;

/**
 * Who published, for what is stored of it: of a retained message also the user, by whose rules it
 * is judged later. Rules that came with a login are gone then: nobody is asked.
 */
export function describePublisher(session: usize, qos: u32, first: u32): void {
  const flags = qos | (first & FLAG_RETAIN ? M_RETAIN : 0);
  if (session === 0) {
    describeOrigin(flags, 0, 0);
    return;
  }
  let bytes = load<u32>(session, SESSION_ID_BYTES);
  const isJudged = sourceEpoch !== 0 && <u32>load<u16>(session, SESSION_LISTENER) !== OWN_RULES;
  if (first & FLAG_RETAIN && isJudged) {
    bytes += 1 + <u32>load<u16>(session, SESSION_USER_BYTES);
  }
  describeOrigin(flags, load<u32>(session, SESSION_ID_AT), bytes);
}
