/**
 * The WebAssembly engine: sole owner of its memory and of the views on it.
 *
 * Addresses are numbers, 0 … 2^32 − 1. The memory is reserved whole at the start and never grows,
 * so no view is ever detached; pages cost nothing until they are touched.
 */
import { readFileSync } from "node:fs";
import * as abi from "#assembly/abi";
import { monotonicSeconds, unixMilliseconds } from "../base/clock.ts";
import { StartError } from "../base/errors.ts";

/** What the engine exports: see assembly/index.ts. i32 in, i32 out. */
interface EngineExports {
  /** Sets up the engine's globals; before anything else. */
  _start(): void;
  allocBlock(bytes: number): number;
  freeBlock(at: number): void;
  heapBlocksUsed(): number;
  heapBytesCap(): bigint;
  heapBytesCommitted(): bigint;
  heapBytesUsed(): bigint;
  memoryStart(limitBytes: bigint): void;
  memoryTight(): number;
  configure(
    packetBytesMax: number,
    receiveMaximum: number,
    inFlightMax: number,
    queuedMessagesMax: number,
    queuedBytesMax: number,
    outgoingBytesMax: number,
    topicAliasMaximum: number,
    payloadBytesMax: number,
    mayRetain: number,
    topicAliasOutMaximum: number,
  ): void;
  configureQueues(
    overflow: number,
    qos0: number,
    expirySecondsMax: number,
    retainedSecondsMax: number,
  ): void;
  configureShared(strategy: number): void;
  /** @returns 0, or 1 where there is no room for one more */
  addQueueRule(
    at: number,
    bytes: number,
    messagesMax: number,
    queuedBytesMax: number,
    overflow: number,
    qos0: number,
    expirySecondsMax: number,
    keepsLast: number,
  ): number;
  clearQueueRules(): void;
  setPayloadsChecked(on: number): void;
  setRecording(on: number, freshMsMax: number): void;
  setRefusing(reason: number): void;
  setTurn(turn: number): void;
  /** @param activeSeconds  see assembly/settings.ts; left out: as it was */
  setClock(unixMs: number, monotonicSeconds?: number): void;
  /** Unix time, milliseconds, as setClock() made it. */
  clockMs(): number;
  takeEvents(): number;
  acceptConnection(
    connection: number,
    version: number,
    packetBytesMax: number,
    topicAliasMaximum: number,
  ): void;
  closeConnection(connection: number): number;
  setAuthenticating(connection: number, on: number): void;
  /** @returns the number of the mount point, or 0: no memory */
  addMount(at: number, bytes: number): number;
  mountConnection(connection: number, mount: number): void;
  limitQos(connection: number, qosMax: number): void;
  committed(turn: number): void;
  flushDone(): number;
  openConnection(connection: number): number;
  written(connection: number): number;
  inject(at: number, bytes: number): number;
  slicesLeft(): number;
  park(): number;
  isParked(connection: number): number;
  receive(connection: number, bytes: number): number;
  resume(connection: number): number;
  flush(): number;
  /** Takes over a block of the heap. @returns a rule set with a reference for the caller, or 0 */
  internRules(block: number, bytes: number): number;
  releaseRules(set: number): void;
  ruleSetCount(): number;
  ruleSetBytes(): number;
  /** Takes over the caller's reference. @param set  0: everything is allowed */
  setRules(session: number, set: number): void;
  setTellsDenied(on: number): void;
  guardBytes(): number;
  /** @returns 0, or a negative status: no memory */
  limitRate(session: number, perSecond: number, burst: number): number;
  answerAccess(session: number, allowed: number, at: number, bytes: number, seconds: number): void;
  /** Whether the Session may be sent messages of a topic. */
  mayRead(session: number, at: number, bytes: number): number;
  mayPublishWill(session: number, at: number, bytes: number): number;
  setUser(session: number, at: number, bytes: number, port: number): number;
  attachSession(session: number, connection: number, receiveMaximum: number): void;
  createSession(
    at: number,
    bytes: number,
    number: number,
    version: number,
    expiryInterval: number,
  ): number;
  detachSession(session: number, expiresSeconds: number): void;
  endSession(session: number): void;
  findSession(at: number, bytes: number): number;
  sessionAfter(session: number): number;
  freeSessionTable(): void;
  sessionCount(): number;
  sessionOfNumber(number: number): number;
  nextSessionNumber(): number;
  setNumbers(next: number): void;
  nextMessageId(): bigint;
  setMessageId(next: bigint): void;
  expireNext(nowSeconds: number): number;
  setExpiry(session: number, expiryInterval: number, version: number): void;
  setSessionSeed(seed: bigint): void;
  setHashSeed(seed: bigint): void;
  pump(session: number): void;
  addSubscription(
    session: number,
    at: number,
    bytes: number,
    options: number,
    identifier: number,
  ): number;
  removeSubscription(session: number, at: number, bytes: number): number;
  /** @param epoch  another one than before; 0: publishers of retained messages are not judged */
  setSources(epoch: number): void;
  judgeSource(message: number, allowed: number): void;
  continueRetained(connection: number): number;
  startRetained(
    connection: number,
    at: number,
    bytes: number,
    options: number,
    identifier: number,
  ): number;
  /** @returns 1 where it is to be called again in a later turn */
  sweepRetained(): number;
  retainedRoom(connection: number, filterBytes: number): number;
  dropRetained(at: number, bytes: number): void;
  retainedCount(): number;
  subscriptionCount(): number;
  sharedCount(): number;
  drainShared(group: number, number: number): void;
  firstFilter(): number;
  nextFilter(): number;
  send(connection: number, at: number, bytes: number, hold: number): number;
  /** @returns 1 where the connected Session gets what is published to the topic */
  isReceiver(session: number, at: number, bytes: number): number;
  journalWill(
    number: number,
    delaySeconds: number,
    dueSecond: number,
    at: number,
    bytes: number,
  ): void;
  journalBytes(): number;
  pageHeld(): number;
  pagePending(): number;
  sealPage(withMarks: number): number;
  sealedAt(): number;
  sealedBytes(): number;
  sealedTurn(): number;
  sealedApartAt(index: number): number;
  sealedApartBytes(index: number): number;
  sealedApartCount(): number;
  indexBegin(turn: number): void;
  indexGather(rowsMax: number): number;
  indexOperations(): number;
  indexCommitted(): void;
  indexReplaced(number: number, sequence: bigint, bytes: number): number;
  loadWanted(session: number, number: number): bigint;
  loadsLatest(session: number, number: number): number;
  loadSegment(
    session: number,
    number: number,
    at: number,
    bytes: number,
    key: bigint,
    end: bigint,
  ): number;
  loadMissing(): bigint;
  loadMessage(id: bigint, at: number, bytes: number): number;
  loadNone(session: number, number: number): void;
  loadSession(number: number, at: number, bytes: number): number;
  loadSubscriptions(number: number, at: number, bytes: number): number;
  loadRetained(at: number, bytes: number): number;
  recoveryEnd(nowSeconds: number): void;
  dropUnindexed(): void;
  dropKeptJobs(session: number): void;
  freeSpare(): void;
  replay(at: number, bytes: number): number;
  replayApart(index: number, at: number, bytes: number): number;
  replayedWills(): number;
  replayedWill(index: number): number;
  dumpSession(session: number): void;
  clearCache(): void;
  cacheCount(): number;
  match(at: number, bytes: number): number;
  lookup(at: number, bytes: number): number;
  releaseList(list: number): void;
  cutPacket(at: number, end: number, packetBytesMax: number, version: number): number;
  decodePacket(version: number, at: number, end: number): number;
  decodePublish(version: number, at: number, end: number): number;
  topicNameStatus(at: number, bytes: number): number;
  payloadUtf8Valid(at: number, bytes: number): number;
  utf8Valid(at: number, bytes: number): number;
}

/** Which build of the engine: `debug` keeps its assertions. */
export type EngineBuild = "release" | "debug";

/** Pages of 64 KiB to try, largest first: an address-space limit may forbid the larger ones. */
const MEMORY_PAGES = [65536, 16384, 4096] as const;

/** U+FEFF is a character as any other [MQTT-1.5.4-3]. */
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

function reserve(): WebAssembly.Memory {
  for (const pages of MEMORY_PAGES) {
    try {
      return new WebAssembly.Memory({ initial: pages, maximum: 65536 });
    } catch {
      // Too large for this process: try the next.
    }
  }
  throw new StartError(
    "cannot reserve 256 MiB of address space for the engine; raise the limit (ulimit -v)",
  );
}

function loadModule(build: EngineBuild): WebAssembly.Module {
  const name = build === "debug" ? "engine.debug.wasm" : "engine.wasm";
  // The same relative place from src/engine (tests) and from dist/engine.
  for (const folder of ["../", "../../dist/"]) {
    try {
      return new WebAssembly.Module(readFileSync(new URL(`${folder}${name}`, import.meta.url)));
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
    }
  }
  throw new StartError(`${name} is not built: run npm run build`);
}

/** What memory and limits the engine works with. */
export interface EngineOptions {
  readonly build: EngineBuild;
  /** Cap of the heap, bytes; 0 = all that is reserved. */
  readonly memoryBytesMax: number;
}

export class Engine {
  readonly memory: WebAssembly.Memory;
  readonly calls: EngineExports;
  readonly bytes: Buffer;
  readonly words: Uint32Array;
  /** SCRATCH: texts are written here, since Buffer's own writes fail in a buffer of 4 GiB. */
  readonly scratch: Buffer;
  /** Where the kernel puts what it read. */
  readonly readRegion: Buffer;

  constructor(options: EngineOptions) {
    this.memory = reserve();
    const { buffer } = this.memory;
    const instance = new WebAssembly.Instance(loadModule(options.build), {
      env: {
        memory: this.memory,
        abort: (message: number, file: number, line: number, column: number): never => {
          throw new Error(`engine: assertion failed at ${file}:${line}:${column} (${message})`);
        },
      },
    });
    this.calls = instance.exports as unknown as EngineExports;
    this.bytes = Buffer.from(buffer);
    this.words = new Uint32Array(buffer);
    this.scratch = Buffer.from(buffer, abi.SCRATCH, abi.SCRATCH_BYTES);
    this.readRegion = Buffer.from(buffer, abi.READ, abi.READ_BYTES);
    this.calls._start();
    this.calls.memoryStart(BigInt(options.memoryBytesMax));
    this.setClock();
  }

  /** Tells the engine what time it is. */
  setClock(): void {
    this.calls.setClock(unixMilliseconds(), monotonicSeconds());
  }

  /** A u32 field of DECODED. */
  decoded(offset: number): number {
    return this.words[(abi.DECODED + offset) >>> 2] as number;
  }

  /** Whether the packet decoded last has the property. */
  hasProperty(identifier: number): boolean {
    return hasBit(this, abi.D_PRESENT, identifier);
  }

  hasWillProperty(identifier: number): boolean {
    return hasBit(this, abi.D_WILL_PRESENT, identifier);
  }

  /** Value of a numeric property, or `absent`. */
  numberProperty(identifier: number, absent: number): number {
    return this.hasProperty(identifier) ? this.decoded(abi.D_VALUES + identifier * 8) : absent;
  }

  /** A UTF-8 string in memory; it was validated when it was decoded. */
  text(at: number, bytes: number): string {
    return decoder.decode(this.bytes.subarray(at, at + bytes));
  }

  /** A counter of STATS. */
  counter(offset: number): number {
    const at = (abi.STATS + offset) >>> 2;
    return (this.words[at] as number) + (this.words[at + 1] as number) * 2 ** 32;
  }

  /** Bytes of a connection came that are not handed in yet: its Keep Alive counts from now. */
  heard(connection: number): void {
    const record = abi.CONNECTIONS + connection * abi.CONNECTION_BYTES;
    this.words[(record + abi.C_ACTIVE_SECONDS) >>> 2] = monotonicSeconds();
  }

  /** A u32 field of a record at an address that is a multiple of 4. */
  word(at: number): number {
    return this.words[at >>> 2] as number;
  }

  /** Copies bytes into a block of the engine's heap. @returns its address, or 0: no memory */
  keep(bytes: Uint8Array): number {
    const at = this.calls.allocBlock(Math.max(bytes.length, 1)) >>> 0;
    if (at !== 0) this.bytes.set(bytes, at);
    return at;
  }
}

function hasBit(engine: Engine, offset: number, identifier: number): boolean {
  const word = engine.decoded(offset + (identifier >> 5) * 4);
  return ((word >>> (identifier & 31)) & 1) === 1;
}
