/**
 * The engine's topic modules alone, compiled for tests, with their own memory.
 *
 * The two forms of the engine, optimised and with assertions, are compiled once per state of the
 * sources and kept in the system's temporary directory.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { HEAP, PAGE_BYTES, SCRATCH } from "#assembly/abi";

/** The part of WebAssembly's JavaScript interface used here; @types/node declares none of it. */
type WebAssemblyInterface = Readonly<{
  Memory: new (
    size: Readonly<{ initial: number; maximum: number }>,
  ) => Readonly<{
    buffer: ArrayBuffer;
  }>;
  instantiate: (
    bytes: Uint8Array,
    imports: Readonly<Record<string, Readonly<Record<string, object>>>>,
  ) => Promise<Readonly<{ instance: Readonly<{ exports: object }> }>>;
}>;
const { WebAssembly: wasm } = globalThis as unknown as Readonly<{
  WebAssembly: WebAssemblyInterface;
}>;

/** Which compilation of the engine. */
export type EngineForm = "release" | "debug";

export const ENGINE_FORMS: readonly EngineForm[] = ["release", "debug"];

/** For the hook or test that loads an engine first: both forms may have to be compiled. */
export const COMPILE_TIMEOUT_MS = 120_000;

const project = fileURLToPath(new URL("../../", import.meta.url));
const assembly = join(project, "assembly");
const compiler = join(project, "node_modules/assemblyscript/bin/asc.js");
const modules = [
  "memory",
  "topic",
  "topic-tree",
  "match-cache",
  "retained-tree",
  "retained-cursor",
];
const sources = [...modules, "abi", "members", "session-layout", "topic-match", "topic-table"];
const commonFlags = [
  "--runtime=stub",
  "--importMemory",
  "--initialMemory=256",
  "--maximumMemory=65536",
  "--memoryBase=1024",
  "--enable=simd,bulk-memory,nontrapping-f2i,sign-extension",
  "--bindings=none",
];
const formFlags: Readonly<Record<EngineForm, readonly string[]>> = {
  release: ["-O3", "--noAssert", "--use=abort="],
  debug: ["--debug"],
};

/** What the modules export, as the tests call it. Addresses and numbers, booleans as 0 or 1. */
export type TreeExports = Readonly<{
  /** There where asconfig.json asks for it; else the modules start by themselves. */
  _start?: () => void;
  memoryStart: (limitBytes: bigint) => void;
  heapBytesUsed: () => bigint;
  alloc: (bytes: number) => number;
  free: (block: number) => void;
  setHashSeed: (seed: bigint) => void;
  subscribe: (
    session: number,
    at: number,
    bytes: number,
    options: number,
    identifier: number,
  ) => number;
  unsubscribe: (session: number, at: number, bytes: number) => number;
  dropSubscriptions: (session: number) => void;
  subscriptionCount: () => number;
  nextSubscription: (session: number, subscription: number) => number;
  subscriptionOptions: (subscription: number) => number;
  subscriptionIdentifier: (subscription: number) => number;
  filterOf: (subscription: number, destination: number) => number;
  lookup: (at: number, bytes: number) => number;
  match: (at: number, bytes: number) => number;
  holdList: (list: number) => void;
  releaseList: (list: number) => void;
  clearCache: () => void;
  cacheCount: () => number;
  cacheBytes: () => bigint;
  retainedSet: (at: number, bytes: number, value: number) => number;
  retainedGet: (at: number, bytes: number) => number;
  retainedRemove: (at: number, bytes: number) => number;
  retainedReplaced: () => number;
  retainedCount: () => number;
  retainedPrune: (nodesMax: number) => number;
  cursorOpen: (at: number, bytes: number) => number;
  cursorNext: (cursor: number, stepsMax: number) => number;
  cursorTopic: (cursor: number, destination: number) => number;
  cursorClose: (cursor: number) => void;
}>;

/** One receiver of a topic, as the list shows it. */
export type Receiver = Readonly<{
  session: number;
  number: number;
  bits: number;
  identifier: number;
  several: readonly (readonly [options: number, identifier: number])[];
}>;

/** An instance of the modules and the text that goes in and out of it. */
export type TreeEngine = Readonly<{
  exports: TreeExports;
  bytes: Buffer;
  /** Puts a text at SCRATCH. @returns its bytes */
  put: (text: string) => number;
  text: (at: number, bytes: number) => string;
  u32: (at: number) => number;
  /** Reserves a Session record with this number. */
  session: (number: number) => number;
}>;

const ENTRY_SEVERAL = 1 << 4;

function compiled(form: EngineForm): Buffer {
  const hash = createHash("sha256").update(JSON.stringify([modules, commonFlags, formFlags]));
  for (const name of sources) hash.update(readFileSync(join(assembly, `${name}.ts`)));
  const folder = join(tmpdir(), "holdfast-test-engine");
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${hash.digest("hex").slice(0, 24)}-${form}.wasm`);
  if (!existsSync(file)) {
    const fresh = `${file}.${process.pid}`;
    const entries = modules.map((name) => join(assembly, `${name}.ts`));
    const flags = [...commonFlags, ...formFlags[form]];
    execFileSync(process.execPath, [compiler, ...entries, "-o", fresh, ...flags], {
      cwd: project,
      stdio: ["ignore", "ignore", "inherit"],
    });
    renameSync(fresh, file);
  }
  return readFileSync(file);
}

/**
 * Compiles the modules if need be and starts an instance with an empty heap.
 *
 * @param heapBytes  WebAssembly memory behind the fixed regions
 * @param limitBytes  the allocator's cap; 0 = all of it
 */
export async function loadTreeEngine(
  form: EngineForm,
  heapBytes = 64 * 1024 * 1024,
  limitBytes = 0,
): Promise<TreeEngine> {
  const pages = Math.ceil((HEAP + heapBytes) / PAGE_BYTES);
  const memory = new wasm.Memory({ initial: pages, maximum: 65536 });
  const bytes = Buffer.from(memory.buffer);
  const abort = (message: number, _file: number, line: number): never => {
    throw new Error(`assertion at ${message}, line ${line}`);
  };
  const { instance } = await wasm.instantiate(compiled(form), { env: { memory, abort } });
  const exports = instance.exports as unknown as TreeExports;
  exports._start?.();
  exports.memoryStart(BigInt(limitBytes));
  exports.setHashSeed(0x0123456789abcdefn);
  const u32 = (at: number): number => bytes.readUInt32LE(at >>> 0);
  return {
    exports,
    bytes,
    put: (text) => bytes.write(text, SCRATCH, "utf8"),
    text: (at, length) => bytes.toString("utf8", at >>> 0, (at >>> 0) + length),
    u32,
    session: (number) => {
      const at = exports.alloc(64) >>> 0;
      bytes.fill(0xa5, at, at + 64); // Only what the layout asks for is cleared.
      bytes.writeUInt32LE(number, at);
      bytes.writeUInt32LE(0, at + 4);
      return at;
    },
  };
}

function readReceiver(engine: TreeEngine, list: number, entry: number): Receiver {
  const bits = engine.u32(entry + 8);
  const identifiers = engine.u32(entry + 12);
  const several: [number, number][] = [];
  if ((bits & ENTRY_SEVERAL) !== 0) {
    const raw = list + identifiers;
    for (let index = 0; index < engine.u32(raw); index++) {
      several.push([engine.u32(raw + 4 + 8 * index), engine.u32(raw + 8 + 8 * index)]);
    }
  }
  const identifier = several.length === 0 ? identifiers : 0;
  return {
    session: engine.u32(entry),
    number: engine.u32(entry + 4),
    bits,
    identifier,
    several,
  };
}

/** Matches as the engine does, through the cache, and releases the list. */
export function receiversOf(engine: TreeEngine, topic: string): Receiver[] {
  const { exports } = engine;
  const length = engine.put(topic);
  let list = exports.lookup(SCRATCH, length) >>> 0;
  if (list === 0) list = exports.match(SCRATCH, length) >>> 0;
  if (list === 0) throw new Error("no memory for the match");
  const receivers: Receiver[] = [];
  for (let index = 0; index < engine.u32(list + 8); index++) {
    receivers.push(readReceiver(engine, list, list + 16 + 16 * index));
  }
  exports.releaseList(list);
  return receivers;
}

/** All topics that a cursor finds, in slices of so many steps. */
export function retainedTopics(engine: TreeEngine, filter: string, stepsMax = 7): string[] {
  const { exports } = engine;
  const cursor = exports.cursorOpen(SCRATCH, engine.put(filter)) >>> 0;
  const found: string[] = [];
  for (;;) {
    const value = exports.cursorNext(cursor, stepsMax) >>> 0;
    if (value === 0) break;
    if (value === 1) continue;
    found.push(engine.text(SCRATCH, exports.cursorTopic(cursor, SCRATCH)));
  }
  exports.cursorClose(cursor);
  return found;
}
