/**
 * What a process wrote to its files, as strace saw it, and what a power cut would have left of it.
 *
 *   begin        end             begin       end            cut
 *     ├── write ──┤                ├── sync ──┤               │
 *     the page cache has it from here         the disk surely has it from here
 *
 * At a cut each 4 KiB block that no sync covers is on the disk as it was, or as any write since
 * made it: the kernel writes back blocks whenever and in whatever order it likes.
 */
import { closeSync, openSync, readFileSync, readSync, statSync } from "node:fs";
import { until } from "./await.ts";
import type { Random } from "./mutate.ts";

const BLOCK_BYTES = 4096;

/** System calls that change a file, or make its changes last. */
const CALLS = [
  "openat,close,lseek,dup,mmap",
  "write,writev,pwrite64,pwritev,pwritev2",
  "ftruncate,fallocate,copy_file_range,sendfile",
  "fsync,fdatasync,msync,sync_file_range",
].join(",");

/** Program and arguments that run another program and write down what it does to these files. */
export function tracing(traceFile: string, files: readonly string[]): readonly string[] {
  const paths = files.flatMap((file) => ["-P", file]);
  // -D: the traced program is the child, and strace its companion.
  const form = ["-D", "-f", "--seccomp-bpf", "-q", "-ttt", "-y", "-xx", "-s", "100000000"];
  return [
    "strace",
    ...form,
    "-e",
    `trace=${CALLS}`,
    "-e",
    "signal=none",
    ...paths,
    "-o",
    traceFile,
  ];
}

const TRACE_MS_MAX = 30_000;
const TAIL_BYTES = 1000;

/** Settles when strace has written down the end of the process, which is the last it writes. */
export function traceEnded(traceFile: string, pid: number): Promise<void> {
  const end = new RegExp(`^${pid} .* \\+\\+\\+ (?:exited|killed)`, "m");
  const hasEnded = (): boolean => {
    const file = openSync(traceFile, "r");
    const tail = Buffer.alloc(TAIL_BYTES);
    const from = Math.max(0, statSync(traceFile).size - TAIL_BYTES);
    const length = readSync(file, tail, 0, TAIL_BYTES, from);
    closeSync(file);
    return end.test(tail.toString("latin1", 0, length));
  };
  return until("end of the trace", hasEnded, TRACE_MS_MAX);
}

export interface FileStep {
  readonly file: string;
  readonly kind: "write" | "sync";
  readonly offset: number;
  readonly bytes: Buffer;
  /** The write lasts as soon as it ends: the file was opened with O_DSYNC or O_SYNC. */
  readonly isSynchronous: boolean;
}

/** Where a cut may fall: behind each of these. */
export interface Moment {
  /** Unix time in microseconds, not later than the moment itself. */
  readonly atMicroseconds: number;
  readonly phase: "begin" | "end";
  readonly step: FileStep;
}

interface Call {
  readonly name: string;
  /** Everything between the brackets. */
  readonly argumentText: string;
}

/**
 * Reads a trace.
 *
 * @throws Error at a call that changes a file in a way that is not followed
 */
export function readTrace(traceFile: string): readonly Moment[] {
  const reader = new TraceReader();
  for (const line of readFileSync(traceFile, "latin1").split("\n")) {
    if (line !== "") reader.take(line);
  }
  return reader.moments;
}

class TraceReader {
  readonly moments: Moment[] = [];
  readonly #positions = new Map<string, number>();
  readonly #synchronous = new Set<string>();
  /** Per thread, the call that has begun and not ended. */
  readonly #begun = new Map<string, { readonly call: Call; readonly step: FileStep | null }>();

  take(line: string): void {
    const [, thread = "", seconds = "", fraction = "", rest = ""] =
      /^(\d+)\s+(\d+)\.(\d{6}) ([\s\S]*)$/.exec(line) ?? [];
    const atMicroseconds = Number(seconds) * 1e6 + Number(fraction);
    if (rest.startsWith("+++") || rest.startsWith("---")) return;
    const resumed = /^<\.\.\. \w+ resumed>/.test(rest);
    const unfinished = rest.endsWith("<unfinished ...>");
    let begun = resumed ? this.#begun.get(thread) : undefined;
    if (!resumed) {
      const call = callOf(rest);
      begun = { call, step: this.#stepOf(call) };
      if (begun.step) this.moments.push({ atMicroseconds, phase: "begin", step: begun.step });
      if (unfinished) this.#begun.set(thread, begun);
    }
    if (unfinished || begun === undefined) return;
    this.#begun.delete(thread);
    this.#end(begun.call, begun.step, rest, atMicroseconds);
  }

  #end(call: Call, step: FileStep | null, rest: string, atMicroseconds: number): void {
    const [, result = ""] = /\) = (-?\w+)[^)]*$/.exec(rest) ?? [];
    if (result === "-1") throw new Error(`failed: ${rest.slice(-200)}`);
    if (call.name === "openat") this.#open(call, rest);
    const descriptor = descriptorOf(call);
    if (call.name === "lseek") this.#positions.set(descriptor, Number(result));
    if (step === null) return;
    if (step.kind === "write" && Number(result) !== step.bytes.length) {
      throw new Error(`a short write: ${result} of ${step.bytes.length}`);
    }
    this.moments.push({ atMicroseconds, phase: "end", step });
  }

  #open(call: Call, rest: string): void {
    const [, descriptor = ""] = / = (\d+)</.exec(rest) ?? [];
    this.#positions.set(descriptor, 0);
    if (/\bO_D?SYNC\b/.test(call.argumentText)) this.#synchronous.add(descriptor);
    else this.#synchronous.delete(descriptor);
  }

  #stepOf(call: Call): FileStep | null {
    const { name, argumentText } = call;
    if (["openat", "close", "lseek", "dup"].includes(name)) return null;
    const descriptor = descriptorOf(call);
    if (name === "mmap") {
      if (/PROT_WRITE/.test(argumentText) && /MAP_SHARED/.test(argumentText)) {
        throw new Error("a file is written through its mapping, which no trace shows");
      }
      return null;
    }
    const file = decode(/<((?:\\x[0-9a-f]{2})*)>/.exec(argumentText)?.[1] ?? "").toString();
    const isSynchronous = this.#synchronous.has(descriptor);
    if (name === "fsync" || name === "fdatasync") {
      return { file, kind: "sync", offset: 0, bytes: Buffer.alloc(0), isSynchronous };
    }
    if (!/^(?:p?writev?|pwrite64|pwritev2)$/.test(name)) throw new Error(`not followed: ${name}`);
    const bytes = bytesOf(argumentText);
    if (name.startsWith("p")) {
      const [, written = ""] =
        /, (\d+)\)?(?:\s|$)/.exec(argumentText.replaceAll(/"[^"]*"/g, "")) ?? [];
      return { file, kind: "write", offset: Number(written), bytes, isSynchronous };
    }
    const offset = this.#positions.get(descriptor) ?? 0;
    this.#positions.set(descriptor, offset + bytes.length);
    return { file, kind: "write", offset, bytes, isSynchronous };
  }
}

function callOf(rest: string): Call {
  const bracket = rest.indexOf("(");
  const end = rest.endsWith("<unfinished ...>")
    ? rest.length - "<unfinished ...>".length
    : rest.lastIndexOf(") = ");
  return { name: rest.slice(0, bracket), argumentText: rest.slice(bracket + 1, end) };
}

function descriptorOf(call: Call): string {
  return /^(?:NULL, .*, )?(\d+)</.exec(call.argumentText)?.[1] ?? "";
}

/** All strings of the call in a row, which is what it writes. */
function bytesOf(argumentText: string): Buffer {
  const strings = [...argumentText.matchAll(/"([^"]*)"(\.\.\.)?/g)];
  if (strings.some(([, , more]) => more !== undefined)) throw new Error("a string was cut short");
  return Buffer.concat(strings.map(([, written = ""]) => decode(written)));
}

function decode(written: string): Buffer {
  return Buffer.from(written.replaceAll("\\x", ""), "hex");
}

interface Version {
  readonly number: number;
  readonly content: Buffer;
}

/** One file, followed through a trace. */
export class TracedFile {
  /** What a reader of the live system sees. */
  readonly #cache: Buffer;
  /** What is surely on the disk. */
  readonly #disk: Buffer;
  #cacheBytes: number;
  #diskBytes: number;
  #versionCount = 0;
  /** Block → what it was made since the last sync that covers it. */
  readonly #dirty = new Map<number, Version[]>();
  /** Writes that have begun and not ended. */
  readonly #pending = new Set<FileStep>();
  readonly #syncs = new Map<FileStep, { readonly version: number; readonly bytes: number }>();

  /** @param bytesMax  as long as the file ever gets */
  constructor(base: Buffer, bytesMax: number) {
    const blockCount = Math.ceil(Math.max(bytesMax, base.length) / BLOCK_BYTES) + 1;
    this.#cache = Buffer.alloc(blockCount * BLOCK_BYTES);
    base.copy(this.#cache);
    this.#disk = Buffer.from(this.#cache);
    this.#cacheBytes = base.length;
    this.#diskBytes = base.length;
  }

  take({ phase, step }: Moment): void {
    if (step.kind === "sync") {
      if (phase === "begin") {
        this.#syncs.set(step, { version: this.#versionCount, bytes: this.#cacheBytes });
      } else this.#settle(step);
    } else if (phase === "begin") this.#pending.add(step);
    else this.#write(step);
  }

  /** The file as a crash of the process alone leaves it. */
  afterKill(): Buffer {
    return Buffer.from(this.#cache.subarray(0, this.#cacheBytes));
  }

  /** The file as a power cut may leave it. */
  afterPowerCut(random: Random): Buffer {
    const image = Buffer.from(this.#disk);
    let bytes = this.#diskBytes;
    const keep = (block: number, content: Buffer): void => {
      const end = (block + 1) * BLOCK_BYTES;
      content.copy(image, block * BLOCK_BYTES);
      bytes = Math.max(bytes, end);
    };
    for (const [block, versions] of this.#dirty) {
      const chosen = versions[random(versions.length + 1) - 1];
      if (chosen !== undefined) keep(block, chosen.content);
    }
    for (const step of this.#pending) {
      const cache = Buffer.from(this.#cache);
      step.bytes.copy(cache, step.offset);
      for (const block of blocksOf(step)) {
        if (random(2) === 0) keep(block, blockAt(cache, block));
      }
    }
    return image.subarray(0, bytes);
  }

  #write(step: FileStep): void {
    this.#pending.delete(step);
    step.bytes.copy(this.#cache, step.offset);
    this.#cacheBytes = Math.max(this.#cacheBytes, step.offset + step.bytes.length);
    this.#versionCount += 1;
    for (const block of blocksOf(step)) {
      const content = Buffer.from(blockAt(this.#cache, block));
      if (step.isSynchronous) {
        content.copy(this.#disk, block * BLOCK_BYTES);
        this.#diskBytes = Math.max(this.#diskBytes, step.offset + step.bytes.length);
        this.#dirty.delete(block);
        continue;
      }
      const versions = this.#dirty.get(block) ?? [];
      versions.push({ number: this.#versionCount, content });
      this.#dirty.set(block, versions);
    }
  }

  /** The sync has ended: what was written before it began is on the disk. */
  #settle(step: FileStep): void {
    const covered = this.#syncs.get(step);
    if (covered === undefined) return;
    this.#syncs.delete(step);
    this.#diskBytes = Math.max(this.#diskBytes, covered.bytes);
    for (const [block, versions] of this.#dirty) {
      const newer = versions.filter(({ number }) => number > covered.version);
      const settled = versions[versions.length - newer.length - 1];
      settled?.content.copy(this.#disk, block * BLOCK_BYTES);
      if (newer.length === 0) this.#dirty.delete(block);
      else this.#dirty.set(block, newer);
    }
  }
}

function blocksOf({ offset, bytes }: FileStep): readonly number[] {
  const first = Math.floor(offset / BLOCK_BYTES);
  const count = Math.ceil((offset + bytes.length) / BLOCK_BYTES) - first;
  return Array.from({ length: count }, (_, index) => first + index);
}

function blockAt(image: Buffer, block: number): Buffer {
  return image.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES);
}
