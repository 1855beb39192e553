/** One figure that the broker tells of itself below $SYS. */
import { BrokerFault } from "../load/fault.ts";
import { subscribePacket } from "../load/packet.ts";
import { sleep } from "./bar.ts";
import type { Client, Clients } from "./clients.ts";

/** The broker must tell its figures every second. */
export const SYS_CONFIG: readonly string[] = ["sys_interval 1"];
/** Slab bytes in use. */
export const HEAP_BYTES = "heap/current";

const STABLE_MILLIS = 3500;
const SECONDS_MAX = 60;
const POLL_MILLIS = 100;

export class SysValue {
  private readonly client: Client;
  private readonly topic: string;

  private constructor(client: Client, topic: string) {
    this.client = client;
    this.topic = topic;
  }

  /** @param name  of the topic, without `$SYS/broker/` */
  static async open(clients: Clients, name: string): Promise<SysValue> {
    const client = await clients.open(true);
    const topic = `$SYS/broker/${name}`;
    client.connection.sendPacket(subscribePacket(4, topic, 0));
    return new SysValue(client, topic);
  }

  /** @returns the figure, once it has not changed for several intervals */
  async stable(): Promise<number> {
    const deadline = performance.now() + SECONDS_MAX * 1000;
    let last = "";
    let since = performance.now();
    while (last === "" || performance.now() - since < STABLE_MILLIS) {
      if (performance.now() > deadline)
        throw new BrokerFault(`${this.topic} does not come to rest`);
      await sleep(POLL_MILLIS);
      const now = this.client.tally.lastPayload;
      if (now !== last) since = performance.now();
      last = now;
    }
    return Number(last);
  }
}
