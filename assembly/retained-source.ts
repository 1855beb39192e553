/**
 * Whether who published a retained message may still write there: only then it is delivered.
 *
 * Behind the publisher's Client Identifier, and a zero, a retained message has its user name. Only
 * the host knows what that one may do: it is asked once for each message when rules changed, and
 * somebody is to be sent it. M_JUDGED is the epoch of the answer, and in its low bit a refusal.
 */
import { A_FIRST, A_KIND, A_PACKET_ID, A_SOURCE, A_TOPIC, A_TOPIC_BYTES, SCRATCH } from "./abi";
import {
  idBytesOfPublisher,
  M_JUDGED,
  M_PUBLISHER_BYTES,
  M_TOPIC_BYTES,
  publisherOf,
  topicOf,
} from "./message";

/** Changes whenever rules do; 0: nobody's publishers are judged. */
export let sourceEpoch: u32 = 0;

/** @param epoch  another one than before, below 2^31; 0: retained messages are not judged */
export function setSources(epoch: u32): void {
  sourceEpoch = epoch;
}

/** What is retained now was allowed now. */
export function noteSource(message: usize): void {
  store<u32>(message, sourceEpoch << 1, M_JUDGED);
}

/** What the host says of the message that it was asked about. @param allowed  1 or 0 */
export function judgeSource(message: usize, allowed: u32): void {
  store<u32>(message, (sourceEpoch << 1) | (allowed !== 0 ? 0 : 1), M_JUDGED);
}

/** Whether a retained message may be delivered. @returns 1, 0, or −1: the host is to be asked */
export function sourceAllows(message: usize): i32 {
  if (sourceEpoch === 0) return 1;
  const judged = load<u32>(message, M_JUDGED);
  if (judged >> 1 === sourceEpoch) return judged & 1 ? 0 : 1;
  // Of the broker itself, a will, or kept before user names were.
  return idBytesOfPublisher(message) === load<u32>(message, M_PUBLISHER_BYTES) ? 1 : -1;
}

/** Leaves in SCRATCH what the host is to judge: then judgeSource(), with the same address. */
export function askSource(message: usize): void {
  const topicBytes = load<u32>(message, M_TOPIC_BYTES);
  const publisherBytes = load<u32>(message, M_PUBLISHER_BYTES);
  store<u32>(SCRATCH, A_SOURCE, A_KIND);
  store<u32>(SCRATCH, <u32>message, A_FIRST);
  store<u32>(SCRATCH, publisherBytes, A_PACKET_ID);
  store<u32>(SCRATCH, topicBytes, A_TOPIC_BYTES);
  memory.copy(SCRATCH + A_TOPIC, topicOf(message), topicBytes);
  memory.copy(SCRATCH + A_TOPIC + topicBytes, publisherOf(message), publisherBytes);
}
