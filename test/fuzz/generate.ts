/**
 * Makes fuzz cases from a seed: streams of one connection, and sequences over several that meet in
 * a few Client Identifiers, topics and Packet Identifiers, so that they take over, resume, answer
 * and refuse each other's messages. Most packets are valid; some have a field changed, some bytes.
 */
import { mutate, type Random, type Seed, seedFrom } from "../support/mutate.ts";
import { concatenate, encode } from "../support/naive-encoder.ts";
import {
  acknowledgement,
  auth,
  connect,
  disconnect,
  properties,
  publish,
  subscribe,
  unsubscribe,
  utf8,
  will,
} from "../support/packets.ts";
import { CLIENT_DISCONNECT_CODES } from "../support/packets-tables.ts";
import type { ClientPacket, QoS, Version } from "../support/packets-types.ts";
import { sampleStreams, VERSIONS } from "../support/random-packets.ts";
import type { FuzzCase, Step } from "./case.ts";
import { mutateField, pick } from "./field-mutations.ts";

const SEED_STREAMS = 400;
const CONNECTIONS_MAX = 5;
const STEPS_MAX = 14;
const NAMES = ["a", "b", ""];
const TOPICS = ["t", "t/1", "u", "$x/t"];
const FILTERS = ["t", "t/+", "#", "u", "+", "$x/#", "$share/g/t", "$share/h/#"];
/** Hundredths of the packets of a sequence that are changed in one field, or in bytes. */
const FIELD_PERCENT = 12;
const BYTES_PERCENT = 6;

/** Seeds of byte mutations, by version. */
export type Seeds = Readonly<Record<Version, readonly Seed[]>>;

export function seedsFrom(seed: number): Seeds {
  const of = (version: Version) => sampleStreams(version, SEED_STREAMS, seed).map(seedFrom);
  return { 3: of(3), 4: of(4), 5: of(5) };
}

/** The next case: one stream, or a sequence. */
export function generateCase(random: Random, seeds: Seeds): FuzzCase {
  return random(2) === 0 ? streamCase(random, seeds) : sequenceCase(random);
}

/** One connection, its stream mutated as bytes, in one or two chunks. */
function streamCase(random: Random, seeds: Seeds): FuzzCase {
  const bytes = mutate(random, seeds[pick(random, VERSIONS)]);
  if (random(2) === 0) return [{ connection: 0, bytes }];
  const cutAt = random(bytes.length + 1);
  return [bytes.subarray(0, cutAt), bytes.subarray(cutAt)]
    .filter((chunk) => chunk.length > 0)
    .map((chunk) => ({ connection: 0, bytes: chunk }));
}

/** A connection of a sequence that the generator believes to be open. */
interface OpenConnection {
  readonly connection: number;
  readonly version: Version;
}

function sequenceCase(random: Random): FuzzCase {
  const steps: Step[] = [];
  let open: OpenConnection[] = [];
  let count = 0;
  const stepCount = 3 + random(STEPS_MAX - 2);
  while (steps.length < stepCount) {
    if (open.length === 0 || (count < CONNECTIONS_MAX && random(5) === 0)) {
      const version = random(3) === 0 ? pick(random, VERSIONS) : 5;
      const opened = { connection: count++, version };
      open.push(opened);
      steps.push({ connection: opened.connection, bytes: openingOf(random, version) });
      if (count === CONNECTIONS_MAX && steps.length >= STEPS_MAX) break;
      continue;
    }
    const one = pick(random, open);
    const { connection, version } = one;
    if (random(12) === 0) {
      steps.push({ connection, bytes: null });
      open = open.filter((other) => other !== one);
      if (count === CONNECTIONS_MAX && open.length === 0) break;
      continue;
    }
    steps.push({ connection, bytes: packetsOf(random, version) });
  }
  return steps;
}

/** CONNECT, and now and then what is sent behind it without waiting. */
function openingOf(random: Random, version: Version): Uint8Array {
  const first = written(random, version, anyConnect(random, version));
  return random(4) === 0 ? concatenate([first, packetsOf(random, version)]) : first;
}

/** One to three packets in one chunk. */
function packetsOf(random: Random, version: Version): Uint8Array {
  const packets = Array.from({ length: 1 + random(3) }, () => anyPacket(random, version));
  return concatenate(packets.map((packet) => written(random, version, packet)));
}

/** A packet as bytes: as it is, with one field changed, or with bytes changed. */
function written(random: Random, version: Version, packet: ClientPacket): Uint8Array {
  const chance = random(100);
  const form = random(2) === 0 ? "full" : "shortest";
  if (chance < FIELD_PERCENT) return encode(version, mutateField(random, packet), form);
  const bytes = encode(version, packet, form);
  if (chance >= FIELD_PERCENT + BYTES_PERCENT) return bytes;
  const seeds = [{ bytes, bounds: [0, bytes.length] }];
  return mutate(random, seeds);
}

function anyConnect(random: Random, version: Version): ClientPacket {
  const message = will({
    topicName: pick(random, TOPICS),
    qos: qosOf(random),
    retain: random(4) === 0,
    payload: utf8("w"),
    properties:
      version === 5 && random(2) === 0 ? properties({ will_delay_interval: random(3) }) : [],
  });
  const list = {
    ...(random(2) === 0 && { session_expiry_interval: pick(random, [0, 60, 0xffffffff]) }),
    ...(random(4) === 0 && { receive_maximum: 1 + random(3) }),
    ...(random(6) === 0 && { maximum_packet_size: 8 + random(60) }),
    ...(random(4) === 0 && { topic_alias_maximum: random(4) }),
    ...(random(6) === 0 && { request_problem_information: random(2) }),
  };
  return connect({
    version,
    clientIdentifier: pick(random, NAMES),
    cleanStart: random(2) === 0,
    keepAliveSeconds: pick(random, [0, 60, 65_535]),
    properties: version === 5 ? properties(list) : [],
    will: random(3) === 0 ? message : null,
    userName: random(5) === 0 ? "user" : null,
  });
}

function anyPacket(random: Random, version: Version): ClientPacket {
  const identifier = 1 + random(5);
  const list = (values: Parameters<typeof properties>[0]) =>
    version === 5 && random(3) === 0 ? properties(values) : [];
  switch (random(16)) {
    case 0:
    case 1:
    case 2:
      return subscribe(
        identifier,
        Array.from({ length: 1 + random(2) }, () => ({
          topicFilter: pick(random, FILTERS),
          qos: qosOf(random),
          retainHandling: version === 5 ? qosOf(random) : 0,
          retainAsPublished: version === 5 && random(3) === 0,
        })),
        list({ subscription_identifier: 1 + random(3) }),
      );
    case 3:
    case 4:
    case 5:
    case 6:
      return anyPublish(random, version, identifier);
    case 7:
    case 8:
      return acknowledgement("puback", identifier, errorOf(random, version, 0x83));
    case 9:
      return acknowledgement("pubrec", identifier, errorOf(random, version, 0x97));
    case 10:
      return acknowledgement("pubrel", identifier, errorOf(random, version, 0x92));
    case 11:
      return acknowledgement("pubcomp", identifier, errorOf(random, version, 0x92));
    case 12:
      return unsubscribe(identifier, [pick(random, FILTERS)]);
    case 13:
      return random(4) === 0 && version === 5
        ? auth(0x18, properties({ authentication_method: "M" }))
        : { type: "pingreq" };
    case 14:
      return disconnect(
        version === 5 ? pick(random, CLIENT_DISCONNECT_CODES) : 0,
        list({ session_expiry_interval: pick(random, [0, 30]) }),
      );
    default:
      return { type: "pingreq" };
  }
}

function anyPublish(random: Random, version: Version, identifier: number): ClientPacket {
  const qos = qosOf(random);
  const alias = version === 5 && random(4) === 0 ? { topic_alias: 1 + random(5) } : {};
  const expiry = version === 5 && random(5) === 0 ? { message_expiry_interval: random(3) } : {};
  const isAliased = "topic_alias" in alias && random(3) === 0;
  return publish({
    topicName: isAliased ? "" : pick(random, TOPICS),
    qos,
    packetIdentifier: qos === 0 ? 0 : identifier,
    duplicate: qos > 0 && random(4) === 0,
    retain: random(4) === 0,
    properties: properties({ ...alias, ...expiry }),
    payload: random(5) === 0 ? new Uint8Array() : utf8(`p${random(10)}`),
  });
}

function errorOf(random: Random, version: Version, reasonCode: number): number {
  return version === 5 && random(4) === 0 ? reasonCode : 0;
}

function qosOf(random: Random): QoS {
  return random(3) as QoS;
}
