/**
 * The broker as a child process, over TCP, as a target of the wire pages.
 *
 * The cases share the process. What one leaves behind, a Session or a retained message, is wiped
 * before the next.
 */
import { encode } from "./naive-encoder.ts";
import { connect, disconnect, publish, subscribe } from "./packets.ts";
import type { ClientPacket, ServerPacket } from "./packets-types.ts";
import { readServerPackets } from "./reference-decoder-server.ts";
import { type RunningBroker, startBroker } from "./running-broker.ts";
import type { WireConnection, WireTarget } from "./wire-target.ts";
import { tcpTarget } from "./wire-target-tcp.ts";

/** Filters for all Topic Names of the pages. */
const TOPIC_FILTERS = ["#", "$x/#"];

const PINGREQ: ClientPacket = { type: "pingreq" };

/** A target with a life: it is started before the cases and stopped behind them. */
export interface ChildTarget extends WireTarget {
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Makes the broker forget this client's Session and what is retained. */
  wipe(clientIdentifier: string): Promise<void>;
}

export function childTarget(): ChildTarget {
  let broker: RunningBroker | undefined;
  let tcp: WireTarget | undefined;
  const name = "the broker over TCP";
  const open = () => {
    if (tcp === undefined) throw new Error(`${name} is not started`);
    return tcp.open();
  };
  return {
    name,
    open,
    start: async () => {
      broker = await startBroker();
      tcp = tcpTarget(name, broker.port);
    },
    stop: async () => {
      await broker?.stop();
    },
    wipe: async (clientIdentifier) => {
      const connection = await open();
      try {
        await wipe(connection, clientIdentifier);
      } finally {
        await connection.close();
      }
    },
  };
}

async function wipe(connection: WireConnection, clientIdentifier: string): Promise<void> {
  const filters = TOPIC_FILTERS.map((topicFilter) => ({
    topicFilter,
    qos: 0 as const,
    noLocal: false,
    retainAsPublished: true,
    retainHandling: 0 as const,
  }));
  // The Session goes with the clean start, and the new one with its connection.
  const clean = connect({ clientIdentifier });
  const retained = await ask(connection, clean, subscribe(1, filters));
  const deletions = retained
    .filter((packet) => packet.type === "publish")
    .map(({ topicName }) => publish({ topicName, retain: true }));
  await ask(connection, ...deletions);
  await connection.send(encode(5, disconnect()));
  while ((await connection.receive()) !== null) {
    // The broker closes.
  }
}

/** Sends packets and a PINGREQ. @returns what came up to its answer */
async function ask(
  connection: WireConnection,
  ...packets: readonly ClientPacket[]
): Promise<readonly ServerPacket[]> {
  const bytes = [...packets, PINGREQ].map((packet) => encode(5, packet));
  await connection.send(Buffer.concat(bytes));
  let received = Buffer.alloc(0);
  for (;;) {
    const chunk = await connection.receive();
    if (chunk === null) throw new Error("the broker closed while it was wiped");
    received = Buffer.concat([received, chunk]);
    const answers = readServerPackets(5, received).packets;
    if (answers.at(-1)?.type === "pingresp") return answers;
  }
}
