/**
 * The index step: what still matters of the journal's pages becomes rows of the index, in small
 * transactions between the commits of the journal; then the pages are deleted.
 *
 * A cycle covers the pages up to one of them. The engine tells in batches what is to be written;
 * `position` moves in a transaction behind the cycle's last one, so a cycle that was cut short is
 * done again from the same pages, and ends in the same rows.
 */
import assert from "node:assert";
import { setTimeout as sleep } from "node:timers/promises";
import * as abi from "#assembly/abi";
import type { StoreEngine } from "./engine-calls.ts";
import type { Environment } from "./environment.ts";
import { WriteError } from "./environment.ts";
import type { Journal } from "./journal.ts";
import { Latency } from "./latency.ts";
import {
  INDEX_AGE_MILLISECONDS_MIN,
  INDEX_BYTES_MIN,
  INDEX_ROWS_MAX,
  INDEX_YOUNG_MILLISECONDS,
  RETRY_MILLISECONDS_MAX,
} from "./limits.ts";
import { Batch, IndexChanges, type IndexTables, wipeSome } from "./operations.ts";
import { Retry, type WriteWatch } from "./retry.ts";
import { META, sessionKey, u32Row, u64Row } from "./tables.ts";
import { Tail } from "./tail.ts";
import { type ChangedWill, willRow } from "./will-rows.ts";

export interface IndexerParts {
  readonly engine: StoreEngine;
  readonly journal: Journal;
  readonly environment: Environment;
  readonly tables: IndexTables;
  readonly watch: WriteWatch;
  /** Ends all waiting. */
  readonly closing: AbortSignal;
  /** The wills that changed since it was last called. */
  readonly takeWills: () => readonly ChangedWill[];
}

export class Indexer {
  readonly #parts: IndexerParts;
  readonly #retry: Retry;
  /** Sessions whose segments are still to be removed. */
  readonly #wipes: Set<number>;
  /** Wills that changed and are not in the index yet. */
  #wills: ChangedWill[] = [];
  readonly tail = new Tail();
  readonly latency = new Latency();
  #position: number;
  #underway: Promise<void> | null = null;
  /** Pages are left that are in the index: after a crash at least, there may be. */
  #hasPagesLeft = true;

  constructor(parts: IndexerParts, position: number, wipes: Iterable<number>) {
    this.#parts = parts;
    this.#retry = new Retry(parts.watch, parts.closing);
    this.#position = position;
    this.#wipes = new Set(wipes);
  }

  /** Everything up to and including this page is in the index. */
  get position(): number {
    return this.#position;
  }

  /** Why the disk does not take the index; null: it does. */
  get trouble(): string | null {
    return this.#retry.trouble;
  }

  /** Sessions that ended and have segments left. */
  get wipeCount(): number {
    return this.#wipes.size;
  }

  /** Begins what is due, if nothing is under way. */
  tick(nowMs: number): void {
    if (this.#underway !== null || this.#parts.closing.aborted) return;
    const upTo = this.#due(nowMs);
    if (upTo <= this.#position && this.#wipes.size === 0 && !this.#hasPagesLeft) return;
    this.#begin(upTo);
  }

  /** Puts all committed pages into the index; settles when they are, or the store closes. */
  async complete(): Promise<void> {
    while (!this.#parts.closing.aborted) {
      if (this.#underway === null) {
        const upTo = this.#parts.journal.committedNumber;
        if (upTo <= this.#position) return;
        this.#begin(upTo);
      }
      await this.idle();
    }
  }

  /** Settles when nothing is under way. */
  async idle(): Promise<void> {
    await this.#underway;
  }

  #due(nowMs: number): number {
    if (this.tail.bytes >= INDEX_BYTES_MIN) return this.#parts.journal.committedNumber;
    if (nowMs - this.tail.oldestMs(nowMs) < INDEX_AGE_MILLISECONDS_MIN) return this.#position;
    return this.tail.newestBefore(nowMs - INDEX_YOUNG_MILLISECONDS);
  }

  #begin(upTo: number): void {
    this.#underway = this.#run(upTo)
      .catch((error: unknown) => {
        // The store closes, and what was not written is in the journal.
        if (!(error instanceof WriteError)) throw error;
      })
      .finally(() => {
        this.#underway = null;
      });
  }

  async #run(upTo: number): Promise<void> {
    if (upTo > this.#position && !(await this.#cycle(upTo))) return;
    if (this.#hasPagesLeft) {
      this.#hasPagesLeft = !(await this.#parts.journal.deleteUpTo(this.#position));
    }
    for (const number of this.#wipes) {
      if (!(await this.#wipe(number))) return;
      this.#wipes.delete(number);
    }
  }

  /** @returns false where the store closes meanwhile */
  async #cycle(upTo: number): Promise<boolean> {
    const { calls } = this.#parts.engine;
    calls.indexBegin(upTo % 2 ** 32);
    this.#wills.push(...this.#parts.takeWills());
    for (;;) {
      const count = await this.#gather();
      if (count === 0 && this.#wills.length === 0) break;
      if (!(await this.#writeBatch(count))) return false;
    }
    const last = new IndexChanges(this.#parts.tables);
    last.put("meta", META.position, u64Row(BigInt(upTo)));
    if (!(await this.#write(last))) return false;
    this.#position = upTo;
    this.tail.cut(upTo);
    this.#hasPagesLeft = true;
    return true;
  }

  /** @returns number of operations */
  async #gather(): Promise<number> {
    const { engine, closing } = this.#parts;
    for (;;) {
      const count = engine.calls.indexGather(INDEX_ROWS_MAX);
      if (count >= 0) return count;
      assert(count === abi.NO_MEMORY, `the index step answers ${count}`);
      if (closing.aborted) throw new WriteError("the store closes");
      // Some may be free again when more is acknowledged.
      await sleep(RETRY_MILLISECONDS_MAX, undefined, { signal: closing }).catch(() => undefined);
    }
  }

  /** @returns false where the store closes meanwhile */
  async #writeBatch(count: number): Promise<boolean> {
    const { engine, tables, journal } = this.#parts;
    // The rows may say what happened in the page that is being filled: that one must be safe first.
    const filling = journal.sealedNumber + (engine.calls.journalBytes() > 0 ? 1 : 0);
    const wills = this.#wills.slice(0, INDEX_ROWS_MAX);
    const numbers = u32Row(engine.calls.nextSessionNumber());
    const messages = u64Row(engine.calls.nextMessageId());
    const batch = new Batch(engine, tables, count);
    if (!(await journal.committed(filling))) return false;
    for (const step of batch.steps()) {
      if (!(await this.#write(step))) return false;
    }
    const rest = batch.rest();
    for (const { number, will } of wills) {
      if (will === null) rest.remove("wills", sessionKey(number));
      else rest.put("wills", sessionKey(number), willRow(will));
    }
    // With each batch: what it has given out must not be given out again after a crash.
    rest.put("meta", META.numbers, numbers);
    rest.put("meta", META.messages, messages);
    if (!(await this.#write(rest))) return false;
    this.#wills.splice(0, wills.length);
    if (count > 0) engine.calls.indexCommitted();
    for (const number of batch.wiped) this.#wipes.add(number);
    return true;
  }

  /** Removes the segments of an ended Session. @returns false where the store closes meanwhile */
  async #wipe(number: number): Promise<boolean> {
    for (;;) {
      const changes = new IndexChanges(this.#parts.tables);
      const isLast = wipeSome(number, changes);
      if (!(await this.#write(changes))) return false;
      if (isLast) return true;
    }
  }

  /** One transaction, between two commits of the journal. @returns false where the store closes */
  async #write(changes: IndexChanges): Promise<boolean> {
    const { journal, environment, closing } = this.#parts;
    const all = changes.all();
    if (journal.trouble === null) await journal.idle();
    if (closing.aborted) return false;
    const beganMs = performance.now();
    await this.#retry.until(() => environment.write(all));
    this.latency.add(performance.now() - beganMs);
    return true;
  }
}
