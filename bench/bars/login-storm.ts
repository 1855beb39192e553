/**
 * A thread that logs in while it is told to: so many connections a second, each with a user name of
 * its own and a password, closed when its CONNACK is there.
 */
import { connect } from "node:net";
import { parentPort } from "node:worker_threads";

export interface StormOptions {
  readonly port: number;
  readonly perSecond: number;
  /** Users are named by it and a number from `first` on. */
  readonly prefix: string;
  readonly first: number;
  /** null: neither user name nor password. */
  readonly password: string | null;
}

export interface StormTally {
  readonly begun: number;
  readonly accepted: number;
  /** CONNACKs that refused, and connections that ended without one. */
  readonly failed: number;
}

/** A login a tick: they come one by one, as those of a fleet do. */
const TICK_MILLIS = 1;
const TYPE_CONNECT = 0x10;
/** MQTT 3.1.1, clean session; then with user name and password. */
const HEADER = [0, 4, 0x4d, 0x51, 0x54, 0x54, 4];
const CLEAN = 0x02;
const WITH_PASSWORD = 0xc0;
const NO_KEEP_ALIVE = [0, 0];
const ACCEPTED = Buffer.from([0x20, 2, 0, 0]);

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >>> 8, bytes.length & 0xff]), bytes]);
}

/** A CONNECT of less than 128 bytes. */
function loginPacket(user: string, password: string | null): Buffer {
  const flags = password === null ? CLEAN : CLEAN | WITH_PASSWORD;
  const head = Buffer.from([...HEADER, flags, ...NO_KEEP_ALIVE]);
  const claim = password === null ? [] : [text(user), text(password)];
  const body = Buffer.concat([head, text(user), ...claim]);
  return Buffer.concat([Buffer.from([TYPE_CONNECT, body.length]), body]);
}

/** @returns ends it */
function begin({ port, perSecond, prefix, first, password }: StormOptions): () => StormTally {
  let begun = 0;
  let accepted = 0;
  let failed = 0;
  const logIn = (user: string): void => {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    let isOver = false;
    const over = (isAccepted: boolean): void => {
      if (isOver) return;
      isOver = true;
      if (isAccepted) accepted++;
      else failed++;
      socket.destroy();
    };
    socket.on("connect", () => socket.write(loginPacket(user, password)));
    socket.on("data", (bytes) => over(bytes.subarray(0, 4).equals(ACCEPTED)));
    socket.on("error", () => over(false));
    socket.on("close", () => over(false));
  };
  const started = performance.now();
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - started) / 1000) * perSecond);
    for (; begun < due; begun++) logIn(`${prefix}${first + begun}`);
  }, TICK_MILLIS);
  return () => {
    clearInterval(timer);
    return { begun, accepted, failed };
  };
}

/** Ends the storm that is on; null: none is. */
let end: (() => StormTally) | null = null;

// Its options begin a storm, anything else ends it.
parentPort?.on("message", (message: StormOptions | null) => {
  if (message !== null) end = begin(message);
  else parentPort?.postMessage(end?.());
});
