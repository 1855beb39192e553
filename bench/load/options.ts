/** What a run of the load generator is asked to do. */
import type { Transport } from "./connection.ts";
import type { ProtocolLevel, QoS, SessionKind } from "./packet.ts";

export type Scenario = "fan-in" | "fan-out" | "pairs" | "connect" | "offline" | "resume";

export interface LoadOptions {
  readonly scenario: Scenario;
  readonly host: string;
  readonly port: number;
  readonly transport: Transport;
  /** Whether there is TLS below it. */
  readonly tls: boolean;
  readonly path: string;
  readonly level: ProtocolLevel;
  readonly qos: QoS;
  /**
   * Connections of `connect`, Sessions of `offline` and `resume`; in the other scenarios publishers
   * and subscribers count.
   */
  readonly clientCount: number;
  readonly publisherCount: number;
  readonly subscriberCount: number;
  /** Of the subscribers; publishers have clean ones. */
  readonly session: SessionKind;
  /** `offline`: messages for each Session. */
  readonly messagesEach: number;
  readonly payloadBytes: number;
  readonly seconds: number;
  readonly warmupSeconds: number;
  /** Published in all, after the warm-up; 0: until `seconds` are over. */
  readonly messagesMax: number;
  /** Published per second in all; 0: as fast as possible. */
  readonly ratePerSecond: number;
  /** 0: no window. */
  readonly windowMessages: number;
  readonly inflightMax: number;
  /** The run fails when nothing comes for so long though something is owed. */
  readonly idleSeconds: number;
  /** CONNECTs that wait for their CONNACK at a time. */
  readonly concurrency: number;
  readonly keepAliveSeconds: number;
  /** User name of a connection, by its number in the run; without it they have none. */
  readonly userName?: (index: number) => string;
  /** The broker's processes; empty if not known. */
  readonly pids: readonly number[];
  readonly jsonFile: string | undefined;
  readonly progress: boolean;
}
