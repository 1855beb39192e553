/**
 * Where lines of the log go. No destination ever keeps the broker waiting: lines wait up to a bound
 * while it is slow, and are dropped and counted past that.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { close, openSync, write as writeTo } from "node:fs";
import {
  LOG_TOPIC_LINES_MAX,
  LOG_TOPIC_LINES_PER_TURN_MAX,
  LOG_UNWRITTEN_CHARACTERS_MAX,
  SYSLOG_LINE_BYTES_MAX,
} from "./limits.ts";

/** Pause before a destination that was busy is tried again, in milliseconds. */
const BUSY_MILLISECONDS = 100;
/** Longest wait for the last lines, in milliseconds. */
const CLOSE_MILLISECONDS_MAX = 1_000;
/** A destination that fails is told of once in so long, in milliseconds. */
const TOLD_MILLISECONDS_MIN = 60_000;
/** A line waits so long for others to leave with it. */
const GATHER_MILLISECONDS = 20;
const LINE_FEED = 0x0a;
/** Access to a log file: its owner writes, its group reads. */
const LOG_FILE_MODE = 0o640;

/** A line and what it is about. */
export interface Line<Type extends string> {
  readonly type: Type;
  /** Without its end. */
  readonly text: string;
}

export interface Sink<Type extends string> {
  /** Lines that were dropped. */
  readonly lostLines: number;
  write(line: Line<Type>): void;
  /** Settles when all is written, or after a second; later lines are dropped. */
  close(): Promise<void>;
}

/**
 * A file or a stream: writes what waits as one chunk, one chunk at a time, outside the event loop.
 * A fault of the destination (a full disk, a closed pipe) costs lines and nothing else; they are
 * counted, and it is told where else it can be.
 */
export class DescriptorSink<Type extends string> implements Sink<Type> {
  lostLines = 0;
  readonly #fd: number;
  readonly #onFault: (why: string) => void;
  #toldMs = Number.NEGATIVE_INFINITY;
  #waiting: string[] = [];
  #waitingCharacters = 0;
  #isWriting = false;
  #timer: NodeJS.Timeout | null = null;
  #isClosed = false;
  #onIdle: (() => void) | null = null;

  /**
   * @param fd  closed with the sink, unless it is one of the process's own
   * @param onFault  told now and then why lines are lost
   */
  constructor(fd: number, onFault: (why: string) => void) {
    this.#fd = fd;
    this.#onFault = onFault;
  }

  write({ text }: Line<Type>): void {
    const isFull = this.#waitingCharacters + text.length > LOG_UNWRITTEN_CHARACTERS_MAX;
    if (this.#isClosed || isFull) {
      this.lostLines++;
      return;
    }
    this.#waiting.push(text, "\n");
    this.#waitingCharacters += text.length + 1;
    this.#gather();
  }

  /** A write per line would cost more than the line: lines of a moment leave together. */
  #gather(): void {
    if (this.#isWriting || this.#timer !== null) return;
    this.#timer = setTimeout(() => this.#writeWaiting(), GATHER_MILLISECONDS);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#timer !== null) this.#writeWaiting();
    if (this.#isWriting) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, CLOSE_MILLISECONDS_MAX);
        this.#onIdle = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    if (this.#fd > 2) close(this.#fd, () => undefined);
  }

  #writeWaiting(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const chunk = Buffer.from(this.#waiting.join(""));
    this.#waiting = [];
    this.#waitingCharacters = 0;
    this.#isWriting = true;
    this.#writeChunk(chunk);
  }

  #writeChunk(chunk: Buffer): void {
    writeTo(this.#fd, chunk, (error, writtenBytes) => {
      if (error?.code === "EAGAIN") {
        setTimeout(() => this.#writeChunk(chunk), BUSY_MILLISECONDS);
        return;
      }
      if (error === null && writtenBytes < chunk.length) {
        this.#writeChunk(chunk.subarray(writtenBytes));
        return;
      }
      if (error !== null) this.#lose(chunk, error);
      if (this.#waiting.length > 0 && this.#isClosed) {
        this.#writeWaiting();
      } else {
        this.#isWriting = false;
        if (this.#waiting.length > 0) this.#gather();
        this.#onIdle?.();
      }
    });
  }

  /** The lines that have not been written to their ends. */
  #lose(chunk: Buffer, error: Error): void {
    for (const byte of chunk) if (byte === LINE_FEED) this.lostLines++;
    const nowMs = performance.now();
    if (nowMs - this.#toldMs < TOLD_MILLISECONDS_MIN) return;
    this.#toldMs = nowMs;
    this.#onFault(error.message.split(", ")[0] ?? "");
  }
}

/**
 * A file, opened for appending.
 *
 * @throws the system's error
 */
export function openFileSink<Type extends string>(
  path: string,
  onFault: (why: string) => void,
): DescriptorSink<Type> {
  return new DescriptorSink(openSync(path, "a", LOG_FILE_MODE), onFault);
}

const CUT = "…";

/** The text, or so much of it as fits with a mark behind it; a character is there whole or not. */
function cutToBytes(text: string, bytesMax: number): string {
  if (text.length * 3 <= bytesMax || Buffer.byteLength(text) <= bytesMax) return text;
  const bytes = Buffer.from(text);
  let end = bytesMax - Buffer.byteLength(CUT);
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return `${bytes.toString("utf8", 0, end)}${CUT}`;
}

/** How long `logger` is left alone when it could not be started, or failed, milliseconds. */
const LOGGER_PAUSE_MILLISECONDS = 5_000;

/**
 * syslog, through the program `logger` of the system: /dev/log is a datagram socket, which Node.js
 * does not speak. One process for each severity, as every `logger` takes `-p` and `-t`.
 */
export class SyslogSink<Type extends string> implements Sink<Type> {
  lostLines = 0;
  readonly #priorityOf: (type: Type) => string;
  readonly #tag: string;
  readonly #onFault: (sentence: string) => void;
  readonly #loggers = new Map<string, ChildProcess>();
  #pausedUntilMs = 0;
  #isClosed = false;

  /**
   * @param priorityOf  `daemon.notice`
   * @param onFault  told once for each pause why lines are lost
   */
  constructor(tag: string, priorityOf: (type: Type) => string, onFault: (text: string) => void) {
    this.#tag = tag;
    this.#priorityOf = priorityOf;
    this.#onFault = onFault;
  }

  write({ type, text }: Line<Type>): void {
    const logger = this.#isClosed ? null : this.#loggerFor(this.#priorityOf(type));
    const input = logger?.stdin;
    if (!input?.writable || input.writableLength + text.length > LOG_UNWRITTEN_CHARACTERS_MAX) {
      this.lostLines++;
      return;
    }
    input.write(`${cutToBytes(text, SYSLOG_LINE_BYTES_MAX)}\n`);
  }

  #loggerFor(priority: string): ChildProcess | null {
    const running = this.#loggers.get(priority);
    if (running !== undefined) return running;
    if (performance.now() < this.#pausedUntilMs) return null;
    const logger = spawn("logger", ["-t", this.#tag, "-p", priority], {
      stdio: ["pipe", "ignore", "ignore"],
      // A signal from the terminal is the broker's: its last lines are still to be written.
      detached: true,
    });
    const ended = (): boolean => {
      const isOurs = this.#loggers.get(priority) === logger;
      if (isOurs) this.#loggers.delete(priority);
      return isOurs && !this.#isClosed;
    };
    const failed = (why: string): void => {
      if (!ended()) return;
      if (performance.now() >= this.#pausedUntilMs) {
        this.#onFault(`logger ${why}`);
      }
      this.#pausedUntilMs = performance.now() + LOGGER_PAUSE_MILLISECONDS;
    };
    logger.on("error", (error) => failed(`cannot be started (${error.message})`));
    // Whoever stops all processes of a service stops this one: the next line starts another.
    logger.on("exit", (code) => (code === null ? ended() : failed(`ended with ${code}`)));
    logger.stdin?.on("error", () => undefined); // Its end says why.
    logger.unref();
    this.#loggers.set(priority, logger);
    return logger;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const loggers = [...this.#loggers.values()];
    const ends = loggers.map(
      (logger) => new Promise<void>((resolve) => logger.once("close", () => resolve())),
    );
    for (const logger of loggers) {
      logger.ref();
      logger.stdin?.end();
    }
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, CLOSE_MILLISECONDS_MAX);
    });
    await Promise.race([Promise.all(ends), late]);
    clearTimeout(timer);
    for (const logger of this.#loggers.values()) logger.kill("SIGKILL");
  }
}

/**
 * Topics of the broker itself: lines wait here until whoever publishes takes them, in a turn of its
 * own. What is logged while that goes on goes to no topic, or it would never end.
 */
export class TopicSink<Type extends string> implements Sink<Type> {
  lostLines = 0;
  #waiting: Line<Type>[] = [];
  #publish: ((line: Line<Type>) => void) | null = null;
  #isPublishing = false;
  #immediate: NodeJS.Immediate | null = null;

  /** @param publish  null: nobody publishes any more */
  publishTo(publish: ((line: Line<Type>) => void) | null): void {
    this.#publish = publish;
    if (publish === null && this.#immediate !== null) clearImmediate(this.#immediate);
    if (publish === null) this.#immediate = null;
    else if (this.#waiting.length > 0) this.#schedule();
  }

  write(line: Line<Type>): void {
    if (this.#isPublishing) return;
    if (this.#waiting.length >= LOG_TOPIC_LINES_MAX) {
      this.lostLines++;
      return;
    }
    this.#waiting.push(line);
    if (this.#publish !== null) this.#schedule();
  }

  #schedule(): void {
    this.#immediate ??= setImmediate(() => {
      this.#immediate = null;
      const lines = this.#waiting.splice(0, LOG_TOPIC_LINES_PER_TURN_MAX);
      if (this.#waiting.length > 0) this.#schedule();
      this.#isPublishing = true;
      try {
        for (const line of lines) this.#publish?.(line);
      } finally {
        this.#isPublishing = false;
      }
    });
  }

  async close(): Promise<void> {
    this.publishTo(null);
    this.#waiting = [];
  }
}
