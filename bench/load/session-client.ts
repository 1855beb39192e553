/** One client of a durable Session: comes, subscribes, goes, and comes back for what waits. */
import { Connection, type PacketSink, type ReadRegion } from "./connection.ts";
import { BrokerFault } from "./fault.ts";
import { localAddress, withDeadline } from "./opening.ts";
import type { LoadOptions } from "./options.ts";
import {
  CONNACK,
  connectPacket,
  disconnectPacket,
  PINGRESP,
  PUBACK,
  PUBCOMP,
  PUBLISH,
  PUBREC,
  PUBREL,
  packetBody,
  packetEnd,
  type SessionKind,
  SUBACK,
} from "./packet.ts";

/** Takes the Application Messages that come, in place. */
export interface Inbox {
  /** @param body  offset behind the PUBLISH's fixed header */
  takePublish(session: number, firstByte: number, body: number, end: number): void;
  /** Called after each read that brought messages. */
  progressed(): void;
}

export interface SessionSetup {
  readonly options: LoadOptions;
  readonly region: ReadRegion;
  /** undefined: messages are acknowledged only. */
  readonly inbox: Inbox | undefined;
  readonly lost: (fault: BrokerFault) => void;
}

/** What a client sends at once when its connection is open. */
export interface Entry {
  readonly clientIdentifier: string;
  readonly session: SessionKind;
  /** A SUBSCRIBE, whose SUBACK is awaited too. */
  readonly subscribe?: Uint8Array;
}

const FAILURE = 0x80;
const PINGREQ = Uint8Array.from([0xc0, 0]);

export class SessionClient implements PacketSink {
  sessionPresent = false;
  readonly connection: Connection;
  private readonly setup: SessionSetup;
  private readonly session: number;
  private awaits: typeof CONNACK | typeof SUBACK;
  private refuse: (fault: BrokerFault) => void = () => {};
  private pong: () => void = () => {};
  private welcome: (client: SessionClient) => void = () => {};

  /** @param session  its number in the run, which chooses the source address, too */
  private constructor(setup: SessionSetup, session: number, entry: Entry) {
    const { options, region } = setup;
    this.setup = setup;
    this.session = session;
    this.refuse = setup.lost;
    this.awaits = entry.subscribe === undefined ? CONNACK : SUBACK;
    this.connection = new Connection(
      region,
      {
        host: options.host,
        port: options.port,
        localAddress: localAddress(options.host, session),
        transport: "tcp",
        tls: false,
        path: "",
        lost: (fault) => this.refuse(fault),
      },
      () => {
        const { level, keepAliveSeconds } = options;
        const { clientIdentifier, subscribe } = entry;
        const connect = connectPacket(level, clientIdentifier, keepAliveSeconds, entry.session);
        this.connection.sendPacket(
          subscribe === undefined ? connect : Buffer.concat([connect, subscribe]),
        );
      },
    );
    this.connection.sink = this;
  }

  /**
   * Opens a connection up to its CONNACK, or SUBACK if it subscribes.
   *
   * @throws BrokerFault if the broker refuses or does not answer
   */
  static async open(setup: SessionSetup, session: number, entry: Entry): Promise<SessionClient> {
    const client = new SessionClient(setup, session, entry);
    const answer = new Promise<SessionClient>((resolve, reject) => {
      client.refuse = reject;
      client.welcome = resolve;
    });
    try {
      return await withDeadline(answer, "CONNACK or SUBACK");
    } catch (error) {
      client.connection.drop();
      throw error;
    } finally {
      client.refuse = setup.lost;
    }
  }

  /** Resolves when all that the broker sent before has come. */
  pinged(): Promise<void> {
    const answer = new Promise<void>((resolve) => {
      this.pong = resolve;
    });
    this.connection.sendPacket(PINGREQ);
    return withDeadline(answer, "PINGRESP");
  }

  leave(): void {
    this.connection.end(disconnectPacket());
  }

  writable(): void {}

  /** Hot. */
  take(start: number, end: number): number {
    const { bytes, view } = this.setup.region;
    const { inbox } = this.setup;
    let at = start;
    while (at < end) {
      const next = packetEnd(bytes, at, end);
      if (next < 0) throw new BrokerFault("malformed Remaining Length");
      if (next === 0) break;
      const firstByte = bytes[at] as number;
      const body = packetBody(bytes, at);
      if ((firstByte & 0xf0) === PUBLISH) this.takePublish(firstByte, body, next);
      else if (firstByte === PUBREL) this.connection.acknowledge(PUBCOMP, view.getUint16(body));
      else this.takeAnswer(firstByte, body, next);
      at = next;
    }
    this.connection.flushAcknowledgements();
    inbox?.progressed();
    return at;
  }

  private takePublish(firstByte: number, body: number, end: number): void {
    const { view } = this.setup.region;
    const qos = (firstByte >> 1) & 3;
    if (qos > 0) {
      const packetId = view.getUint16(body + 2 + view.getUint16(body));
      this.connection.acknowledge(qos === 1 ? PUBACK : PUBREC, packetId);
    }
    this.setup.inbox?.takePublish(this.session, firstByte, body, end);
  }

  private takeAnswer(firstByte: number, body: number, end: number): void {
    const { bytes } = this.setup.region;
    if (firstByte === CONNACK) {
      const code = bytes[body + 1] as number;
      if (code !== 0) throw new BrokerFault(`CONNECT refused with 0x${code.toString(16)}`);
      this.sessionPresent = ((bytes[body] as number) & 1) === 1;
    } else if (firstByte === SUBACK) {
      const granted = bytes[end - 1] as number;
      if (granted >= FAILURE) {
        throw new BrokerFault(`SUBSCRIBE answered with 0x${granted.toString(16)}`);
      }
    } else if (firstByte === PINGRESP) {
      this.pong();
    } else {
      throw new BrokerFault(`a subscriber got a packet 0x${firstByte.toString(16)}`);
    }
    if (firstByte === this.awaits) this.welcome(this);
  }
}
