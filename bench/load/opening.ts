/** Opens Network Connections up to CONNACK and SUBACK, a bounded number at a time. */
import { Connection, nextPacket, type ReadRegion } from "./connection.ts";
import { BrokerFault } from "./fault.ts";
import type { LoadOptions } from "./options.ts";
import {
  CONNACK,
  connackReceiveMaximum,
  connectPacket,
  disconnectPacket,
  packetBody,
  type QoS,
  type SessionKind,
  SUBACK,
  subscribePacket,
} from "./packet.ts";

/** Connections per source address: past it the kernel's search for a free port gets slow. */
const CONNECTIONS_PER_ADDRESS = 10_000;
/** How long the broker may take from connect() to CONNACK or SUBACK. */
const ANSWER_SECONDS_MAX = 15;

export interface OpenedConnection {
  readonly connection: Connection;
  /** Receive Maximum of the broker. */
  readonly receiveMaximum: number;
}

/** @returns where the connection with this number in the run comes from; undefined: any address */
export function localAddress(host: string, index: number): string | undefined {
  const address = Math.floor(index / CONNECTIONS_PER_ADDRESS);
  return host === "127.0.0.1" && address > 0 ? `127.0.0.${address + 1}` : undefined;
}

/** @throws BrokerFault if `answer` takes too long */
export function withDeadline<T>(answer: Promise<T>, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = (): void => reject(new BrokerFault(`no ${what} in ${ANSWER_SECONDS_MAX} s`));
    const timer = setTimeout(late, ANSWER_SECONDS_MAX * 1000);
    answer.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/**
 * Opens one connection up to its CONNACK.
 *
 * @param index  number of the connection in the run; chooses the source address
 * @param lost  called at most once if the connection ends, also while it opens
 * @throws BrokerFault if the broker refuses or does not answer
 */
export async function openConnection(
  options: LoadOptions,
  region: ReadRegion,
  clientIdentifier: string,
  index: number,
  lost: (fault: BrokerFault) => void,
  session: SessionKind = "clean",
): Promise<OpenedConnection> {
  let refuse: (fault: BrokerFault) => void = lost;
  let refused: () => void = () => {};
  const answer = new Promise<OpenedConnection>((resolve, reject) => {
    refuse = reject;
    const connection = new Connection(
      region,
      {
        host: options.host,
        port: options.port,
        localAddress: localAddress(options.host, index),
        transport: options.transport,
        tls: options.tls,
        path: options.path,
        lost: (fault) => refuse(fault),
      },
      () => {
        nextPacket(connection, region).then((packet) => {
          const body = packetBody(packet, 0);
          if (packet[0] !== CONNACK || packet[body + 1] !== 0) {
            reject(new BrokerFault(`CONNECT refused with 0x${packet[body + 1]?.toString(16)}`));
            return;
          }
          const receiveMaximum =
            options.level === 5 ? connackReceiveMaximum(packet, body, packet.length) : 65535;
          resolve({ connection, receiveMaximum });
        }, reject);
        const { level, keepAliveSeconds } = options;
        const name = options.userName?.(index) ?? "";
        connection.sendPacket(
          connectPacket(level, clientIdentifier, keepAliveSeconds, session, name),
        );
      },
    );
    refused = () => connection.end(disconnectPacket());
  });
  try {
    const opened = await withDeadline(answer, "CONNACK");
    refuse = lost;
    return opened;
  } catch (error) {
    refused();
    throw error;
  }
}

/** @throws BrokerFault if the broker grants another QoS, or none */
export async function subscribe(
  connection: Connection,
  region: ReadRegion,
  options: LoadOptions,
  filter: string,
  qos: QoS,
): Promise<void> {
  const answer = nextPacket(connection, region);
  connection.sendPacket(subscribePacket(options.level, filter, qos));
  const packet = await withDeadline(answer, "SUBACK");
  const granted = packet[packet.length - 1];
  if (packet[0] !== SUBACK || granted !== qos) {
    throw new BrokerFault(`SUBSCRIBE at QoS ${qos} answered with 0x${granted?.toString(16)}`);
  }
}

/**
 * Runs `task` for 0 … count-1, at most `concurrency` of them at a time. After the first failure no
 * more are begun; when all have ended, the failure is thrown.
 */
export async function forEachConcurrently(
  count: number,
  concurrency: number,
  task: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    try {
      while (next < count) await task(next++);
    } catch (error) {
      next = count;
      throw error;
    }
  };
  const lanes = Array.from({ length: Math.min(concurrency, count) }, lane);
  const failed = (await Promise.allSettled(lanes)).find((outcome) => outcome.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}
