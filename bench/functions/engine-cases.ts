/** The engine as a contender: its sources compiled with their release flags, beside some loops. */
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ProtocolLevel, QoS } from "../load/packet.ts";
import type { FunctionCase } from "./case.ts";
import { packTexts, type Texts } from "./workload.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** 1 GiB of address space; what is not touched costs nothing. */
const PAGES = 16_384;
const PAGES_MAX = 65_536;
const SPAN_BYTES = 8;

/** The part of WebAssembly's JavaScript interface used here; @types/node declares none of it. */
interface WebAssemblyInterface {
  readonly Memory: new (limits: {
    readonly initial: number;
    readonly maximum: number;
  }) => { readonly buffer: ArrayBuffer };
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: { readonly env: { readonly memory: object } },
  ) => { readonly exports: unknown };
}
const { Instance, Memory, Module } = (
  globalThis as unknown as { readonly WebAssembly: WebAssemblyInterface }
).WebAssembly;

/** What engine-loops.as exports; addresses and sizes as numbers. */
interface LoopExports {
  /** Sets the engine's globals, where their values are not constants. */
  _start?(): void;
  prepare(): void;
  alloc(bytes: number): number;
  heapBytesUsed(): bigint;
  decodeAll(version: number, at: number, end: number): number;
  encodeAll(
    version: number,
    qos: number,
    topicAt: number,
    topicBytes: number,
    payloadAt: number,
    payloadBytes: number,
    messages: number,
    receivers: number,
  ): number;
  makeSessions(count: number): number;
  subscribeAll(sessions: number, texts: number, count: number): number;
  matchCached(texts: number, count: number): number;
  matchTree(texts: number, count: number): number;
  utf8All(texts: number, count: number): number;
}

function compile(): Uint8Array {
  const directory = mkdtempSync(join(tmpdir(), "bench-engine-"));
  try {
    cpSync(join(ROOT, "assembly"), join(directory, "assembly"), { recursive: true });
    cpSync(join(ROOT, "asconfig.json"), join(directory, "asconfig.json"));
    cpSync(join(ROOT, "bench/functions/engine-loops.as"), join(directory, "loops.ts"));
    const asc = join(ROOT, "node_modules/assemblyscript/bin/asc.js");
    const args = [asc, "loops.ts", "--target", "release", "--outFile", "loops.wasm"];
    execFileSync(process.execPath, args, {
      cwd: directory,
      stdio: ["ignore", "pipe", "pipe"],
    });
    return readFileSync(join(directory, "loops.wasm"));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** A fresh engine, its memory, and makers of cases on it. */
export class EngineBench {
  private readonly loops: LoopExports;
  private readonly bytes: Uint8Array;
  private readonly view: DataView;

  constructor(module: object) {
    const memory = new Memory({ initial: PAGES, maximum: PAGES_MAX });
    const { exports } = new Instance(module, { env: { memory } });
    this.loops = exports as LoopExports;
    this.bytes = new Uint8Array(memory.buffer);
    this.view = new DataView(memory.buffer);
    this.loops._start?.();
    this.loops.prepare();
  }

  /** Subscribes one Session to each filter. @returns bytes of engine memory for each filter */
  subscribe(filters: readonly string[]): number {
    const texts = this.placeTexts(packTexts(filters));
    const sessions = this.loops.makeSessions(filters.length) >>> 0;
    const before = this.loops.heapBytesUsed();
    const done = this.loops.subscribeAll(sessions, texts, filters.length);
    if (done !== filters.length) throw new Error(`the engine took ${done} subscriptions`);
    return Number(this.loops.heapBytesUsed() - before) / filters.length;
  }

  decodeCase(level: ProtocolLevel, stream: Uint8Array, packets: number): FunctionCase {
    const at = this.place(stream);
    return this.case(packets, () => this.loops.decodeAll(level, at, at + stream.length));
  }

  encodeCase(
    level: ProtocolLevel,
    qos: QoS,
    topic: string,
    payload: Uint8Array,
    messages: number,
    receivers: number,
  ): FunctionCase {
    const { loops } = this;
    const topicAt = this.place(Buffer.from(topic));
    const payloadAt = this.place(payload);
    return this.case(messages * receivers, () =>
      loops.encodeAll(
        level,
        qos,
        topicAt,
        topic.length,
        payloadAt,
        payload.length,
        messages,
        receivers,
      ),
    );
  }

  /** @param topics  each matches one filter */
  matchCase(topics: readonly string[], cached: boolean): FunctionCase {
    const { loops } = this;
    const texts = this.placeTexts(packTexts(topics));
    return this.case(topics.length, () =>
      cached ? loops.matchCached(texts, topics.length) : loops.matchTree(texts, topics.length),
    );
  }

  utf8Case(texts: Texts): FunctionCase {
    const at = this.placeTexts(texts);
    return this.case(texts.spans.length, () => this.loops.utf8All(at, texts.spans.length));
  }

  private case(operations: number, run: () => number): FunctionCase {
    return { contender: "engine", operations, run };
  }

  private place(data: Uint8Array): number {
    const at = this.loops.alloc(Math.max(data.length, 1)) >>> 0;
    if (at === 0) throw new Error("no engine memory");
    this.bytes.set(data, at);
    return at;
  }

  /** @returns address of a table of {u32 address, u32 bytes} */
  private placeTexts(texts: Texts): number {
    const data = this.place(texts.data);
    const table = this.place(new Uint8Array(texts.spans.length * SPAN_BYTES));
    texts.spans.forEach((span, index) => {
      this.view.setUint32(table + index * SPAN_BYTES, data + span.at, true);
      this.view.setUint32(table + index * SPAN_BYTES + 4, span.bytes, true);
    });
    return table;
  }
}

/** @returns a maker of fresh engines; the compiler runs once */
export function engineMaker(): () => EngineBench {
  const module = new Module(compile());
  return () => new EngineBench(module);
}
