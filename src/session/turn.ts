/**
 * What happens once per turn of the event loop: parked connections go on, the journal page is
 * committed, output leaves with one write per connection, the engine's events are acted on.
 */
import * as abi from "#assembly/abi";
import { faultPoint } from "../base/fault.ts";
import { ADMITTED_PER_TURN_MAX, CONNECTIONS_MAX, SOURCES_PER_TURN_MAX } from "../base/limits.ts";
import type { Engine } from "../engine/engine.ts";
import type { Wire } from "../engine/wire.ts";
import { LeavingConnections } from "./leaving-connections.ts";
import { type ListenerRules, NetworkConnection } from "./network-connection.ts";
import { PageHold } from "./page-hold.ts";

/** What the floors above do with what a turn finds. */
export interface TurnHandlers {
  /**
   * The engine took bytes of this connection and answered `status` (R_… of abi.ts, −Reason Code).
   */
  onStatus(connection: NetworkConnection, status: number): void;
  /** The engine asks for this connection to be closed. */
  onClose(connection: NetworkConnection, reasonCode: number): void;
  /** A Session's queue began to drop, or is four fifths full; its address. */
  onQueueFull(session: number): void;
  onQueueFills(session: number): void;
  /** Who published a retained message is to be judged: SCRATCH says. */
  onSource(): void;
  /** The connection's record is gone. */
  onClosed(connection: NetworkConnection): void;
}

/** Where sealed pages go, and what is loaded from there. */
export interface PageStore {
  /** Settles when the sealed page is safe. */
  commit(): Promise<void>;
  /** A Session needs what is in the store. */
  load(number: number, session: number): void;
}

/** Events that name a Session: its number, its address. */
const EVENTS_OF_SESSIONS: ReadonlySet<number> = new Set([
  abi.E_QUEUE_FULL,
  abi.E_QUEUE_FILLS,
  abi.E_LOAD,
  abi.E_DRAIN,
]);

export class Turn {
  readonly #engine: Engine;
  readonly #connections: (NetworkConnection | undefined)[] = [undefined];
  readonly #freeNumbers: number[] = [];
  readonly #pieces: number[] = [];
  #handlers: TurnHandlers | null = null;
  #isScheduled = false;
  /** New connections that are not read yet, and how many were let in since the turn began. */
  #newcomers: NetworkConnection[] = [];
  #admitted = 0;
  #resumable: NetworkConnection[] = [];
  #retained: NetworkConnection[] = [];
  readonly #leaving: LeavingConnections;
  readonly #hold: PageHold;
  /** Connections that go on when a page was committed. */
  #waitingForStore: NetworkConnection[] = [];
  /** What waits for the page being filled, and for the one that is being committed. */
  #afterFilled: (() => void)[] = [];
  #afterSealed: (() => void)[] = [];
  #store: PageStore | null = null;
  #isCommitting = false;
  #sealTimer: NodeJS.Timeout | null = null;
  #sealDueMs = 0;
  #sealMilliseconds = 0;
  #injected = false;
  #onInjected: (() => void)[] = [];
  #onPage: ((page: Uint8Array, apart: readonly Uint8Array[]) => void) | null = null;
  #openCount = 0;
  #openedCount = 0;

  constructor(engine: Engine) {
    this.#engine = engine;
    this.#leaving = new LeavingConnections(engine);
    this.#hold = new PageHold(engine);
    engine.calls.openConnection(0);
    engine.calls.acceptConnection(0, 5, 0, 0);
  }

  start(handlers: TurnHandlers): void {
    this.#handlers = handlers;
  }

  /**
   * Gives sealed pages to a store; without one they are dropped.
   *
   * @param sealMilliseconds  how often a page is sealed at most for the sake of receivers that may
   *   still acknowledge
   */
  useStore(store: PageStore, sealMilliseconds: number): void {
    this.#store = store;
    this.#sealMilliseconds = sealMilliseconds;
  }

  /** Connections whose record is in use. */
  get openCount(): number {
    return this.#openCount;
  }

  /** Connections that were ever opened. */
  get openedCount(): number {
    return this.#openedCount;
  }

  /** Bytes that the kernel has not taken yet, of all connections. O(connections). */
  unsentBytes(): number {
    let bytes = 0;
    let at = abi.CONNECTIONS + abi.C_OUT_BYTES;
    for (let number = 1; number < this.#connections.length; number++) {
      at += abi.CONNECTION_BYTES;
      bytes += this.#engine.word(at);
    }
    return bytes;
  }

  /** All connections whose record is in use; a snapshot. */
  all(): NetworkConnection[] {
    return this.#connections.filter((connection) => connection !== undefined);
  }

  at(number: number): NetworkConnection | undefined {
    return this.#connections[number];
  }

  /** @returns the new connection, or null where CONNECTIONS_MAX are open */
  open(wire: Wire, rules: ListenerRules): NetworkConnection | null {
    const number = this.#freeNumbers.pop() ?? this.#connections.length;
    if (number > CONNECTIONS_MAX) return null;
    const connection = new NetworkConnection(number, wire, rules);
    this.#connections[number] = connection;
    this.#openCount++;
    this.#openedCount++;
    this.#engine.calls.openConnection(number);
    return connection;
  }

  /**
   * Lets a new connection, whose reading is paused, be read: a few in each turn, so that a fleet
   * that comes back at once delays nobody for long.
   */
  admit(connection: NetworkConnection): void {
    this.#newcomers.push(connection);
    if (this.#admitted < ADMITTED_PER_TURN_MAX) this.#admitSome();
    else this.schedule();
  }

  #admitSome(): void {
    const admitted = this.#newcomers.splice(0, ADMITTED_PER_TURN_MAX - this.#admitted);
    this.#admitted += admitted.length;
    for (const { wire } of admitted) wire.resumeReading();
    // Those of this turn are counted until it ends.
    this.schedule();
  }

  /**
   * Hands the engine bytes that lie in READ. Hot.
   *
   * @param byteCount  1 … READ_BYTES
   */
  received(connection: NetworkConnection, byteCount: number): void {
    if (connection.phase === "closing" || connection.phase === "closed") return;
    // The first chunk since the last turn: time may have passed.
    if (!this.#isScheduled) {
      this.#engine.setClock();
      this.schedule();
    }
    const status = this.#engine.calls.receive(connection.number, byteCount);
    if (status !== abi.R_DONE) this.#handlers?.onStatus(connection, status);
  }

  /** Makes sure that a turn's end comes. */
  schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(this.#run);
  }

  /** Goes on with the connection's parked bytes in the next turn. */
  resumeLater(connection: NetworkConnection): void {
    this.#resumable.push(connection);
    this.schedule();
  }

  /** Goes on with the connection's retained messages in the next turn. */
  retainedLater(connection: NetworkConnection): void {
    this.#retained.push(connection);
    this.schedule();
  }

  /** Runs once all that was recorded so far is committed. */
  afterCommit(action: () => void): void {
    const isSealed = this.#isCommitting && this.#engine.calls.journalBytes() === 0;
    (isSealed ? this.#afterSealed : this.#afterFilled).push(action);
    this.schedule();
  }

  /** Goes on with the connection's parked bytes when the store has gone on. */
  resumeAfterCommit(connection: NetworkConnection): void {
    this.#waitingForStore.push(connection);
  }

  /** The store takes more again: who waited for that goes on. */
  resumeWaiting(): void {
    if (this.#waitingForStore.length === 0) return;
    this.#resumable.push(...this.#waitingForStore);
    this.#waitingForStore = [];
    this.schedule();
  }

  /** Settles when the page that was being filled is committed, if anything is in it. */
  flushPages(): Promise<void> {
    return new Promise((resolve) => this.afterCommit(resolve));
  }

  /**
   * The broker itself has more to publish: see Engine.inject.
   *
   * @param onPublished  called in the turn in which all of it is
   */
  injectedLater(onPublished?: () => void): void {
    this.#injected = true;
    if (onPublished !== undefined) this.#onInjected.push(onPublished);
    this.schedule();
  }

  /**
   * Ends the connection when all of its output has left, or has had its time; nothing may be sent
   * to it any more.
   */
  closeAfterFlush(connection: NetworkConnection): void {
    connection.phase = "closing";
    this.#leaving.add(connection);
    this.schedule();
  }

  /** Cuts off those that are to end, and whose peers do not take what is left for them. */
  tick(): void {
    for (const connection of this.#leaving.overdue()) {
      connection.wire.destroy();
      this.drop(connection);
    }
  }

  /** A write that was pending has ended. */
  written(connection: NetworkConnection): void {
    connection.isWriting = false;
    if (connection.phase === "closed") {
      if (this.#engine.calls.written(connection.number) === 1) this.#release(connection);
      return;
    }
    this.#engine.calls.written(connection.number);
    this.#leaving.lookAgain(connection);
    this.schedule();
  }

  readonly #end = (connection: NetworkConnection): void => {
    connection.wire.end();
    this.drop(connection);
  };

  /** Frees the connection's record at once; what it had to send is lost. */
  drop(connection: NetworkConnection): void {
    if (connection.phase === "closed") return;
    connection.phase = "closed";
    this.#leaving.delete(connection);
    this.#handlers?.onClosed(connection);
    if (this.#engine.calls.closeConnection(connection.number) === 0) this.#release(connection);
  }

  #release(connection: NetworkConnection): void {
    this.#connections[connection.number] = undefined;
    this.#freeNumbers.push(connection.number);
    this.#openCount--;
  }

  readonly #run = (): void => {
    this.#isScheduled = false;
    const { calls } = this.#engine;
    this.#engine.setClock();
    this.#resume();
    if (!this.#isCommitting && !this.#hold.isHeld()) this.#seal();
    this.#flush();
    faultPoint("flushed");
    this.#act(calls.takeEvents());
    if (this.#leaving.take(this.#end)) this.schedule();
    this.#admitted = 0;
    if (this.#newcomers.length > 0) this.#admitSome();
  };

  #resume(): void {
    const { calls } = this.#engine;
    if (this.#injected) {
      const status = calls.resume(0);
      this.#injected = status === abi.R_BUDGET || status === abi.R_COMMIT;
      // After R_COMMIT the next commit schedules a turn.
      if (status === abi.R_BUDGET) this.schedule();
      if (!this.#injected) for (const action of this.#onInjected.splice(0)) action();
    }
    if (this.#resumable.length > 0) {
      const connections = this.#resumable;
      this.#resumable = [];
      for (const connection of connections) {
        if (connection.phase === "open") this.resumeNow(connection);
      }
    }
    if (this.#retained.length > 0) {
      const connections = this.#retained;
      this.#retained = [];
      for (const connection of connections) this.#continueRetained(connection);
    }
  }

  /** Goes on behind a control packet, or with parked bytes. */
  resumeNow(connection: NetworkConnection): void {
    const status = this.#engine.calls.resume(connection.number);
    this.schedule();
    if (status !== abi.R_DONE) this.#handlers?.onStatus(connection, status);
    else connection.wire.resumeReading();
  }

  #continueRetained(connection: NetworkConnection): void {
    if (connection.phase !== "open") return;
    for (let asked = 0; asked < SOURCES_PER_TURN_MAX; asked++) {
      const status = this.#engine.calls.continueRetained(connection.number);
      if (status === abi.R_BUDGET) break;
      if (status !== abi.R_ACCESS) return;
      this.#handlers?.onSource();
    }
    this.retainedLater(connection);
  }

  /**
   * Hands each journal page on when it is sealed.
   *
   * @param onPage  the page, and the payloads that it keeps apart, in order; borrowed for the call
   */
  recordPages(onPage: (page: Uint8Array, apart: readonly Uint8Array[]) => void): void {
    this.#onPage = onPage;
  }

  #handOnPage(byteCount: number): void {
    if (this.#onPage === null) return;
    const { bytes, calls } = this.#engine;
    const at = calls.sealedAt() >>> 0;
    const apart: Uint8Array[] = [];
    for (let i = 0; i < calls.sealedApartCount(); i++) {
      const from = calls.sealedApartAt(i) >>> 0;
      apart.push(bytes.subarray(from, from + calls.sealedApartBytes(i)));
    }
    this.#onPage(bytes.subarray(at, at + byteCount), apart);
  }

  /** Ends the page being filled, where there is one and none is under way, and commits it. */
  #seal(): void {
    const { calls } = this.#engine;
    const pending = calls.pagePending();
    const hasMarks = pending !== 0 && this.#isSealDue();
    const byteCount = pending === 1 || hasMarks ? calls.sealPage(hasMarks ? 1 : 0) : 0;
    if (byteCount > 0) {
      this.#afterSealed = this.#afterFilled;
      this.#afterFilled = [];
      this.#commit(byteCount);
      return;
    }
    if (this.#afterFilled.length > 0) {
      const actions = this.#afterFilled;
      this.#afterFilled = [];
      for (const action of actions) action();
    }
    if (calls.pagePending() !== 0) this.#sealLater();
  }

  /** Whether what receivers may still acknowledge is to be looked at again. */
  #isSealDue(): boolean {
    if (this.#sealMilliseconds === 0) return true;
    const now = performance.now();
    if (now < this.#sealDueMs) return false;
    this.#sealDueMs = now + this.#sealMilliseconds;
    return true;
  }

  #sealLater(): void {
    if (this.#sealMilliseconds === 0) {
      this.schedule();
    } else if (this.#sealTimer === null) {
      this.#sealTimer = setTimeout(() => {
        this.#sealTimer = null;
        this.schedule();
      }, this.#sealMilliseconds);
    }
  }

  #commit(byteCount: number): void {
    this.#handOnPage(byteCount);
    faultPoint("sealed");
    if (this.#store === null) {
      this.#engine.calls.dropUnindexed();
      this.#committed();
      return;
    }
    this.#isCommitting = true;
    // A store that closes leaves the page uncommitted: nothing that waits for it may leave. Any
    // other error is a fault of ours, with which nothing would ever be committed again.
    this.#store.commit().then(
      () => {
        this.#isCommitting = false;
        faultPoint("committed");
        this.#committed();
        faultPoint("released");
        this.schedule();
      },
      (error: unknown) => {
        if (!(error instanceof Error && error.name === "WriteError")) throw error;
      },
    );
  }

  #committed(): void {
    const { calls } = this.#engine;
    calls.committed(calls.sealedTurn());
    const actions = this.#afterSealed;
    this.#afterSealed = [];
    for (const action of actions) action();
    this.resumeWaiting();
    // What left because of the commit may itself be recorded.
    if (this.#injected || calls.pagePending() !== 0) this.schedule();
  }

  /** One write for each connection that has output. Hot. */
  #flush(): void {
    const { calls, words } = this.#engine;
    const records = calls.flush();
    if (records === 0) return;
    const pieces = this.#pieces;
    let at = abi.FLUSH >>> 2;
    for (let i = 0; i < records; i++) {
      pieces.push(words[at + 1] as number, words[at + 2] as number);
      if (words[at + 3] === 0) {
        const connection = this.#connections[words[at] as number];
        if (connection !== undefined && !connection.wire.write(pieces)) {
          connection.isWriting = true;
          words[at + 4] = 1;
        }
        pieces.length = 0;
      }
      at += 5;
    }
    if (calls.flushDone() === 1) this.schedule();
  }

  #act(events: number): void {
    if (events === 0) return;
    const { words } = this.#engine;
    // Copied first: what is done about one event may raise others.
    const copied = words.slice(abi.EVENTS >>> 2, (abi.EVENTS >>> 2) + events * 3);
    for (let i = 0; i < copied.length; i += 3) {
      const kind = copied[i] as number;
      const subject = copied[i + 1] as number;
      const argument = copied[i + 2] as number;
      if (EVENTS_OF_SESSIONS.has(kind)) {
        this.#actForSession(kind, subject, argument);
        continue;
      }
      const connection = this.#connections[subject];
      if (connection === undefined || connection.phase !== "open") continue;
      if (kind === abi.E_CLOSE) this.#handlers?.onClose(connection, argument);
      else if (kind === abi.E_RETAINED) this.#continueRetained(connection);
      else this.resumeNow(connection);
    }
    this.schedule();
  }

  #actForSession(kind: number, number: number, session: number): void {
    if (kind === abi.E_LOAD) this.#store?.load(number, session);
    else if (kind === abi.E_DRAIN) this.#engine.calls.drainShared(session, number);
    // It may have ended since, and its record be another's.
    else if (this.#engine.word(session + abi.SESSION_NUMBER) !== number) return;
    else if (kind === abi.E_QUEUE_FULL) this.#handlers?.onQueueFull(session);
    else this.#handlers?.onQueueFills(session);
  }
}
