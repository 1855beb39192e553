/**
 * What a power cut leaves of files whose writes are known.
 *
 *   begin        end             begin       end            cut
 *     ├── write ──┤                ├── sync ──┤               │
 *     the page cache has it from here         the disk surely has it from here
 *
 * At a cut each 4 KiB block that no sync covers is on the disk as it was, or as any write since
 * made it: the kernel writes back blocks whenever and in whatever order it likes. A name that was
 * given or taken since the directory was synced may be there or not, each by itself.
 */
import type { FileNumber, FileStep, Moment, NameStep } from "./durability-trace.ts";
import type { Random } from "./mutate.ts";

const BLOCK_BYTES = 4096;

/** All files of a store, followed through a trace. */
export class TracedDisk {
  readonly #files: readonly TracedFile[];
  /** What a reader of the live system sees, and what is surely on the disk. */
  readonly #names: Map<string, FileNumber>;
  readonly #diskNames: Map<string, FileNumber>;
  /** Changes of names since the directory was synced. */
  #changes: NameStep[] = [];
  readonly #pending = new Set<NameStep>();
  /** How many of the changes a sync that has begun covers. */
  #coveredCount = 0;

  /** @param base  the files at the begin of the trace, as it numbers them */
  constructor(base: ReadonlyMap<string, Buffer>, moments: readonly Moment[]) {
    const contents = [...base.values()];
    const ends = contents.map(({ length }) => length);
    for (const { step } of moments) {
      if (step.kind === "sync names") continue;
      const end = step.kind === "name" ? 0 : step.offset + step.bytes.length;
      ends[step.file] = Math.max(ends[step.file] ?? 0, end);
    }
    this.#files = ends.map((bytesMax, file) => {
      return new TracedFile(contents[file] ?? Buffer.alloc(0), bytesMax);
    });
    this.#names = new Map([...base.keys()].map((path, file) => [path, file]));
    this.#diskNames = new Map(this.#names);
  }

  take({ phase, step }: Moment): void {
    if (step.kind === "sync names") {
      if (phase === "begin") this.#coveredCount = this.#changes.length;
      else
        for (const change of this.#changes.splice(0, this.#coveredCount)) {
          apply(this.#diskNames, change);
        }
    } else if (step.kind !== "name") {
      this.#files[step.file]?.take(phase, step);
    } else if (phase === "begin") {
      this.#pending.add(step);
    } else {
      this.#pending.delete(step);
      this.#changes.push(step);
      apply(this.#names, step);
    }
  }

  /** The files as a crash of the process alone leaves them, by path. */
  afterKill(): Map<string, Buffer> {
    return this.#withNames(this.#names, (file) => file.afterKill());
  }

  /** The files as a power cut may leave them. */
  afterPowerCut(random: Random): Map<string, Buffer> {
    const names = new Map(this.#diskNames);
    for (const change of [...this.#changes, ...this.#pending]) {
      if (random(2) === 0) apply(names, change);
    }
    return this.#withNames(names, (file) => file.afterPowerCut(random));
  }

  #withNames(
    names: ReadonlyMap<string, FileNumber>,
    contentOf: (file: TracedFile) => Buffer,
  ): Map<string, Buffer> {
    return new Map(
      [...names].map(([path, number]) => {
        const file = this.#files[number];
        return [path, file === undefined ? Buffer.alloc(0) : contentOf(file)];
      }),
    );
  }
}

function apply(names: Map<string, FileNumber>, { file, from, to }: NameStep): void {
  if (from !== null && names.get(from) === file) names.delete(from);
  if (to !== null) names.set(to, file);
}

interface Version {
  readonly number: number;
  readonly content: Buffer;
}

/** One of them. */
class TracedFile {
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

  take(phase: Moment["phase"], step: FileStep): void {
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
