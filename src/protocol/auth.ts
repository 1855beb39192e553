/**
 * Enhanced authentication, §4.12: AUTH goes back and forth, before CONNACK and whenever the client
 * asks for it again.
 *
 *   CONNECT, method ──▶ begin() ─▶ AUTH 0x18 ─▶ continue() ─▶ the CONNECT is decided, or refused
 *   AUTH 0x19 ────────▶ begin() ─▶ AUTH 0x18 ─▶ continue() ─▶ AUTH 0x00, or DISCONNECT 0x87
 *
 * While the client of a CONNECT proves who it is, the packet waits (waiting-connects.ts).
 */
import * as abi from "#assembly/abi";
import {
  AUTH,
  AUTHENTICATION_DATA,
  AUTHENTICATION_METHOD,
  BAD_AUTHENTICATION_METHOD,
  CONTINUE_AUTHENTICATION,
  PROTOCOL_ERROR,
  RE_AUTHENTICATE,
  SUCCESS,
} from "#assembly/spec";
import type { Grounds } from "../access/identity.ts";
import { ScramExchange } from "../access/scram.ts";
import type { ScramCredentials } from "../access/scram-credentials.ts";
import { SCRAM_SHA_256 } from "../access/scram-file.ts";
import { ProtocolError } from "../base/errors.ts";
import { CONNECT_SECONDS_MAX } from "../base/limits.ts";
import type { NetworkConnection } from "../session/network-connection.ts";
import { DeadlineWheel } from "../session/wheel.ts";
import type { DecideConnect, Logins } from "./logins.ts";
import type { PacketWriter } from "./packet-writer.ts";
import type { Plane } from "./plane.ts";
import type { WaitingConnects } from "./waiting-connects.ts";

/** An exchange under way. */
interface Exchange {
  readonly scram: ScramExchange;
  /** Second in which an exchange on an open connection is given up; 0 = Keep Alive watches. */
  readonly dueSecond: number;
}

export class Authenticating {
  readonly #plane: Plane;
  readonly #writer: PacketWriter;
  readonly #waiting: WaitingConnects;
  readonly #logins: Logins;
  readonly #exchanges = new Map<NetworkConnection, Exchange>();
  readonly #wheel: DeadlineWheel<NetworkConnection>;
  readonly #onExpired: (connection: NetworkConnection) => void;

  /** @param onExpired  called for an open connection that does not finish its exchange in time */
  constructor(
    plane: Plane,
    writer: PacketWriter,
    { waiting, logins }: { readonly waiting: WaitingConnects; readonly logins: Logins },
    nowSeconds: number,
    onExpired: (connection: NetworkConnection) => void,
  ) {
    this.#plane = plane;
    this.#writer = writer;
    this.#waiting = waiting;
    this.#logins = logins;
    this.#onExpired = onExpired;
    this.#wheel = new DeadlineWheel(nowSeconds, (connection) => this.#due(connection));
  }

  /**
   * Begins with the CONNECT in DECODED, which names a method; it is decided later.
   *
   * @returns whether the connection goes on at once
   * @throws ProtocolError with the Reason Code of the CONNACK that refuses [MQTT-4.12.0-4]
   */
  connect(connection: NetworkConnection): boolean {
    const { engine } = this.#plane;
    const method = this.#method();
    const credentials = this.#credentials(connection);
    if (credentials === null || method !== SCRAM_SHA_256) {
      // [MQTT-4.12.0-1]
      throw new ProtocolError(BAD_AUTHENTICATION_METHOD, "no such Authentication Method");
    }
    connection.authenticationMethod = method;
    const data = this.#data();
    this.#waiting.keep(connection);
    const scram = new ScramExchange(credentials);
    this.#exchanges.set(connection, { scram, dueSecond: 0 });
    connection.phase = "authenticating";
    engine.calls.setAuthenticating(connection.number, 1);
    return this.#first(connection, scram, data);
  }

  /**
   * Acts on the AUTH in DECODED.
   *
   * @param decide  called where it proves who sent the CONNECT, which is in DECODED again
   * @returns whether the connection goes on at once
   * @throws ProtocolError 0x82, 0x87 or 0x8C: nothing of the exchange is left
   */
  auth(connection: NetworkConnection, nowSeconds: number, decide: DecideConnect): boolean {
    const { engine } = this.#plane;
    const isBeginning = engine.decoded(abi.D_REASON) === RE_AUTHENTICATE;
    this.#judge(connection, isBeginning);
    const data = this.#data();
    if (isBeginning) return this.#again(connection, data, nowSeconds);
    const exchange = this.#exchanges.get(connection);
    if (exchange === undefined) throw new ProtocolError(PROTOCOL_ERROR, "AUTH without an exchange");
    const step = exchange.scram.next(data ?? Buffer.alloc(0));
    if (step.kind === "failure") return this.#failed(connection, step.reason);
    if (step.kind === "continue") {
      this.#send(connection, CONTINUE_AUTHENTICATION, step.data);
      return true;
    }
    const isOpen = connection.phase === "open";
    if (isOpen && step.user !== connection.userName) {
      return this.#failed(connection, "the user is another than before");
    }
    const grounds = { kind: "scram", credential: step.credential } as const;
    if (!this.#holds(connection, step.user, grounds)) {
      return this.#failed(connection, "the user has changed since it began");
    }
    this.#end(connection);
    if (isOpen) {
      this.#send(connection, SUCCESS, step.data);
      return true;
    }
    connection.phase = "connecting";
    engine.calls.setAuthenticating(connection.number, 0);
    const identity = { clientId: connection.clientId, userName: step.user, rules: null };
    const admitted = { identity, until: null, grounds, authenticationData: step.data };
    return this.#waiting.decide(connection, () => decide(connection, admitted));
  }

  /** The connection is gone, or its exchange is over: nothing of it is kept. */
  forget(connection: NetworkConnection): void {
    this.#end(connection);
    this.#waiting.forget(connection);
  }

  #end(connection: NetworkConnection): void {
    const exchange = this.#exchanges.get(connection);
    if (exchange === undefined) return;
    this.#exchanges.delete(connection);
    if (exchange.dueSecond !== 0) this.#wheel.remove(connection, exchange.dueSecond);
  }

  tick(nowSeconds: number): void {
    this.#wheel.tick(nowSeconds);
  }

  /** What may not be, in the order of what decides whether AUTH may come at all. */
  #judge(connection: NetworkConnection, isBeginning: boolean): void {
    const { authenticationMethod, phase } = connection;
    if (authenticationMethod === "") {
      throw new ProtocolError(PROTOCOL_ERROR, "AUTH without a method"); // [MQTT-4.12.0-7]
    }
    if (this.#method() !== authenticationMethod) {
      // [MQTT-4.12.0-5] [MQTT-4.12.1-1]; the table of DISCONNECT has no code for the method.
      const code = phase === "open" ? PROTOCOL_ERROR : BAD_AUTHENTICATION_METHOD;
      throw new ProtocolError(code, "another Authentication Method than in CONNECT");
    }
    // [MQTT-4.12.0-3]
    if (isBeginning && this.#exchanges.has(connection)) {
      throw new ProtocolError(PROTOCOL_ERROR, "AUTH 0x19 in the middle of an exchange");
    }
  }

  /** Authenticates an open connection again; what else it sends goes on meanwhile. */
  #again(connection: NetworkConnection, data: Uint8Array | null, nowSeconds: number): boolean {
    const credentials = this.#credentials(connection);
    if (credentials === null) return this.#failed(connection, "nobody is known");
    const scram = new ScramExchange(credentials);
    const dueSecond = this.#wheel.add(connection, nowSeconds + CONNECT_SECONDS_MAX);
    this.#exchanges.set(connection, { scram, dueSecond });
    return this.#first(connection, scram, data);
  }

  /** The client speaks first: with the packet that begins, or when it is asked to. */
  #first(connection: NetworkConnection, scram: ScramExchange, data: Uint8Array | null): boolean {
    if (data === null) {
      this.#send(connection, CONTINUE_AUTHENTICATION, null);
      return true;
    }
    const step = scram.next(data);
    if (step.kind === "failure") return this.#failed(connection, step.reason);
    this.#send(connection, CONTINUE_AUTHENTICATION, step.data); // [MQTT-4.12.0-2]
    return true;
  }

  /** Whether the file, which may have been read again, says the same of the user. */
  #holds({ clientId, rules }: NetworkConnection, userName: string, grounds: Grounds): boolean {
    return this.#plane.access.of(rules.access).holds(grounds, { clientId, userName }, rules);
  }

  /** Who may authenticate on this listener. */
  #credentials({ rules }: NetworkConnection): ScramCredentials | null {
    return this.#plane.access.of(rules.access).credentials;
  }

  #method(): string {
    const { engine } = this.#plane;
    const slot = abi.D_VALUES + AUTHENTICATION_METHOD * 8;
    return engine.text(engine.decoded(slot), engine.decoded(slot + 4));
  }

  /** Authentication Data, a copy; null: the packet has none. */
  #data(): Uint8Array | null {
    const { engine } = this.#plane;
    if (!engine.hasProperty(AUTHENTICATION_DATA)) return null;
    const slot = abi.D_VALUES + AUTHENTICATION_DATA * 8;
    const at = engine.decoded(slot);
    return Buffer.from(engine.bytes.subarray(at, at + engine.decoded(slot + 4)));
  }

  #send(connection: NetworkConnection, reasonCode: number, data: Uint8Array | null): void {
    this.#writer
      .begin()
      .byte(reasonCode)
      .properties((list) => {
        list.byte(AUTHENTICATION_METHOD).text(connection.authenticationMethod); // [MQTT-4.12.0-5]
        if (data !== null) list.byte(AUTHENTICATION_DATA).data(data);
      })
      .send(connection.number, AUTH << 4, false, connection.packetBytesMax);
    this.#plane.turn.schedule();
  }

  /**
   * @returns false: the answer waits, and so does what else the client sends
   * @throws ProtocolError 0x87 where it does not
   */
  #failed(connection: NetworkConnection, reason: string): boolean {
    this.forget(connection);
    return this.#logins.refuseUnproven(connection, reason) !== null;
  }

  #due(connection: NetworkConnection): void {
    this.#exchanges.delete(connection);
    this.#onExpired(connection);
  }
}
