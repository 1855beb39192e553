/** One subscriber that stops reading: what its neighbours feel of it. */
import { connect, type Socket } from "node:net";
import { median } from "../load/compare.ts";
import { BrokerFault } from "../load/fault.ts";
import { runLive } from "../load/live-run.ts";
import { connectPacket, type QoS, subscribePacket } from "../load/packet.ts";
import { type Bar, type BarRow, count, type Say } from "./bar.ts";
import { type BrokerChild, withBroker } from "./broker-child.ts";
import { withClients } from "./clients.ts";
import { SysValue } from "./sys-value.ts";

const PAIRS = 50;
const RATE_PER_SECOND = 5000;
const PAYLOAD_BYTES = 128;
const SECONDS = 4;
const WARMUP_SECONDS = 1;
const REPETITIONS = 3;
/** What fills the kernel's buffers of a connection that nobody reads, before it counts. */
const FLOOD_MESSAGES = 50_000;
/** Keeps the healthy pairs below the limits. */
const FLOOD_WINDOW_MESSAGES = 100;
const FLOOD_SECONDS_MAX = 30;
const FLOOD_PAYLOAD_BYTES = 1024;
/** All topics of the load generator. */
const FILTER = "bench/#";
const HANDSHAKE_BYTES = 4 + 5;
/** Limits that a silent subscriber reaches before it counts. */
const CONFIG: readonly string[] = [
  "sys_interval 1",
  "max_outgoing_bytes 524288",
  "max_inflight_messages 20",
  "max_queued_messages 100",
];
const DROPPED = "publish/messages/dropped";

const RATIO_MAX = 1.25;
const MICROS_MAX = 2000;

type Neighbour = "none" | "QoS 0" | "QoS 1";
const NEIGHBOURS: readonly Neighbour[] = ["none", "QoS 0", "QoS 1"];

/** Subscribes to everything, then reads no more. */
function openSilent(port: number, qos: QoS): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    let received = 0;
    socket.on("error", (error) => reject(new BrokerFault(error.message)));
    socket.on("connect", () => {
      socket.write(connectPacket(4, "bars-silent", 0));
      socket.write(subscribePacket(4, FILTER, qos));
    });
    socket.on("data", (bytes) => {
      received += bytes.length;
      if (received < HANDSHAKE_BYTES) return;
      socket.pause();
      resolve(socket);
    });
  });
}

/** @returns p99 of the healthy pairs, microseconds */
async function healthyP99(broker: BrokerChild, neighbour: Neighbour): Promise<number> {
  const qos = neighbour === "QoS 1" ? 1 : 0;
  const silent = neighbour === "none" ? undefined : await openSilent(broker.port, qos);
  try {
    const flood = await runLive(
      broker.loadOptions({
        windowMessages: FLOOD_WINDOW_MESSAGES,
        payloadBytes: FLOOD_PAYLOAD_BYTES,
        messagesMax: FLOOD_MESSAGES,
        seconds: FLOOD_SECONDS_MAX,
      }),
    );
    if (!flood.ok) throw new BrokerFault(flood.fault);
    const result = await runLive(
      broker.loadOptions({
        qos: 1,
        publisherCount: PAIRS,
        subscriberCount: PAIRS,
        payloadBytes: PAYLOAD_BYTES,
        ratePerSecond: RATE_PER_SECOND,
        seconds: SECONDS,
        warmupSeconds: WARMUP_SECONDS,
      }),
    );
    if (!result.ok) throw new BrokerFault(result.fault);
    return result.latencyMicros.p99;
  } finally {
    silent?.destroy();
  }
}

function slowRow(neighbour: Neighbour, micros: readonly number[], alone: number): BarRow {
  const millis = (value: number): string => (value / 1000).toFixed(2);
  const middle = median(micros);
  const asked = neighbour !== "none";
  const max = Math.max(alone * RATIO_MAX, MICROS_MAX);
  const spread = `${millis(Math.min(...micros))}–${millis(Math.max(...micros))}`;
  return {
    name: asked ? `p99 beside a silent ${neighbour} subscriber` : "p99 of 50 pairs alone, 5000/s",
    measured: `${millis(middle)} ms (${spread})`,
    bar: asked ? `≤ ${millis(max)} ms` : "",
    met: asked ? middle <= max : null,
    figures: { p99Micros: micros },
  };
}

async function measureSlow(broker: BrokerChild, say: Say): Promise<BarRow[]> {
  return withClients(broker.loadOptions(), async (clients) => {
    const dropped = await SysValue.open(clients, DROPPED);
    const found = new Map<Neighbour, number[]>(NEIGHBOURS.map((neighbour) => [neighbour, []]));
    let before = await dropped.stable();
    for (let repetition = 1; repetition <= REPETITIONS; repetition++) {
      for (const neighbour of NEIGHBOURS) {
        const micros = await healthyP99(broker, neighbour);
        const after = await dropped.stable();
        const drops = after - before;
        before = after;
        if (drops > 0 !== (neighbour !== "none")) {
          throw new BrokerFault(`silent subscriber ${neighbour}: ${drops} messages dropped`);
        }
        say(`${neighbour}: p99 ${count(micros)} µs, ${count(drops)} dropped for the silent one`);
        found.get(neighbour)?.push(micros);
      }
    }
    const alone = median(found.get("none") ?? []);
    return NEIGHBOURS.map((neighbour) => slowRow(neighbour, found.get(neighbour) ?? [], alone));
  });
}

export const slowBar: Bar = {
  name: "slow",
  sentence: "50 pairs at a fixed rate beside a subscriber that stops reading",
  measure: (say) => withBroker({ config: CONFIG }, (broker) => measureSlow(broker, say)),
};
