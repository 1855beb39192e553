/**
 * Mutations of one field of a valid packet: the packet is written anew, so that every length around
 * the field is right and the broker's rules on the field itself decide.
 */
import type { Random } from "../support/mutate.ts";
import { PROPERTY_ROWS } from "../support/packets-tables.ts";
import type {
  ClientPacket,
  ConnectPacket,
  Properties,
  Property,
  PropertyValue,
  PublishPacket,
  SubscribePacket,
} from "../support/packets-types.ts";

/** Strings on the edge of what a Topic Name, a Topic Filter or any text may be. */
const STRINGS = [
  "",
  "/",
  "#",
  "+",
  "a/#",
  "a/#/b",
  "a+",
  "$SYS/x",
  "$share/g/t",
  "$share//t",
  "$share/g",
  "$share/g+/t",
  "\0",
  "a\0b",
  "\ufeff",
  "\uffff",
  "x".repeat(200),
];

const TWO_BYTES = [0, 1, 2, 3, 0x7f, 0x80, 0xff, 0x100, 0xfffe, 0xffff];
const FOUR_BYTES = [0, 1, 2, 20, 0x7f, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff];

/** The packet with one field changed. */
export function mutateField(random: Random, packet: ClientPacket): ClientPacket {
  if ("properties" in packet && random(3) === 0) {
    return { ...packet, properties: mutateProperties(random, packet.properties) };
  }
  switch (packet.type) {
    case "connect":
      return mutateConnect(random, packet);
    case "publish":
      return mutatePublish(random, packet);
    case "puback":
    case "pubrec":
    case "pubrel":
    case "pubcomp":
      return random(2) === 0
        ? { ...packet, packetIdentifier: pick(random, TWO_BYTES) }
        : { ...packet, reasonCode: random(256) };
    case "subscribe":
      return mutateSubscribe(random, packet);
    case "unsubscribe":
      return random(2) === 0
        ? { ...packet, packetIdentifier: pick(random, TWO_BYTES) }
        : { ...packet, topicFilters: random(4) === 0 ? [] : [pick(random, STRINGS)] };
    case "disconnect":
    case "auth":
      return { ...packet, reasonCode: random(256) };
    case "pingreq":
      return packet;
  }
}

function mutateConnect(random: Random, packet: ConnectPacket): ConnectPacket {
  const { will } = packet;
  switch (random(will === null ? 6 : 10)) {
    case 0:
      return { ...packet, clientIdentifier: pick(random, STRINGS) };
    case 1:
      return { ...packet, keepAliveSeconds: pick(random, TWO_BYTES) };
    case 2:
      return { ...packet, cleanStart: !packet.cleanStart };
    case 3:
      return { ...packet, userName: random(2) === 0 ? null : pick(random, STRINGS) };
    case 4:
      return { ...packet, password: random(2) === 0 ? null : Uint8Array.of(random(256)) };
    case 5: // The level, which need not be that of the properties written.
      return { ...packet, version: random(8) as ConnectPacket["version"] };
    case 6:
      return { ...packet, will: will && { ...will, topicName: pick(random, STRINGS) } };
    case 7:
      return { ...packet, will: will && { ...will, qos: random(4) as 0 } };
    case 8:
      return { ...packet, will: will && { ...will, retain: !will.retain } };
    default: {
      const properties = mutateProperties(random, will?.properties ?? []);
      return { ...packet, will: will && { ...will, properties } };
    }
  }
}

function mutatePublish(random: Random, packet: PublishPacket): PublishPacket {
  switch (random(6)) {
    case 0:
      return { ...packet, topicName: pick(random, STRINGS) };
    case 1:
      return { ...packet, qos: random(4) as 0 };
    case 2:
      return { ...packet, duplicate: !packet.duplicate };
    case 3:
      return { ...packet, retain: !packet.retain };
    case 4:
      return { ...packet, packetIdentifier: pick(random, TWO_BYTES) };
    default:
      return { ...packet, payload: Uint8Array.from({ length: random(40) }, () => random(256)) };
  }
}

function mutateSubscribe(random: Random, packet: SubscribePacket): SubscribePacket {
  const at = random(packet.subscriptions.length);
  const change = (fields: Partial<SubscribePacket["subscriptions"][number]>) => ({
    ...packet,
    subscriptions: packet.subscriptions.map((entry, index) =>
      index === at ? { ...entry, ...fields } : entry,
    ),
  });
  switch (random(7)) {
    case 0:
      return { ...packet, packetIdentifier: pick(random, TWO_BYTES) };
    case 1:
      return { ...packet, subscriptions: [] };
    case 2:
      return change({ qos: random(4) as 0 });
    case 3:
      return change({ noLocal: random(2) === 0 });
    case 4:
      return change({ retainHandling: random(4) as 0 });
    case 5:
      return change({ retainAsPublished: random(2) === 0 });
    default:
      return change({ topicFilter: pick(random, STRINGS) });
  }
}

function mutateProperties(random: Random, list: Properties): Properties {
  const at = random(Math.max(1, list.length));
  const property = list[at];
  if (property === undefined || random(3) === 0) {
    return [...list.slice(0, at), anyProperty(random), ...list.slice(at)];
  }
  switch (random(4)) {
    case 0:
      return [...list, property];
    case 1:
      return list.filter((_, index) => index !== at);
    case 2:
      return [...list].reverse();
    default:
      return list.map((one, index) => (index === at ? anyValue(random, one[0]) : one));
  }
}

/** Any property that the standard knows, also where it has no business. */
function anyProperty(random: Random): Property {
  return anyValue(random, pick(random, PROPERTY_ROWS).identifier);
}

function anyValue(random: Random, identifier: number): Property {
  const form = PROPERTY_ROWS.find((row) => row.identifier === identifier)?.form;
  const value = (): PropertyValue => {
    if (form === "byte") return random(3);
    if (form === "two") return pick(random, TWO_BYTES);
    if (form === "four") return pick(random, FOUR_BYTES);
    if (form === "varint") return pick(random, [0, 1, 127, 128, 16_384, 268_435_455]);
    if (form === "binary") return Uint8Array.from({ length: random(5) }, () => random(256));
    const text = pick(random, STRINGS);
    return form === "pair" ? [text, pick(random, STRINGS)] : text;
  };
  return [identifier, value()];
}

export function pick<T>(random: Random, choices: readonly T[]): T {
  return choices[random(choices.length)] as T;
}
