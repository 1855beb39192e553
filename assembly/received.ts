/**
 * Packet Identifiers of QoS 2 messages received and not yet released: Session State
 * [MQTT-4.3.3-10].
 *
 * A bitmap of 65536 bits in chunks of 4096, each with a count in front, present only while it has a
 * bit. A directory block of 16 addresses is there while the Session has any.
 */
import { NO_MEMORY } from "./abi";
import { alloc, free } from "./memory";
import { SESSION_RECEIVED, SESSION_RECEIVED_COUNT } from "./session-layout";

const DIRECTORY_BYTES: u32 = 64;
const CHUNK_SHIFT: u32 = 12;
const CHUNK_BITS: u32 = 4096;
const C_COUNT: u32 = 0;
const C_BITS: u32 = 8;
const CHUNK_BYTES: u32 = 8 + 512;

function chunkOf(session: usize, packetIdentifier: u32): usize {
  const directory = load<u32>(session, SESSION_RECEIVED);
  if (directory === 0) return 0;
  return load<u32>(directory + ((packetIdentifier >> CHUNK_SHIFT) << 2));
}

/** Whether this identifier is received and not released. Hot. */
export function isReceived(session: usize, packetIdentifier: u32): bool {
  const chunk = chunkOf(session, packetIdentifier);
  if (chunk === 0) return false;
  const bit = packetIdentifier & (CHUNK_BITS - 1);
  return ((load<u8>(chunk + (bit >> 3), C_BITS) >> <u8>(bit & 7)) & 1) !== 0;
}

/** Adds an identifier that is not there. @returns 0, or NO_MEMORY with nothing changed */
export function addReceived(session: usize, packetIdentifier: u32): i32 {
  let directory: usize = load<u32>(session, SESSION_RECEIVED);
  if (directory === 0) {
    directory = alloc(DIRECTORY_BYTES);
    if (directory === 0) return NO_MEMORY;
    memory.fill(directory, 0, DIRECTORY_BYTES);
    store<u32>(session, <u32>directory, SESSION_RECEIVED);
  }
  const slot = directory + ((packetIdentifier >> CHUNK_SHIFT) << 2);
  let chunk: usize = load<u32>(slot);
  if (chunk === 0) {
    chunk = alloc(CHUNK_BYTES);
    if (chunk === 0) return NO_MEMORY;
    memory.fill(chunk, 0, CHUNK_BYTES);
    store<u32>(slot, <u32>chunk);
  }
  const bit = packetIdentifier & (CHUNK_BITS - 1);
  const at = chunk + (bit >> 3);
  store<u8>(at, load<u8>(at, C_BITS) | ((<u8>1) << (<u8>(bit & 7))), C_BITS);
  store<u32>(chunk, load<u32>(chunk, C_COUNT) + 1, C_COUNT);
  store<u32>(session, load<u32>(session, SESSION_RECEIVED_COUNT) + 1, SESSION_RECEIVED_COUNT);
  return 0;
}

/** Takes an identifier out. @returns whether it was there */
export function removeReceived(session: usize, packetIdentifier: u32): bool {
  if (!isReceived(session, packetIdentifier)) return false;
  const directory: usize = load<u32>(session, SESSION_RECEIVED);
  const slot = directory + ((packetIdentifier >> CHUNK_SHIFT) << 2);
  const chunk: usize = load<u32>(slot);
  const bit = packetIdentifier & (CHUNK_BITS - 1);
  const at = chunk + (bit >> 3);
  store<u8>(at, load<u8>(at, C_BITS) & ~((<u8>1) << (<u8>(bit & 7))), C_BITS);
  const left = load<u32>(session, SESSION_RECEIVED_COUNT) - 1;
  store<u32>(session, left, SESSION_RECEIVED_COUNT);
  const inChunk = load<u32>(chunk, C_COUNT) - 1;
  store<u32>(chunk, inChunk, C_COUNT);
  // The last chunk stays while the Session is busy with QoS 2: identifiers come one by one.
  if (inChunk === 0 && left !== 0) {
    free(chunk);
    store<u32>(slot, 0);
  }
  return true;
}

/** The lowest identifier at or above `from` that is received. @returns it, or 0 */
export function nextReceived(session: usize, from: u32): u32 {
  for (let identifier = from; identifier <= 65535; identifier++) {
    const chunk = chunkOf(session, identifier);
    if (chunk === 0) identifier |= CHUNK_BITS - 1;
    else if (isReceived(session, identifier)) return identifier;
  }
  return 0;
}

/** Gives all blocks back. */
export function dropReceived(session: usize): void {
  const directory: usize = load<u32>(session, SESSION_RECEIVED);
  if (directory === 0) return;
  for (let i: u32 = 0; i < 16; i++) {
    const chunk = load<u32>(directory + (i << 2));
    if (chunk !== 0) free(chunk);
  }
  free(directory);
  store<u32>(session, 0, SESSION_RECEIVED);
  store<u32>(session, 0, SESSION_RECEIVED_COUNT);
}
