/**
 * What a process wrote to the files of its store, as strace saw it.
 *
 *   begin        end             begin       end            cut
 *     ├── write ──┤                ├── sync ──┤               │
 *     the page cache has it from here         the disk surely has it from here
 */
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { until } from "./await.ts";

/** System calls that change a file, or make its changes last. */
const CALLS = [
  "openat,close,lseek,dup,mmap",
  "write,writev,pwrite64,pwritev,pwritev2",
  "ftruncate,fallocate,copy_file_range,sendfile",
  "fsync,fdatasync,msync,sync_file_range",
  "rename,renameat,renameat2,unlink,unlinkat",
].join(",");

/** Program and arguments that run another program and write down what it does to files. */
export function tracing(traceFile: string): readonly string[] {
  // -D: the traced program is the child, and strace its companion.
  const form = ["-D", "-f", "--seccomp-bpf", "-q", "-ttt", "-y", "-xx", "-s", "100000000"];
  return ["strace", ...form, "-e", `trace=${CALLS}`, "-e", "signal=none", "-o", traceFile];
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

/** A file, whatever its name is: the number stays with it. */
export type FileNumber = number;

export interface FileStep {
  readonly kind: "write" | "sync";
  readonly file: FileNumber;
  readonly offset: number;
  readonly bytes: Buffer;
  /** The write lasts as soon as it ends: the file was opened with O_DSYNC or O_SYNC. */
  readonly isSynchronous: boolean;
}

/** A file gets a name, or another one, or none any more. */
export interface NameStep {
  readonly kind: "name";
  readonly file: FileNumber;
  readonly from: string | null;
  readonly to: string | null;
}

/** All names in the journal's directory last. */
export interface NamesSync {
  readonly kind: "sync names";
}

export type Step = FileStep | NameStep | NamesSync;

/** Where a cut may fall: behind each of these. */
export interface Moment {
  /** Unix time in microseconds, not later than the moment itself. */
  readonly atMicroseconds: number;
  readonly phase: "begin" | "end";
  readonly step: Step;
}

interface Call {
  readonly name: string;
  /** Everything between the brackets. */
  readonly argumentText: string;
}

/** Read of a trace at a time. */
const CHUNK_BYTES = 4 * 1024 * 1024;

/**
 * Reads a trace.
 *
 * @param base  the files at its begin, numbered from 0 on
 * @param directory  where all files are followed, also new ones
 * @throws Error at a call that changes a file in a way that is not followed
 */
export function readTrace(
  traceFile: string,
  base: Iterable<string>,
  directory: string,
): readonly Moment[] {
  const reader = new TraceReader(base, directory);
  for (const line of linesOf(traceFile)) {
    if (line !== "") reader.take(line);
  }
  return reader.moments;
}

/** The lines of a file that may be longer than a string can be. */
function* linesOf(path: string): Generator<string> {
  const file = openSync(path, "r");
  try {
    const chunk = Buffer.alloc(CHUNK_BYTES);
    let rest = "";
    for (;;) {
      const byteCount = readSync(file, chunk);
      if (byteCount === 0) break;
      const lines = (rest + chunk.toString("latin1", 0, byteCount)).split("\n");
      rest = lines.pop() ?? "";
      yield* lines;
    }
    yield rest;
  } finally {
    closeSync(file);
  }
}

/** What a descriptor is of: a file, or the directory. */
interface Descriptor {
  readonly file: FileNumber | "directory";
  readonly isSynchronous: boolean;
  position: number;
}

class TraceReader {
  readonly moments: Moment[] = [];
  readonly #directory: string;
  readonly #names: Map<string, FileNumber>;
  #fileCount: number;
  readonly #descriptors = new Map<string, Descriptor>();
  /** Per thread, the call that has begun and not ended. */
  readonly #begun = new Map<string, { readonly call: Call; readonly step: Step | null }>();

  constructor(base: Iterable<string>, directory: string) {
    this.#directory = directory;
    this.#names = new Map([...base].map((path, file) => [path, file]));
    this.#fileCount = this.#names.size;
  }

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

  #end(call: Call, step: Step | null, rest: string, atMicroseconds: number): void {
    const [, result = ""] = /\) = (-?\w+)[^)]*$/.exec(rest) ?? [];
    if (result === "-1" && step !== null) throw new Error(`failed: ${rest.slice(-200)}`);
    if (step?.kind === "name") {
      if (step.from !== null) this.#names.delete(step.from);
      if (step.to !== null) this.#names.set(step.to, step.file);
    }
    if (call.name === "openat" && result !== "-1") this.#open(call, rest);
    const descriptor = this.#descriptors.get(descriptorOf(call));
    if (call.name === "lseek" && descriptor !== undefined) descriptor.position = Number(result);
    if (call.name === "close") this.#descriptors.delete(descriptorOf(call));
    if (step === null) return;
    if (step.kind === "write" && Number(result) !== step.bytes.length) {
      throw new Error(`a short write: ${result} of ${step.bytes.length}`);
    }
    this.moments.push({ atMicroseconds, phase: "end", step });
  }

  #open(call: Call, rest: string): void {
    const [, number = ""] = / = (\d+)</.exec(rest) ?? [];
    const [path = ""] = pathsOf(call.argumentText);
    const file = path === this.#directory ? "directory" : this.#names.get(path);
    const isSynchronous = /\bO_D?SYNC\b/.test(call.argumentText);
    if (file === undefined) this.#descriptors.delete(number);
    else this.#descriptors.set(number, { file, isSynchronous, position: 0 });
  }

  #stepOf(call: Call): Step | null {
    const { name, argumentText } = call;
    if (name === "openat") return this.#creationOf(argumentText);
    if (/^(?:rename|unlink)/.test(name)) return this.#nameStepOf(call);
    const descriptor = this.#descriptors.get(descriptorOf(call));
    if (descriptor === undefined || ["close", "lseek"].includes(name)) return null;
    if (name === "mmap") {
      if (/PROT_WRITE/.test(argumentText) && /MAP_SHARED/.test(argumentText)) {
        throw new Error("a file is written through its mapping, which no trace shows");
      }
      return null;
    }
    const { file, isSynchronous } = descriptor;
    if (file === "directory") return { kind: "sync names" };
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
    const offset = descriptor.position;
    descriptor.position += bytes.length;
    return { file, kind: "write", offset, bytes, isSynchronous };
  }

  #creationOf(argumentText: string): NameStep | null {
    const [path = ""] = pathsOf(argumentText);
    if (!/\bO_CREAT\b/.test(argumentText) || !this.#isFollowed(path)) return null;
    if (this.#names.has(path)) throw new Error(`created again: ${path}`);
    return { kind: "name", file: this.#fileCount++, from: null, to: path };
  }

  #nameStepOf({ name, argumentText }: Call): NameStep | null {
    const [from = "", to = null] = pathsOf(argumentText);
    if (!this.#isFollowed(from)) return null;
    const file = this.#names.get(from);
    if (file === undefined) throw new Error(`${name} of a file that was not followed: ${from}`);
    return { kind: "name", file, from, to };
  }

  #isFollowed(path: string): boolean {
    return path.startsWith(`${this.#directory}/`);
  }
}

/** The strings of a call, as paths. */
function pathsOf(argumentText: string): string[] {
  return [...argumentText.matchAll(/"([^"]*)"/g)].map(([, path = ""]) => decode(path).toString());
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
