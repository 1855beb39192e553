/**
 * Who wants the PUBLISH in DECODED: its topic, named or by alias, and the list of its receivers.
 */
import { D_TOPIC_AT, D_TOPIC_BYTES, DECODED, NO_MEMORY } from "./abi";
import { resolveAlias } from "./alias";
import { C_SESSION } from "./connection";
import { isControlTopic, takeControl } from "./control-topic";
import { mayPublish } from "./guard";
import { lookup, match, releaseList } from "./match-cache";
import { isMounted, mountTopic } from "./mount";
import { hasProperty } from "./properties";
import { SESSION_ACCESS } from "./session-layout";
import { TOPIC_ALIAS, VERSION_5 } from "./spec";
import { DOLLAR_SIGN, equalBytes, levelEnd, SLASH } from "./topic";
import { topicNameStatus } from "./utf8";

/** findReceivers(): the client may not publish to this topic. */
export const DENIED: i32 = -3;

/** `$SYS/`, `$share/`; `$SYS/broker/connection/`, `/state`. */
const SYS: usize = memory.data<u8>([0x24, 0x53, 0x59, 0x53]);
const SHARE: usize = memory.data<u8>([0x24, 0x73, 0x68, 0x61, 0x72, 0x65]);
const BRIDGE: usize = memory.data<u8>([
  0x24, 0x53, 0x59, 0x53, 0x2f, 0x62, 0x72, 0x6f, 0x6b, 0x65, 0x72, 0x2f, 0x63, 0x6f, 0x6e, 0x6e,
  0x65, 0x63, 0x74, 0x69, 0x6f, 0x6e, 0x2f,
]);
const BRIDGE_BYTES: u32 = 23;
const STATE: usize = memory.data<u8>([0x2f, 0x73, 0x74, 0x61, 0x74, 0x65]);
const STATE_BYTES: u32 = 6;

/**
 * Finds who wants the topic in DECODED, resolves its alias, and asks whether the client may publish
 * to it. Hot.
 *
 * @param first  first byte of the packet
 * @returns the list, with a reference for the caller; NO_MEMORY, DENIED, R_ACCESS, −Reason Code;
 *   R_CONTROL, R_DONE: it is for the host, or for nobody
 */
export function findReceivers(record: usize, version: u32, first: u32): i64 {
  if (isMounted(record)) return findMounted(record, version, first);
  let topicBytes = load<u32>(DECODED, D_TOPIC_BYTES);
  let list: usize = 0;
  if (topicBytes !== 0) {
    list = lookup(load<u32>(DECODED, D_TOPIC_AT), topicBytes);
    if (list === 0) {
      const status = topicNameStatus(load<u32>(DECODED, D_TOPIC_AT), topicBytes);
      if (status < 0) return status;
    }
  }
  if (version === VERSION_5 && hasProperty(TOPIC_ALIAS)) {
    const status = resolveAlias(record);
    if (status < 0) {
      if (list !== 0) releaseList(list);
      return status;
    }
    if (topicBytes === 0) {
      topicBytes = load<u32>(DECODED, D_TOPIC_BYTES);
      list = lookup(load<u32>(DECODED, D_TOPIC_AT), topicBytes);
    }
  }
  const session: usize = load<u32>(record, C_SESSION);
  if (session !== 0) {
    const access = admitTopic(session, first);
    if (access !== 1) {
      if (list !== 0) releaseList(list);
      return access === 0 ? DENIED : access;
    }
  }
  if (isControlTopic()) {
    if (list !== 0) releaseList(list);
    return takeControl(record, session, (first >> 1) & 3);
  }
  if (list === 0) list = match(load<u32>(DECODED, D_TOPIC_AT), topicBytes);
  return list === 0 ? NO_MEMORY : <i64>list;
}

/** As findReceivers(), where topics of the connection are mounted. */
function findMounted(record: usize, version: u32, first: u32): i64 {
  const topicBytes = load<u32>(DECODED, D_TOPIC_BYTES);
  if (topicBytes !== 0) {
    const status = topicNameStatus(load<u32>(DECODED, D_TOPIC_AT), topicBytes);
    if (status < 0) return status;
  }
  const status = mountDecoded(record, version);
  if (status < 0) return status;
  const at = load<u32>(DECODED, D_TOPIC_AT);
  let list = lookup(at, load<u32>(DECODED, D_TOPIC_BYTES));
  const session: usize = load<u32>(record, C_SESSION);
  const access = session === 0 ? 1 : admitTopic(session, first);
  if (access !== 1) {
    if (list !== 0) releaseList(list);
    return access === 0 ? DENIED : access;
  }
  if (list === 0) list = match(at, load<u32>(DECODED, D_TOPIC_BYTES));
  return list === 0 ? NO_MEMORY : <i64>list;
}

/** Resolves the alias in DECODED, and puts the mount point before its topic, if there are any. */
export function mountDecoded(record: usize, version: u32): i32 {
  if (version === VERSION_5 && hasProperty(TOPIC_ALIAS)) {
    const status = resolveAlias(record);
    if (status < 0) return status;
  }
  return isMounted(record) ? mountTopic(record) : 0;
}

/** Whether the client may publish to the topic in DECODED. @returns as mayPublish(). Hot. */
function admitTopic(session: usize, first: u32): i32 {
  if (isReserved()) return 0;
  return load<u32>(session, SESSION_ACCESS) === 0 ? 1 : mayPublish(session, first);
}

function beginsWith(at: usize, bytes: u32, prefix: usize, prefixBytes: u32): bool {
  return bytes >= prefixBytes && equalBytes(at, prefix, prefixBytes);
}

/**
 * Whether the topic in DECODED is one that no client may publish to: `$SYS`, but for the state of a
 * bridge, which the other broker tells; what looks like a shared subscription. Hot.
 */
function isReserved(): bool {
  const at: usize = load<u32>(DECODED, D_TOPIC_AT);
  return load<u8>(at) === DOLLAR_SIGN && isReservedName(at, load<u32>(DECODED, D_TOPIC_BYTES));
}

function isReservedName(at: usize, bytes: u32): bool {
  if (beginsWith(at, bytes, SHARE, 6)) return true;
  if (!beginsWith(at, bytes, SYS, 4)) return false;
  if (!beginsWith(at, bytes, BRIDGE, BRIDGE_BYTES)) return true;
  const end = at + bytes;
  const stop = levelEnd(at + BRIDGE_BYTES, end);
  if (<u32>(end - stop) !== STATE_BYTES || load<u8>(stop) !== SLASH) return true;
  return !equalBytes(stop, STATE, STATE_BYTES);
}
