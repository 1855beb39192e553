/**
 * An engine and its store without a broker around them: turns pass when a test says so.
 */
import { onTestFinished } from "vitest";
import * as abi from "#assembly/abi";
import { Engine } from "../../src/engine/engine.ts";
import { encodePublish } from "../../src/session/publish-packet.ts";
import { sealedPage } from "../../src/store/engine-calls.ts";
import type { Recovered } from "../../src/store/recovery.ts";
import type { Store, StoreOptions } from "../../src/store/store.ts";
import type { ChangedWill } from "../../src/store/will-rows.ts";
import { ENGINE_BUILD } from "./engine-harness.ts";
import { openTestStore, recordingLog } from "./store-directory.ts";

const MEMORY_BYTES_MAX = 256 * 1024 * 1024;

/** An hour ahead: everything committed until now is old enough for the index. */
const LATER_MILLISECONDS = 3_600_000;

/** Turns in which nothing comes, after which nothing more will. */
const IDLE_TURNS = 20;

/** Flag of a PUBLISH. */
const DUP = 8;

/** First byte of a PUBACK. */
const PUBACK = 0x40;

/** Subscription options: QoS 1. */
const QOS_1 = 1;

export class StoreLife {
  readonly engine: Engine;
  readonly lines: string[] = [];
  readonly changedWills: ChangedWill[] = [];
  store!: Store;
  recovered!: Recovered;
  /** What left for each connection. */
  readonly #streams = new Map<number, Buffer[]>();
  #isClosed = false;
  /** How often the store asked for a turn. */
  workCount = 0;

  constructor() {
    this.engine = new Engine({ build: ENGINE_BUILD, memoryBytesMax: MEMORY_BYTES_MAX });
    const { calls } = this.engine;
    calls.setHashSeed(1n);
    calls.setSessionSeed(1n);
    const most = 2 ** 28 - 1;
    calls.configure(most, 65_535, 65_535, 2 ** 30, 2 ** 40, 2 ** 28, 10, most, 1, 0);
    calls.setRecording(1, 0);
    calls.openConnection(0);
    calls.acceptConnection(0, 5, 0, 0);
  }

  async open(directory: string, options: Partial<StoreOptions> = {}): Promise<this> {
    this.store = await openTestStore(directory, {
      log: recordingLog(this.lines),
      onWork: () => {
        this.workCount++;
      },
      takeWills: () => this.changedWills.splice(0),
      ...options,
    });
    this.recovered = await this.store.recover(this.engine);
    return this;
  }

  /** Ends as a broker does: all that is recorded is committed first. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.turn();
    await this.store.close();
  }

  /** Seals and commits until nothing is left to be. */
  async turn(): Promise<void> {
    const { calls } = this.engine;
    calls.setClock(Date.now());
    while (calls.sealPage(1) > 0) {
      const turn = calls.sealedTurn();
      await this.store.commit(sealedPage(this.engine));
      calls.committed(turn);
    }
    this.#flush();
    this.#loadWanted();
  }

  /** What leaves goes to its connection's stream. */
  #flush(): void {
    const { bytes, calls, words } = this.engine;
    const count = calls.flush();
    for (let index = 0; index < count; index++) {
      const at = (abi.FLUSH + index * abi.FLUSH_RECORD_BYTES) >>> 2;
      const [connection = 0, from = 0, length = 0] = words.subarray(at, at + 3);
      const stream = this.#streams.get(connection) ?? [];
      stream.push(Buffer.from(bytes.subarray(from, from + length)));
      this.#streams.set(connection, stream);
    }
    calls.flushDone();
  }

  /** Attaches the Session to a connection, which gets what its window takes. */
  attach(session: number, connection: number): void {
    const { calls } = this.engine;
    calls.openConnection(connection);
    calls.acceptConnection(connection, 5, 0, 0);
    calls.attachSession(session, connection, 65_535);
    calls.pump(session);
  }

  /** What left for a connection since it was asked last. */
  sentTo(connection: number): readonly Publish[] {
    this.#flush();
    const stream = Buffer.concat(this.#streams.get(connection) ?? []);
    this.#streams.delete(connection);
    return publishesOf(stream);
  }

  /** A PUBACK comes. */
  acknowledge(connection: number, packetIdentifier: number): void {
    const puback = [PUBACK, 2, packetIdentifier >> 8, packetIdentifier & 0xff];
    this.engine.readRegion.set(puback);
    this.engine.calls.receive(connection, puback.length);
  }

  /** Commits what is to be committed at once, without how far Sessions are. */
  async commitUnmarked(): Promise<void> {
    const { calls } = this.engine;
    if (calls.sealPage(0) === 0) return;
    const turn = calls.sealedTurn();
    await this.store.commit(sealedPage(this.engine));
    calls.committed(turn);
  }

  /**
   * Attaches the Session to a connection that acknowledges all it gets, until nothing comes any
   * more; then the connection ends.
   *
   * @returns the payloads, in their order
   */
  async drain(session: number, connection: number): Promise<readonly Buffer[]> {
    const { calls } = this.engine;
    this.attach(session, connection);
    const payloads: Buffer[] = [];
    for (let idle = 0; idle < IDLE_TURNS; idle++) {
      await this.turn();
      await new Promise((resolve) => setImmediate(resolve));
      for (const { packetIdentifier, payload } of this.sentTo(connection)) {
        payloads.push(payload);
        this.acknowledge(connection, packetIdentifier);
        idle = 0;
      }
    }
    calls.detachSession(session, 0);
    calls.closeConnection(connection);
    await this.turn();
    return payloads;
  }

  #loadWanted(): void {
    const { words, calls } = this.engine;
    const count = calls.takeEvents();
    for (let index = 0; index < count; index++) {
      const at = (abi.EVENTS + index * abi.EVENT_BYTES) >>> 2;
      const [number, session] = [words[at + 1] as number, words[at + 2] as number];
      if (words[at] === abi.E_LOAD) this.store.load(number, session);
      else if (words[at] === abi.E_DRAIN) calls.drainShared(session, number);
    }
  }

  /** Puts everything committed into the index. */
  async index(): Promise<void> {
    const target = this.store.state(0).committedPage;
    do {
      this.store.tick(Date.now() + LATER_MILLISECONDS);
      await new Promise((resolve) => setImmediate(resolve));
    } while (this.store.state(0).indexedPage < target || this.store.state(0).wipeCount > 0);
  }

  /** @returns the address of a durable Session with these Topic Filters */
  session(clientIdentifier: string, ...topicFilters: readonly string[]): number {
    const { calls } = this.engine;
    const session = this.#lend(clientIdentifier, (at, bytes) =>
      calls.createSession(at, bytes, 0, 5, 0xffffffff),
    );
    for (const filter of topicFilters) {
      this.#lend(filter, (at, bytes) => calls.addSubscription(session, at, bytes, QOS_1, 0));
    }
    return session;
  }

  /** @returns the address of the Session, or 0 */
  find(clientIdentifier: string): number {
    const { calls } = this.engine;
    return this.#lend(clientIdentifier, (at, bytes) => calls.findSession(at, bytes));
  }

  numberOf(session: number): number {
    return this.engine.word(session + abi.SESSION_NUMBER);
  }

  publish(topic: string, payload: string | Buffer, retain = false, qos: 0 | 1 = 1): void {
    const packet = encodePublish({
      topic: Buffer.from(topic),
      payload: Buffer.from(payload),
      qos,
      retain,
      properties: Buffer.alloc(0),
    });
    const at = this.engine.keep(packet);
    let status = this.engine.calls.inject(at, packet.length);
    // To very many receivers in slices.
    while (status === abi.R_BUDGET) status = this.engine.calls.resume(0);
    this.engine.calls.freeBlock(at);
    if (status !== abi.R_DONE) throw new Error(`inject answered ${status}`);
  }

  #lend(text: string, read: (at: number, bytes: number) => number): number {
    const bytes = Buffer.from(text);
    this.engine.scratch.set(bytes);
    return read(abi.SCRATCH, bytes.length) >>> 0;
  }
}

export interface Publish {
  readonly isDuplicate: boolean;
  readonly qos: number;
  /** 0 where QoS is. */
  readonly packetIdentifier: number;
  readonly payload: Buffer;
}

/** The PUBLISH packets in a stream of version 5. */
function publishesOf(stream: Buffer): readonly Publish[] {
  const found: Publish[] = [];
  let at = 0;
  while (at < stream.length) {
    if (stream.readUInt8(at) >> 4 !== 3) throw new Error(`no PUBLISH: ${stream.readUInt8(at)}`);
    const isDuplicate = (stream.readUInt8(at) & DUP) !== 0;
    const qos = (stream.readUInt8(at) >> 1) & 3;
    let bodyBytes = 0;
    for (let shift = 0; ; shift += 7) {
      at++;
      bodyBytes += (stream.readUInt8(at) & 0x7f) << shift;
      if (stream.readUInt8(at) < 0x80) break;
    }
    const body = stream.subarray(at + 1, at + 1 + bodyBytes);
    const behindTopic = 2 + body.readUInt16BE(0);
    const properties = behindTopic + (qos === 0 ? 0 : 2);
    const behindProperties = properties + 1 + body.readUInt8(properties);
    found.push({
      isDuplicate,
      qos,
      packetIdentifier: qos === 0 ? 0 : body.readUInt16BE(behindTopic),
      payload: body.subarray(behindProperties),
    });
    at += 1 + bodyBytes;
  }
  return found;
}

/** A new engine over a directory; its store is closed when the test ends. */
export async function startLife(
  directory: string,
  options: Partial<StoreOptions> = {},
): Promise<StoreLife> {
  const life = await new StoreLife().open(directory, options);
  onTestFinished(() => life.close());
  return life;
}
