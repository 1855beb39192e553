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
import { isReserved } from "./reserved-names";
import { SESSION_ACCESS } from "./session-layout";
import { TOPIC_ALIAS, VERSION_5 } from "./spec";
import { topicNameStatus } from "./utf8";

/** findReceivers(): the client may not publish to this topic. */
export const DENIED: i32 = -3;

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
  const at: usize = load<u32>(DECODED, D_TOPIC_AT);
  if (isReserved(at, load<u32>(DECODED, D_TOPIC_BYTES))) return 0;
  return load<u32>(session, SESSION_ACCESS) === 0 ? 1 : mayPublish(session, first);
}
