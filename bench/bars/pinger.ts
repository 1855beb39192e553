/**
 * A thread with one connection that sends PINGREQ all the time, or a message to itself, and notes
 * what each one waits.
 */
import { connect } from "node:net";
import { parentPort, workerData } from "node:worker_threads";
import { median } from "../load/compare.ts";
import { connectPacket, subscribePacket } from "../load/packet.ts";
import { publishRow } from "./packets.ts";

export interface PingerOptions {
  readonly port: number;
  /** `message`: at QoS 0 and published to its own subscription. */
  readonly sends?: "PINGREQ" | "message";
}

export interface PingTimes {
  readonly count: number;
  readonly medianMillis: number;
  readonly p99Millis: number;
  readonly worstMillis: number;
  /** How late its own timer was at worst: what this thread waited for a core. */
  readonly lateMillis: number;
}

const CONNACK_BYTES = 4;
const SUBACK_BYTES = 5;
const TOPIC = "bystander/own";
const MESSAGE_BYTES = 32;
const PINGREQ = Uint8Array.from([0xc0, 0]);

/** What is sent again and again, and how long the handshake's and its answers are. */
interface Sending {
  readonly intervalMillis: number;
  readonly greeting: Uint8Array;
  readonly greetingAnswerBytes: number;
  readonly packet: Uint8Array;
  readonly answerBytes: number;
}

function sendingOf(sends: PingerOptions["sends"]): Sending {
  const greeting = connectPacket(4, `bars-pinger-${process.pid}`, 0);
  if (sends !== "message") {
    return {
      intervalMillis: 10,
      greeting,
      greetingAnswerBytes: CONNACK_BYTES,
      packet: PINGREQ,
      answerBytes: PINGREQ.length, // A PINGRESP is as long.
    };
  }
  const { bytes } = publishRow([TOPIC], Buffer.alloc(MESSAGE_BYTES, "x"), false);
  return {
    intervalMillis: 2,
    greeting: Buffer.concat([greeting, subscribePacket(4, TOPIC, 0)]),
    greetingAnswerBytes: CONNACK_BYTES + SUBACK_BYTES,
    packet: bytes,
    answerBytes: bytes.length, // At QoS 0 it comes back as it went.
  };
}

function run(
  { port, sends }: PingerOptions,
  told: { readonly ready: () => void; readonly post: (times: PingTimes) => void },
): () => void {
  const { intervalMillis, greeting, greetingAnswerBytes, packet, answerBytes } = sendingOf(sends);
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
      p99Millis: millis.toSorted((a, b) => a - b)[Math.floor(millis.length * 0.99)] ?? Number.NaN,
      worstMillis: Math.max(...millis),
      lateMillis,
    });
  };
  socket.on("connect", () => socket.write(greeting));
  socket.on("data", (bytes) => {
    const now = performance.now();
    received += bytes.length;
    if (received < greetingAnswerBytes) return;
    if (timer === undefined) told.ready();
    timer ??= setInterval(() => {
      const sent = performance.now();
      if (lastSentAt > 0) lateMillis = Math.max(lateMillis, sent - lastSentAt - intervalMillis);
      lastSentAt = sent;
      sentAt.push(sent);
      socket.write(packet);
    }, intervalMillis);
    const answered = Math.floor((received - greetingAnswerBytes) / answerBytes);
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
  const end = run(workerData as PingerOptions, {
    ready: () => port.postMessage("ready"),
    post: (times) => port.postMessage(times),
  });
  port.once("message", end);
}
