/**
 * Mount points: what stands before all topics of a listener's clients, and what they do not see.
 *
 * A connection has the number of its mount point in the upper half of C_FLAGS; the texts are kept
 * as long as the engine. The topic of a PUBLISH that comes gets it in front of it, in a buffer of
 * its own; from a PUBLISH that goes it is cut off. Whoever has none pays for nothing: see
 * C_PACKET_BYTES_MAX in connection.ts.
 */
import { D_TOPIC_AT, D_TOPIC_BYTES, DECODED } from "./abi";
import { C_FLAGS, C_MOUNT_SHIFT, C_PACKET_BYTES_MAX, recordOf } from "./connection";
import { cutTopic, topicAt, topicBytes } from "./described";
import { alloc } from "./memory";
import { TOPIC_NAME_INVALID } from "./spec";
import { equalBytes } from "./topic";

/** Mount points that there may be: one for each listener, and those of before a reload. */
const MOUNTS_MAX: u32 = 1024;
const TOPIC_BYTES_MAX: u32 = 65535;

/** Addresses of {u32 bytes, text}, by number − 1. */
const mounts: usize = memory.data(4 * 1024, 4);
let mountCount: u32 = 0;
/** The mounted topic of the PUBLISH at hand. */
let mounted: usize = 0;

/**
 * Makes a mount point known.
 *
 * @param at  its text, copied
 * @returns its number, 1 …; 0: no memory, or there are too many
 */
export function addMount(at: usize, bytes: u32): u32 {
  for (let i: u32 = 0; i < mountCount; i++) {
    const known: usize = load<u32>(mounts + (i << 2));
    if (load<u32>(known) === bytes && equalBytes(known + 4, at, bytes)) return i + 1;
  }
  if (mountCount === MOUNTS_MAX) return 0;
  if (mounted === 0) mounted = alloc(TOPIC_BYTES_MAX + 1);
  const mount = alloc(4 + bytes);
  if (mount === 0 || mounted === 0) return 0;
  store<u32>(mount, bytes);
  memory.copy(mount + 4, at, bytes);
  store<u32>(mounts + (mountCount << 2), <u32>mount);
  return ++mountCount;
}

/** All topics of the connection stand below a mount point. @param mount  as addMount() gave it */
export function mountConnection(connection: u32, mount: u32): void {
  const record = recordOf(connection);
  store<u32>(record, load<u32>(record, C_FLAGS) | (mount << C_MOUNT_SHIFT), C_FLAGS);
  if (load<u32>(record, C_PACKET_BYTES_MAX) === 0) {
    store<u32>(record, u32.MAX_VALUE, C_PACKET_BYTES_MAX);
  }
}

/** Whether topics of the connection are mounted. Hot. */
export function isMounted(record: usize): bool {
  return load<u32>(record, C_FLAGS) >> C_MOUNT_SHIFT !== 0;
}

function mountOf(record: usize): usize {
  const number = load<u32>(record, C_FLAGS) >> C_MOUNT_SHIFT;
  return load<u32>(mounts + ((number - 1) << 2));
}

/**
 * Puts the mount point of the connection before the topic in DECODED, which is valid.
 *
 * @returns 0, or −0x90: it gets too long
 */
export function mountTopic(record: usize): i32 {
  const mount = mountOf(record);
  const before = load<u32>(mount);
  const bytes = load<u32>(DECODED, D_TOPIC_BYTES);
  if (before + bytes > TOPIC_BYTES_MAX) return -TOPIC_NAME_INVALID;
  memory.copy(mounted, mount + 4, before);
  memory.copy(mounted + before, load<u32>(DECODED, D_TOPIC_AT), bytes);
  store<u32>(DECODED, <u32>mounted, D_TOPIC_AT);
  store<u32>(DECODED, before + bytes, D_TOPIC_BYTES);
  return 0;
}

/**
 * Cuts the mount point off the described message's topic, until uncutTopic().
 *
 * @returns false: the topic does not stand below it, and is not the client's to see
 */
export function cutMount(record: usize): bool {
  const mount = mountOf(record);
  const bytes = load<u32>(mount);
  if (topicBytes <= bytes || !equalBytes(topicAt, mount + 4, bytes)) return false;
  cutTopic(bytes);
  return true;
}
