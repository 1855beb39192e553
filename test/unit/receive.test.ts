/**
 * What receive() and resume() answer the host: done, out of budget, paused, until a commit. The
 * engine stands alone here, so that no turn passes and nothing is committed but where a test says.
 */
import { describe, expect, test } from "vitest";
import * as abi from "#assembly/abi";
import { Engine } from "../../src/engine/engine.ts";
import { ENGINE_BUILD } from "../support/engine-harness.ts";
import { fillWholly, free } from "../support/full-heap.ts";
import { encode } from "../support/naive-encoder.ts";
import { properties, publish } from "../support/packets.ts";
import type { PublishPacket, QoS, ServerPacket, Version } from "../support/packets-types.ts";
import { readServerPackets } from "../support/reference-decoder-server.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const MEMORY_BYTES_MAX = 512 * MIB;
/** Units of work of one call: route.ts. */
const BUDGET_UNITS = 8192;
/** Held acknowledgements of a connection past which it is not read on: held.ts. */
const HELD_MAX = 4096;
/** A page of the journal that is fuller is to be committed first: journal.ts. */
const PAGE_BYTES_SOFT = 4 * MIB;
const QUOTA_EXCEEDED = 0x97;
const REFUSING_FULL = 1;
const REFUSING_TAIL = 2;
const FOR_EVER = 0xffff_ffff;
/** With this payload a receiver costs an eighth of the budget. */
const EIGHTH = new Uint8Array(BUDGET_UNITS * (KIB / 8) - KIB);

interface Settings {
  /** How long a message may wait for its receivers before it is recorded, milliseconds. */
  readonly freshMsMax?: number;
  readonly outgoingBytesMax?: number;
  readonly memoryBytesMax?: number;
}

class Bench {
  readonly engine: Engine;
  readonly #versions = new Map<number, Version>();
  #turn = 1;

  constructor(settings: Settings = {}) {
    const { outgoingBytesMax = 2 ** 28, memoryBytesMax = MEMORY_BYTES_MAX } = settings;
    this.engine = new Engine({ build: ENGINE_BUILD, memoryBytesMax });
    const { calls } = this.engine;
    const most = 2 ** 28 - 1;
    calls.configure(most, 65_535, 65_535, 2 ** 30, 2 ** 40, outgoingBytesMax, 10, most, 1, 0);
    calls.setRecording(1, settings.freshMsMax ?? 0);
    calls.setTurn(this.#turn);
  }

  /** A connection with a Session of its own. @returns its number */
  connect(version: Version, expirySeconds = 0): number {
    const { calls } = this.engine;
    const connection = this.#versions.size + 1;
    this.#versions.set(connection, version);
    calls.openConnection(connection);
    calls.acceptConnection(connection, version, 0, 10);
    const session = this.#lend(`c${connection}`, (at, bytes) =>
      calls.createSession(at, bytes, 0, version, expirySeconds),
    );
    calls.attachSession(session, connection, 65_535);
    return connection;
  }

  subscribe(connection: number, filter: string, qos: QoS): void {
    const session = this.#lend(`c${connection}`, this.engine.calls.findSession);
    this.#lend(filter, (at, bytes) =>
      this.engine.calls.addSubscription(session, at, bytes, qos, 0),
    );
  }

  /** @returns the last status */
  receive(connection: number, bytes: Uint8Array): number {
    let status: number = abi.R_DONE;
    for (let at = 0; at < bytes.length; at += abi.READ_BYTES) {
      expect(status).toBe(abi.R_DONE);
      const chunk = bytes.subarray(at, at + abi.READ_BYTES);
      this.engine.bytes.set(chunk, abi.READ);
      status = this.engine.calls.receive(connection, chunk.length);
    }
    return status;
  }

  publish(connection: number, topicName: string, qos: QoS, fields: Partial<PublishPacket>): number {
    const packetIdentifier = qos === 0 ? 0 : 7;
    return this.receive(
      connection,
      this.encoded(connection, publish({ topicName, qos, packetIdentifier, ...fields })),
    );
  }

  encoded(connection: number, packet: PublishPacket): Uint8Array {
    return encode(this.#versions.get(connection) ?? 5, packet);
  }

  resume(connection: number): number {
    return this.engine.calls.resume(connection);
  }

  /** All that is recorded is on disk. */
  commit(): void {
    const { calls } = this.engine;
    if (calls.sealPage(1) > 0) calls.committed(calls.sealedTurn());
    this.#turn += 1;
    calls.setTurn(this.#turn);
  }

  /** What has left for a connection since this was asked last, for any. */
  sentTo(connection: number): readonly ServerPacket[] {
    return this.sentToEach([connection])[0] ?? [];
  }

  sentToEach(connections: readonly number[]): readonly (readonly ServerPacket[])[] {
    const { bytes, calls, words } = this.engine;
    const pieces = new Map(connections.map((connection) => [connection, [] as Buffer[]] as const));
    const count = calls.flush();
    for (let index = 0; index < count; index++) {
      const at = (abi.FLUSH + index * abi.FLUSH_RECORD_BYTES) >>> 2;
      const [to = 0, from = 0, length = 0] = words.subarray(at, at + 3);
      pieces.get(to)?.push(Buffer.from(bytes.subarray(from, from + length)));
    }
    calls.flushDone();
    return connections.map((connection) => {
      const version = this.#versions.get(connection) ?? 5;
      return readServerPackets(version, Buffer.concat(pieces.get(connection) ?? [])).packets;
    });
  }

  counter(offset: number): number {
    return this.engine.counter(offset);
  }

  #lend(text: string, read: (at: number, bytes: number) => number): number {
    const bytes = Buffer.from(text);
    this.engine.scratch.set(bytes);
    return read(abi.SCRATCH, bytes.length) >>> 0;
  }
}

/** So many connections that get `all` with QoS 0. */
function crowd(bench: Bench, count: number): readonly number[] {
  return Array.from({ length: count }, () => {
    const connection = bench.connect(5);
    bench.subscribe(connection, "all", 0);
    return connection;
  });
}

describe("the budget", () => {
  test("ends with the receiver that uses it up", () => {
    const bench = new Bench();
    crowd(bench, 9);
    const publisher = bench.connect(4);
    const before = bench.counter(abi.S_PUBLISH_SENT);
    expect(bench.publish(publisher, "all", 0, { payload: EIGHTH })).toBe(abi.R_BUDGET);
    expect(bench.counter(abi.S_PUBLISH_SENT) - before).toBe(8);
    expect(bench.resume(publisher)).toBe(abi.R_DONE);
    expect(bench.counter(abi.S_PUBLISH_SENT) - before).toBe(9);
  });

  test("ends with the packet that uses it up, one unit each", () => {
    const bench = new Bench();
    const publisher = bench.connect(4);
    const packet = bench.encoded(publisher, publish({ topicName: "a", qos: 0 }));
    const packets = Array.from({ length: BUDGET_UNITS - 1 }, () => packet);
    const ping = Buffer.of(0xc0, 0);
    expect(bench.receive(publisher, Buffer.concat([...packets, ping]))).toBe(abi.R_DONE);
    expect(bench.receive(publisher, Buffer.concat([...packets, packet, ping]))).toBe(abi.R_BUDGET);
    expect(bench.counter(abi.S_PUBLISH_RECEIVED)).toBe(2 * BUDGET_UNITS - 1);
    expect(bench.resume(publisher)).toBe(abi.R_DONE);
    expect(bench.sentTo(publisher)).toEqual([{ type: "pingresp" }, { type: "pingresp" }]);
  });
});

describe("a PUBLISH in slices", () => {
  test("keeps the topic of its Topic Alias", () => {
    const bench = new Bench();
    const receivers = crowd(bench, 9);
    const publisher = bench.connect(5);
    const list = properties({ topic_alias: 3 });
    expect(bench.publish(publisher, "all", 0, { properties: list })).toBe(abi.R_DONE);
    for (const receiver of receivers) bench.sentTo(receiver);
    const aliased = { topicName: "", properties: list, payload: EIGHTH };
    expect(bench.publish(publisher, "", 0, aliased)).toBe(abi.R_BUDGET);
    bench.sentTo(publisher);
    expect(bench.resume(publisher)).toBe(abi.R_DONE);
    const packets = receivers.flatMap((receiver) => bench.sentTo(receiver));
    expect(packets).toMatchObject([{ type: "publish", topicName: "all", properties: [] }]);
  });

  test.for([
    [1, FOR_EVER, 1, true],
    [2, FOR_EVER, 1, true],
    [1, FOR_EVER, 1, false],
    [2, FOR_EVER, 1, false],
    [1, 0, 0, true],
    [2, 0, 0, true],
  ] as const)(
    "QoS %i: its answer waits for what the first slice recorded, %i: %i, %s",
    ([qos, expirySeconds, held, isCrowdFirst]) => {
      const bench = new Bench();
      // Whichever comes last is served in the second slice, and gets QoS 0 alone.
      if (isCrowdFirst) crowd(bench, 1);
      for (let i = 0; i < 8; i++) bench.subscribe(bench.connect(5, expirySeconds), "all", 2);
      if (!isCrowdFirst) crowd(bench, 1);
      const publisher = bench.connect(4);
      expect(bench.publish(publisher, "all", qos, { payload: EIGHTH })).toBe(abi.R_BUDGET);
      expect(bench.resume(publisher)).toBe(abi.R_DONE);
      expect(bench.counter(abi.S_ACKNOWLEDGEMENTS_HELD)).toBe(held);
      const type = qos === 1 ? "puback" : "pubrec";
      const answer = { type, packetIdentifier: 7, reasonCode: 0 };
      expect(bench.sentTo(publisher)).toMatchObject(held === 1 ? [] : [answer]);
      bench.commit();
      expect(bench.sentTo(publisher)).toMatchObject(held === 1 ? [answer] : []);
    },
  );

  test("waits for a commit where the page is full by then", () => {
    const bench = new Bench();
    crowd(bench, 9);
    const publisher = bench.connect(4);
    expect(bench.publish(publisher, "all", 0, { payload: EIGHTH })).toBe(abi.R_BUDGET);
    fillPage(bench);
    expect(bench.resume(publisher)).toBe(abi.R_COMMIT);
    bench.commit();
    expect(bench.resume(publisher)).toBe(abi.R_DONE);
  });

  test("tries again in a later turn where there is no memory to go on", () => {
    const bench = new Bench({ memoryBytesMax: 64 * MIB });
    crowd(bench, BUDGET_UNITS + 1);
    const publisher = bench.connect(5);
    const fields = { properties: properties({ message_expiry_interval: 60 }) };
    const before = bench.counter(abi.S_PUBLISH_SENT);
    expect(bench.publish(publisher, "all", 0, fields)).toBe(abi.R_BUDGET);
    const blocks = fillWholly(bench.engine);
    expect(bench.resume(publisher)).toBe(abi.R_BUDGET);
    expect(bench.counter(abi.S_PUBLISH_SENT) - before).toBe(BUDGET_UNITS);
    free(bench.engine, blocks);
    expect(bench.resume(publisher)).toBe(abi.R_DONE);
    expect(bench.counter(abi.S_PUBLISH_SENT) - before).toBe(BUDGET_UNITS + 1);
  });
});

/** Records until the page is full. */
function fillPage(bench: Bench): void {
  const receiver = bench.connect(4, FOR_EVER);
  bench.subscribe(receiver, "page", 1);
  const publisher = bench.connect(4);
  const payload = new Uint8Array(60_000);
  for (let i = 0; bench.engine.calls.journalBytes() <= PAGE_BYTES_SOFT; i++) {
    expect(i).toBeLessThan(100);
    expect(bench.publish(publisher, "page", 1, { payload })).toBe(abi.R_DONE);
  }
}

describe("what is to be committed", () => {
  test("a full page comes first, then the PUBLISH", () => {
    const bench = new Bench();
    const publisher = bench.connect(4);
    fillPage(bench);
    expect(bench.publish(publisher, "else", 1, {})).toBe(abi.R_COMMIT);
    expect(bench.sentTo(publisher)).toEqual([]);
    bench.commit();
    expect(bench.resume(publisher)).toBe(abi.R_DONE);
    expect(bench.sentTo(publisher)).toMatchObject([{ type: "puback" }]);
  });

  test("so many acknowledgements wait for it, then the connection is not read on", () => {
    const bench = new Bench();
    const receiver = bench.connect(4, FOR_EVER);
    bench.subscribe(receiver, "a", 1);
    const publisher = bench.connect(4);
    const packets = Array.from({ length: HELD_MAX + 1 }, (_, index) =>
      bench.encoded(publisher, publish({ topicName: "a", qos: 1, packetIdentifier: index + 1 })),
    );
    // In two chunks: each has a budget of its own.
    const half = packets.splice(0, HELD_MAX / 2);
    expect(bench.receive(publisher, Buffer.concat(half))).toBe(abi.R_DONE);
    expect(bench.receive(publisher, Buffer.concat(packets))).toBe(abi.R_PAUSED);
    expect(bench.counter(abi.S_ACKNOWLEDGEMENTS_HELD)).toBe(HELD_MAX);
    bench.commit();
    expect(bench.resume(publisher)).toBe(abi.R_DONE);
    expect(bench.counter(abi.S_ACKNOWLEDGEMENTS_HELD)).toBe(HELD_MAX + 1);
  });
});

describe("a store that takes no more", () => {
  function refusing(reason: number, version: Version) {
    const bench = new Bench();
    const receiver = bench.connect(5, FOR_EVER);
    bench.subscribe(receiver, "a", 1);
    const publisher = bench.connect(version);
    bench.engine.calls.setRefusing(reason);
    return { bench, publisher };
  }

  test("is full: version 5 is told 0x97", () => {
    const { bench, publisher } = refusing(REFUSING_FULL, 5);
    expect(bench.publish(publisher, "a", 1, {})).toBe(abi.R_DONE);
    expect(bench.sentTo(publisher)).toMatchObject([{ type: "puback", reasonCode: QUOTA_EXCEEDED }]);
    expect(bench.counter(abi.S_REFUSED_STORE)).toBe(1);
  });

  test.for([
    [REFUSING_FULL, 4],
    [REFUSING_TAIL, 4],
    [REFUSING_TAIL, 5],
  ] as const)("reason %i, version %i: the publisher waits", ([reason, version]) => {
    const { bench, publisher } = refusing(reason, version);
    expect(bench.publish(publisher, "a", 1, {})).toBe(abi.R_COMMIT);
    expect(bench.counter(abi.S_REFUSED_STORE)).toBe(0);
    bench.engine.calls.setRefusing(0);
    expect(bench.resume(publisher)).toBe(abi.R_DONE);
    bench.commit();
    expect(bench.sentTo(publisher)).toMatchObject([{ type: "puback", reasonCode: 0 }]);
  });

  test.for<Version>([4, 5])("version %i, QoS 0: it is not retained, and no more", (version) => {
    const { bench, publisher } = refusing(REFUSING_FULL, version);
    const retained = { retain: true, payload: new Uint8Array(1) };
    expect(bench.publish(publisher, "a", 0, retained)).toBe(abi.R_DONE);
    expect(bench.engine.calls.retainedCount()).toBe(0);
    expect(bench.counter(abi.S_REFUSED_STORE)).toBe(1);
    bench.engine.calls.setRefusing(0);
    expect(bench.publish(publisher, "a", 0, retained)).toBe(abi.R_DONE);
    expect(bench.engine.calls.retainedCount()).toBe(1);
  });
});

test("QoS 0 to who has as much on its way as it may: dropped, counted as slow", () => {
  const bench = new Bench({ outgoingBytesMax: 400 });
  const receiver = bench.connect(4);
  bench.subscribe(receiver, "a", 0);
  const publisher = bench.connect(4);
  for (let i = 0; i < 6; i++) {
    // 100 bytes; RETAIN keeps it from the way of packets that are passed on as they are.
    const payload = new Uint8Array(95);
    expect(bench.publish(publisher, "a", 0, { retain: true, payload })).toBe(abi.R_DONE);
  }
  expect(bench.counter(abi.S_DROPPED_SLOW)).toBe(2);
  expect(bench.sentTo(receiver)).toHaveLength(4);
});

describe("a QoS 2 PUBLISH that comes again before PUBREL", () => {
  const again = { packetIdentifier: 7, dup: true };

  function published(settings: Settings = {}) {
    const bench = new Bench(settings);
    const receiver = bench.connect(5);
    bench.subscribe(receiver, "all", 0);
    const publisher = bench.connect(5);
    expect(bench.publish(publisher, "all", 2, {})).toBe(abi.R_DONE);
    expect(bench.sentTo(receiver)).toHaveLength(1);
    return { bench, receiver, publisher };
  }

  test("is answered, and its Topic Alias holds [MQTT-4.3.3-10]", () => {
    const { bench, receiver, publisher } = published();
    const list = properties({ topic_alias: 3 });
    const pubrec = { type: "pubrec", packetIdentifier: 7, reasonCode: 0 };
    const withAlias = { ...again, properties: list };
    expect(bench.publish(publisher, "all", 2, withAlias)).toBe(abi.R_DONE);
    expect(bench.publish(publisher, "", 2, withAlias)).toBe(abi.R_DONE);
    expect(bench.counter(abi.S_PUBLISH_RECEIVED)).toBe(1);
    expect(bench.sentTo(publisher)).toMatchObject([pubrec, pubrec]);
    expect(bench.publish(publisher, "", 0, { properties: list })).toBe(abi.R_DONE);
    expect(bench.sentTo(receiver)).toMatchObject([{ type: "publish", topicName: "all" }]);
  });

  test("is judged all the same: Topic Name, Topic Alias, memory", () => {
    const memoryBytesMax = 8 * MIB;
    const wrong = (topicName: string, topic_alias?: number) => {
      const { bench, publisher } = published({ memoryBytesMax });
      const list = topic_alias === undefined ? [] : properties({ topic_alias });
      return bench.publish(publisher, topicName, 2, { ...again, properties: list });
    };
    expect(wrong("a/+")).toBe(-0x90);
    expect(wrong("all", 11)).toBe(-0x94);
    expect(wrong("", 3)).toBe(-0x82);
    const { bench, publisher } = published({ memoryBytesMax });
    const bytes = publish({ topicName: "all", qos: 2, properties: properties({ topic_alias: 3 }) });
    const packet = bench.encoded(publisher, { ...bytes, ...again });
    fillWholly(bench.engine);
    expect(bench.receive(publisher, packet)).toBe(-QUOTA_EXCEEDED);
  });
});

describe("a QoS 1 PUBLISH that is not recorded at once", () => {
  test.for([
    [1, false],
    [1, true],
    [2, false],
  ] as const)("QoS %i, RETAIN %s: what its answer waits for", ([qos, retain]) => {
    const bench = new Bench({ freshMsMax: 60_000 });
    const receivers = [bench.connect(4, FOR_EVER), bench.connect(4, FOR_EVER)];
    for (const receiver of receivers) bench.subscribe(receiver, "a", 1);
    const publisher = bench.connect(4);
    bench.commit();
    const before = bench.engine.calls.journalBytes();
    const fields = { retain, payload: new Uint8Array(600) };
    expect(bench.publish(publisher, "a", qos, fields)).toBe(abi.R_DONE);
    const isFresh = qos === 1 && !retain;
    // Otherwise all of the message is recorded, for both.
    expect(bench.engine.calls.journalBytes() - before > 600).toBe(!isFresh);
    const sent = bench.sentToEach([publisher, ...receivers]);
    expect(sent[0]).toEqual([]);
    for (const [index, receiver] of receivers.entries()) {
      const [delivery] = sent[index + 1] ?? [];
      const packetIdentifier = delivery?.type === "publish" ? delivery.packetIdentifier : 0;
      const puback = Buffer.of(0x40, 2, packetIdentifier >> 8, packetIdentifier & 0xff);
      expect(bench.receive(receiver, puback)).toBe(abi.R_DONE);
    }
    // Who has it all needs no disk.
    const answer = { type: qos === 1 ? "puback" : "pubrec", packetIdentifier: 7 };
    expect(bench.sentTo(publisher)).toMatchObject(isFresh ? [answer] : []);
    bench.commit();
    expect(bench.sentTo(publisher)).toMatchObject(isFresh ? [] : [answer]);
  });
});
