/**
 * The message at hand: what encode.ts sends, and what is stored of it when somebody asks.
 *
 * It is described by where its parts are; a block of its own is made once, however many want it.
 * Templates are the packets that were built of it, one per layout: see encode.ts.
 *
 *   ┌─────────┬───────┬──────────────────────┐
 *   │ address │ bytes │ offset of the Packet │  u32 each, six of them; address 0 = not built
 *   │         │       │ Identifier           │
 *   └─────────┴───────┴──────────────────────┘
 */
import {
  M_EXPIRES_MS,
  M_PAYLOAD_BYTES,
  M_PROPERTIES_BYTES,
  M_TOPIC_BYTES,
  newMessage,
  payloadOf,
  propertiesOf,
  publisherOf,
  topicOf,
} from "./message";
import { expiryMsOf, hasRules, useRuleFor } from "./rules";
import { messageExpiryMsMax, nowMs, retainedExpiryMsMax } from "./settings";

/** No Message Expiry Interval. */
export const NO_EXPIRY: u64 = u64.MAX_VALUE;
/** Longest packet that is a template. */
export const TEMPLATE_BYTES_MAX: u32 = 4096;

// The message being sent.
export let topicAt: usize = 0;
export let topicBytes: u32 = 0;
export let propertiesAt: usize = 0;
export let propertiesBytes: u32 = 0;
export let payloadAt: usize = 0;
export let payloadBytes: u32 = 0;
export let expirySeconds: u64 = NO_EXPIRY;
/** The stored message, where there is one already. */
let stored: usize = 0;
let storedFlags: u32 = 0;
let publisherAt: usize = 0;
let publisherBytes: u32 = 0;

const templates: usize = memory.data(6 * 12, 4);
export const TEMPLATE_BYTES: u32 = 4;
export const TEMPLATE_IDENTIFIER: u32 = 8;

/** The layout's template: {address, bytes, offset of the Packet Identifier}. Hot. */
export function templateOf(layout: u32): usize {
  return templates + layout * 12;
}

export function setTemplate(layout: u32, at: usize, bytes: u32, identifierOffset: u32): void {
  const template = templateOf(layout);
  store<u32>(template, <u32>at);
  store<u32>(template, bytes, TEMPLATE_BYTES);
  store<u32>(template, identifierOffset, TEMPLATE_IDENTIFIER);
}

function resetTemplates(): void {
  store<u32>(templates, 0);
  store<u32>(templates, 0, 12);
  store<u32>(templates, 0, 24);
  store<u32>(templates, 0, 36);
  store<u32>(templates, 0, 48);
  store<u32>(templates, 0, 60);
}

/**
 * Describes a message that came as a packet; all addresses are borrowed until the next one. Hot.
 */
export function describe(
  atTopic: usize,
  bytesTopic: u32,
  atProperties: usize,
  bytesProperties: u32,
  atPayload: usize,
  bytesPayload: u32,
  seconds: u64,
): void {
  topicAt = atTopic;
  topicBytes = bytesTopic;
  propertiesAt = atProperties;
  propertiesBytes = bytesProperties;
  payloadAt = atPayload;
  payloadBytes = bytesPayload;
  expirySeconds = seconds;
  stored = 0;
  resetTemplates();
}

/** How much of its topic is cut off for who gets it now. */
export let cutBytes: u32 = 0;

/** Lets the described topic begin so many bytes later, until uncutTopic(). */
export function cutTopic(bytes: u32): void {
  topicAt += bytes;
  topicBytes -= bytes;
  cutBytes = bytes;
}

export function uncutTopic(): void {
  topicAt -= cutBytes;
  topicBytes += cutBytes;
  cutBytes = 0;
}

/** Who published it and how, should it be stored: M_FLAGS and the Client Identifier. Hot. */
export function describeOrigin(flags: u32, at: usize, bytes: u32): void {
  storedFlags = flags;
  publisherAt = at;
  publisherBytes = bytes;
}

/** Lets the packet that came serve as the template of its own layout. Hot. */
export function describeAsPacket(isVersion5: bool, withQos: u32, at: usize, bytes: u32): void {
  if (bytes > TEMPLATE_BYTES_MAX) return;
  const layout = (isVersion5 ? 2 : 0) | (withQos !== 0 ? 1 : 0);
  setTemplate(layout, at, bytes, <u32>(topicAt - at) + topicBytes);
}

/** Describes a stored message, with what is left of its Message Expiry Interval [MQTT-3.3.2-6]. */
export function describeStored(message: usize): void {
  const expires = load<u64>(message, M_EXPIRES_MS);
  let seconds: u64 = NO_EXPIRY;
  if (expires !== 0) seconds = expires > nowMs ? (expires - nowMs + 999) / 1000 : 0;
  describe(
    topicOf(message),
    load<u32>(message, M_TOPIC_BYTES),
    propertiesOf(message),
    load<u32>(message, M_PROPERTIES_BYTES),
    payloadOf(message),
    load<u32>(message, M_PAYLOAD_BYTES),
    seconds,
  );
  stored = message;
}

/** When the described message expires: by its own interval or the operator's; 0 = never. */
function expiresMs(): u64 {
  let longest: u64 = messageExpiryMsMax;
  if (hasRules()) {
    useRuleFor(topicAt, topicBytes);
    longest = expiryMsOf();
  }
  if (expirySeconds === NO_EXPIRY) return longest === 0 ? 0 : nowMs + longest;
  const own = expirySeconds * 1000;
  return nowMs + (longest === 0 ? own : min(own, longest));
}

/** A block of its own for the described message. @returns it with one reference, or 0: no memory */
function copyDescribed(expires: u64): usize {
  const message = newMessage(
    storedFlags,
    topicBytes,
    propertiesBytes,
    publisherBytes,
    payloadBytes,
    expires,
  );
  if (message === 0) return 0;
  memory.copy(topicOf(message), topicAt, topicBytes);
  memory.copy(propertiesOf(message), propertiesAt, propertiesBytes);
  memory.copy(publisherOf(message), publisherAt, publisherBytes);
  memory.copy(payloadOf(message), payloadAt, payloadBytes);
  return message;
}

/**
 * The described message in a block of its own, made when first asked for.
 *
 * @returns its address with the reference of the description, or 0 where there is no memory;
 *   whoever described it gives that reference back (forgetStored)
 */
export function storeDescribed(): usize {
  if (stored === 0) stored = copyDescribed(expiresMs());
  return stored;
}

/**
 * The described message as it is retained: for no longer than the operator lets it, while queues
 * keep it for as long as they would.
 *
 * @returns its address, or 0 where there is no memory; if it is not storeDescribed()'s, its one
 *   reference is the caller's to give back
 */
export function storeRetained(): usize {
  if (retainedExpiryMsMax === 0) return storeDescribed();
  const own = expiresMs();
  const longest = nowMs + retainedExpiryMsMax;
  if (own !== 0 && own <= longest) return storeDescribed();
  return copyDescribed(longest);
}

/** The stored form of the described message, or 0 where nobody asked for one. */
export function describedMessage(): usize {
  return stored;
}
