/**
 * The decoder on its own: compiled by asc from its sources with the flags of asconfig.json, once
 * for each state of the sources, and given a memory. Beside it, builders for the bytes of packets.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { DECODED } from "#assembly/abi";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const ENTRIES = ["varint", "utf8", "properties", "decode", "publish-decode"];
const SOURCES = [...ENTRIES, "abi", "spec"].map((name) => join("assembly", `${name}.ts`));
const PAGES = 256;

/** The part of WebAssembly's JavaScript interface used here; @types/node declares none of it. */
interface WebAssemblyInterface {
  readonly Memory: new (size: {
    readonly initial: number;
    readonly maximum: number;
  }) => { readonly buffer: ArrayBuffer };
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: Readonly<Record<string, Readonly<Record<string, object>>>>,
  ) => { readonly exports: object };
}
const { Memory, Module, Instance } = (
  globalThis as unknown as { readonly WebAssembly: WebAssemblyInterface }
).WebAssembly;

/** Both builds of asconfig.json. */
export const BUILDS = ["release", "debug"] as const;
export type Build = (typeof BUILDS)[number];

/** What the decoder exports; addresses and sizes as numbers. */
export interface CodecExports {
  readonly readVarint: (at: number, end: number) => number;
  readonly varintBytes: (at: number) => number;
  readonly varintSize: (value: number) => number;
  readonly writeVarint: (at: number, value: number) => number;
  readonly headerBytes: (packetBytes: number) => number;
  readonly readTwoBytes: (at: number) => number;
  readonly readFourBytes: (at: number) => number;
  /** 0 or 1. */
  readonly utf8Valid: (at: number, bytes: number) => number;
  /** 0 or 1. */
  readonly payloadUtf8Valid: (at: number, bytes: number) => number;
  readonly topicNameStatus: (at: number, bytes: number) => number;
  readonly filterStatus: (at: number, bytes: number) => number;
  /** 0 or 1. */
  readonly hasProperty: (identifier: number) => number;
  readonly readProperties: (kind: number, at: number, end: number) => number;
  readonly cutPacket: (at: number, end: number, packetBytesMax: number, version: number) => number;
  readonly decodePacket: (version: number, at: number, end: number) => number;
  readonly firstFilter: () => number;
  readonly nextFilter: () => number;
  readonly decodePublish: (version: number, at: number, end: number) => number;
  readonly decodeAcknowledgement: (version: number, at: number, end: number) => number;
}

/** An instance of the decoder and its memory, which never grows. */
export interface Codec extends CodecExports {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/** The compiled decoder; compiles it where no run before has. */
function compiled(build: Build): object {
  const hash = createHash("sha256");
  for (const source of [...SOURCES, "asconfig.json"]) hash.update(readFileSync(join(ROOT, source)));
  const directory = join(tmpdir(), `holdfast-codec-${hash.digest("hex").slice(0, 16)}`);
  const file = join(directory, `${build}.wasm`);
  if (!existsSync(file)) {
    mkdirSync(directory, { recursive: true });
    const partial = join(directory, `${build}.${process.pid}.wasm`);
    const asc = join(ROOT, "node_modules", "assemblyscript", "bin", "asc.js");
    const entries = ENTRIES.map((name) => join("assembly", `${name}.ts`));
    execFileSync(process.execPath, [asc, ...entries, "--target", build, "--outFile", partial], {
      cwd: ROOT,
      stdio: "pipe",
    });
    renameSync(partial, file); // Another process may do the same: either file will do.
  }
  return new Module(readFileSync(file));
}

/** A fresh decoder; an assertion of the debug build throws. */
export function loadCodec(build: Build): Codec {
  const memory = new Memory({ initial: PAGES, maximum: 65536 });
  const abort = (_text: number, _file: number, line: number, column: number): never => {
    throw new Error(`assertion failed at ${line}:${column}`);
  };
  const instance = new Instance(compiled(build), { env: { memory, abort } });
  // A constant that the compiler could not fold is only there after this.
  (instance.exports as { readonly _start?: () => void })._start?.();
  const bytes = new Uint8Array(memory.buffer);
  const view = new DataView(memory.buffer);
  return { ...(instance.exports as unknown as CodecExports), bytes, view };
}

/**
 * Puts bytes where the memory ends, so that a read behind them traps.
 *
 * @returns their address
 */
export function placeAtEnd(codec: Codec, bytes: Uint8Array): number {
  const at = codec.bytes.length - bytes.length;
  codec.bytes.set(bytes, at);
  return at;
}

/** A u32 field of DECODED, by its offset in abi.ts. */
export function decoded(codec: Codec, field: number): number {
  return codec.view.getUint32(DECODED + field, true);
}

/** The text that a field of DECODED and the one behind it, address and bytes, point to. */
export function decodedText(codec: Codec, field: number): string {
  const at = decoded(codec, field);
  return Buffer.from(codec.bytes.subarray(at, at + decoded(codec, field + 4))).toString("utf8");
}

/** Bytes, text in UTF-8, or a list of such. */
export type Part = number | string | Uint8Array | readonly Part[];

/** Puts parts one behind the other. */
export function joined(...parts: readonly Part[]): Uint8Array {
  const pieces = parts.map((part) => {
    if (typeof part === "number") return Uint8Array.of(part);
    if (typeof part === "string") return Buffer.from(part, "utf8");
    return part instanceof Uint8Array ? part : joined(...part);
  });
  return Uint8Array.from(Buffer.concat(pieces));
}

/** A Variable Byte Integer. */
export function variable(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return Uint8Array.from([...bytes, rest]);
}

/** A string or binary field: two bytes of length before it. */
export function field(...parts: readonly Part[]): Uint8Array {
  const content = joined(...parts);
  return joined(content.length >> 8, content.length & 0xff, content);
}

/** A property list with its length. */
export function properties(...parts: readonly Part[]): Uint8Array {
  const content = joined(...parts);
  return joined(variable(content.length), content);
}

/** A packet with its fixed header. */
export function packet(first: number, ...parts: readonly Part[]): Uint8Array {
  const content = joined(...parts);
  return joined(first, variable(content.length), content);
}

/**
 * Judges one packet twice: at the memory's end, where a read behind it traps, and amid bytes that
 * would be read as valid fields. Both must answer the same.
 *
 * @returns 0, or the Reason Code
 */
export function judge(codec: Codec, version: number, bytes: Uint8Array): number {
  const amid = 0x20000;
  codec.bytes.fill(0x01, amid, amid + bytes.length + 512);
  codec.bytes.set(bytes, amid);
  const first = codec.decodePacket(version, amid, amid + bytes.length);
  const at = placeAtEnd(codec, bytes);
  const status = codec.decodePacket(version, at, at + bytes.length);
  if (first !== status) throw new Error(`${first} amid other bytes, ${status} at the memory's end`);
  return status === 0 ? 0 : -status;
}
