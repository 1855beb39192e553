/** A thread with one connection that sends PINGREQ all the time and notes what each one waits. */
import { connect } from "node:net";
import { parentPort, workerData } from "node:worker_threads";
import { median } from "../load/compare.ts";
import { connectPacket } from "../load/packet.ts";

export interface PingerOptions {
  readonly port: number;
}

export interface PingTimes {
  readonly count: number;
  readonly medianMillis: number;
  readonly worstMillis: number;
  /** How late its own timer was at worst: what this thread waited for a core. */
  readonly lateMillis: number;
}

const INTERVAL_MILLIS = 10;
const CONNACK_BYTES = 4;
const PINGRESP_BYTES = 2;
const PINGREQ = Uint8Array.from([0xc0, 0]);

function run(port: number, told: { readonly post: (times: PingTimes) => void }): () => void {
  /** When the PINGREQs went out that wait for their answer. */
  const sentAt: number[] = [];
  const millis: number[] = [];
  let received = 0;
  let lastSentAt = 0;
  let lateMillis = 0;
  let ending = false;
  let timer: NodeJS.Timeout | undefined;
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  const endIfAnswered = (): void => {
    if (!ending || sentAt.length > 0) return;
    told.post({
      count: millis.length,
      medianMillis: median(millis),
      worstMillis: Math.max(...millis),
      lateMillis,
    });
  };
  socket.on("connect", () => socket.write(connectPacket(4, "bars-pinger", 0)));
  socket.on("data", (bytes) => {
    const now = performance.now();
    received += bytes.length;
    if (received < CONNACK_BYTES) return;
    timer ??= setInterval(() => {
      const sent = performance.now();
      if (lastSentAt > 0) lateMillis = Math.max(lateMillis, sent - lastSentAt - INTERVAL_MILLIS);
      lastSentAt = sent;
      sentAt.push(sent);
      socket.write(PINGREQ);
    }, INTERVAL_MILLIS);
    const answered = Math.floor((received - CONNACK_BYTES) / PINGRESP_BYTES);
    while (millis.length < answered) millis.push(now - (sentAt.shift() ?? now));
    endIfAnswered();
  });
  return () => {
    ending = true;
    clearInterval(timer);
    endIfAnswered();
  };
}

const port = parentPort;
if (port !== null) {
  const options = workerData as PingerOptions;
  const end = run(options.port, { post: (times) => port.postMessage(times) });
  port.once("message", end);
}
