/** Network Connections of a bar, which share one read region and fail together. */
import { randomInt } from "node:crypto";
import { type Connection, createReadRegion, type ReadRegion } from "../load/connection.ts";
import { BrokerFault } from "../load/fault.ts";
import { forEachConcurrently, openConnection } from "../load/opening.ts";
import type { LoadOptions } from "../load/options.ts";
import { disconnectPacket, PINGRESP, SUBACK } from "../load/packet.ts";
import { RUNS } from "../load/payload.ts";
import { PacketTally } from "./packet-tally.ts";
import { batchSubscribePacket, type PacketRow } from "./packets.ts";

const PACKET_BYTES_MAX = 64 * 1024;
const WAIT_SECONDS_MAX = 120;
const FILTERS_PER_SUBSCRIBE = 1000;
/** Bytes of one write of many packets. */
const WRITE_BYTES = 128 * 1024;
const PINGREQ = Uint8Array.from([0xc0, 0]);

export interface Client {
  readonly connection: Connection;
  readonly tally: PacketTally;
}

export class Clients {
  readonly region: ReadRegion = createReadRegion(PACKET_BYTES_MAX);
  private readonly options: LoadOptions;
  private readonly connections: Connection[] = [];
  private readonly run = randomInt(RUNS).toString(36);
  private readonly lost: Promise<never>;
  private lose: (fault: BrokerFault) => void = () => {};
  private opened = 0;

  constructor(options: LoadOptions) {
    this.options = options;
    this.lost = new Promise((_, reject) => {
      this.lose = reject;
    });
    this.lost.catch(() => {}); // A loss that nobody waits for any more is none.
  }

  /** @returns one connection with a tally of its own */
  async open(wantsPayload = false): Promise<Client> {
    const tally = new PacketTally(this.region, wantsPayload);
    const [connection] = await this.openMany(1, tally);
    return { connection: connection as Connection, tally };
  }

  /** Opens connections whose packets all go into one tally. */
  async openMany(count: number, tally: PacketTally): Promise<Connection[]> {
    const first = this.opened;
    this.opened += count;
    const opened: Connection[] = [];
    await forEachConcurrently(count, this.options.concurrency, async (index) => {
      const number = first + index;
      const { connection } = await openConnection(
        this.options,
        this.region,
        `bars${this.run}c${number}`,
        number,
        this.lose,
      );
      connection.sink = tally;
      opened.push(connection);
      this.connections.push(connection);
    });
    return opened;
  }

  /** @throws BrokerFault if a connection is lost, or `promise` takes too long */
  async orLost<T>(promise: Promise<T>, what: string): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const fault = new BrokerFault(`no ${what} in ${WAIT_SECONDS_MAX} s`);
      timer = setTimeout(() => reject(fault), WAIT_SECONDS_MAX * 1000);
    });
    try {
      return await Promise.race([promise, this.lost, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Resolves when the broker has taken all that the client sent before. */
  async ping({ connection, tally }: Client): Promise<void> {
    const answered = tally.reaches(PINGRESP, tally.count(PINGRESP) + 1);
    connection.sendPacket(PINGREQ);
    await this.orLost(answered, "PINGRESP");
  }

  /** Subscribes at QoS 0, many filters to a SUBSCRIBE. */
  async subscribe({ connection, tally }: Client, filters: readonly string[]): Promise<void> {
    for (let from = 0; from < filters.length; from += FILTERS_PER_SUBSCRIBE) {
      const answered = tally.reaches(SUBACK, tally.count(SUBACK) + 1);
      const some = filters.slice(from, from + FILTERS_PER_SUBSCRIBE);
      connection.sendPacket(batchSubscribePacket(some));
      await this.orLost(answered, "SUBACK");
    }
  }

  /** Sends all packets in large writes, and waits until the broker has taken them. */
  async sendAll(client: Client, packets: PacketRow): Promise<void> {
    const { connection, tally } = client;
    const { bytes } = packets;
    for (let at = 0; at < bytes.length; at += WRITE_BYTES) {
      connection.write(bytes.subarray(at, at + WRITE_BYTES));
      if (connection.busy) await this.orLost(tally.drained(), "room for more bytes");
    }
    await this.ping(client);
  }

  /** Closes all connections. */
  close(): void {
    for (const connection of this.connections) connection.end(disconnectPacket());
  }
}

/** Runs `use` with clients that are closed whatever happens. */
export async function withClients<T>(
  options: LoadOptions,
  use: (clients: Clients) => Promise<T>,
): Promise<T> {
  const clients = new Clients(options);
  try {
    return await use(clients);
  } finally {
    clients.close();
  }
}
