/**
 * CONNECT, §3.1: who is it, may it, which Session, which limits; then CONNACK.
 *
 * The engine has validated the packet; its fields are in DECODED until the connection goes on.
 */
import { randomBytes } from "node:crypto";
import * as abi from "#assembly/abi";
import {
  AUTHENTICATION_METHOD,
  CLIENT_IDENTIFIER_NOT_VALID,
  CONNECT_CLEAN_START,
  CONNECT_USER_NAME,
  CONNECT_WILL,
  CONNECT_WILL_QOS_SHIFT,
  CONNECT_WILL_RETAIN,
  LEVEL_BRIDGE,
  MAXIMUM_PACKET_SIZE,
  NOT_AUTHORIZED,
  PAYLOAD_FORMAT_INDICATOR,
  PAYLOAD_FORMAT_INVALID,
  QOS_NOT_SUPPORTED,
  QUOTA_EXCEEDED,
  RECEIVE_MAXIMUM,
  REQUEST_PROBLEM_INFORMATION,
  REQUEST_RESPONSE_INFORMATION,
  RETAIN_NOT_SUPPORTED,
  SESSION_EXPIRY_INTERVAL,
  SESSION_TAKEN_OVER,
  TOPIC_ALIAS_MAXIMUM,
  TOPIC_NAME_INVALID,
  UNSUPPORTED_PROTOCOL_VERSION,
  WILL_DELAY_INTERVAL,
} from "#assembly/spec";
import { ProtocolError } from "../base/errors.ts";
import type { ProtocolVersion } from "../config/values.ts";
import type { NetworkConnection } from "../session/network-connection.ts";
import { EXPIRY_NEVER } from "../session/sessions.ts";
import type { Will } from "../session/wills.ts";
import type { Admission } from "./admission.ts";
import type { Authenticating } from "./auth.ts";
import { type Accepted, fitted, sendAccepted } from "./connack.ts";
import type { Admitted, DecideConnect, Logins } from "./logins.ts";
import { STRING_BYTES_MAX } from "./mounted-filter.ts";
import type { PacketWriter } from "./packet-writer.ts";
import { loggedName, type Plane } from "./plane.ts";
import { withoutProperty } from "./will-properties.ts";

/** Ends a connection whose Session goes to another one. */
export type TakeOver = (connection: NetworkConnection, reasonCode: number) => void;

/** What CONNECT asks for, before it is granted. */
interface Request {
  readonly version: number;
  readonly cleanStart: boolean;
  readonly keepAliveSeconds: number;
  readonly expirySeconds: number;
  readonly receiveMaximum: number;
  readonly topicAliasMaximum: number;
}

/** What was found for a CONNECT. */
interface Opened {
  readonly sessionPresent: boolean;
  /** A Session on disk has ended: its client is told of the new one once that is on disk, too. */
  readonly endsDurable: boolean;
}

/** Who decides about a CONNECT before its Session is looked for. */
export interface ConnectingParts {
  readonly admission: Admission;
  readonly authenticating: Authenticating;
  readonly logins: Logins;
}

export class Connecting {
  readonly #plane: Plane;
  readonly #writer: PacketWriter;
  readonly #authenticating: Authenticating;
  readonly #logins: Logins;
  readonly #admission: Admission;
  readonly #takeOver: TakeOver;
  /** Connections whose CONNACK waits for a commit, by the address of their Session. */
  readonly #waiting = new Map<number, NetworkConnection>();

  constructor(
    plane: Plane,
    writer: PacketWriter,
    { admission, authenticating, logins }: ConnectingParts,
    takeOver: TakeOver,
  ) {
    this.#plane = plane;
    this.#writer = writer;
    this.#authenticating = authenticating;
    this.#logins = logins;
    this.#admission = admission;
    this.#takeOver = takeOver;
  }

  /**
   * Acts on the CONNECT in DECODED.
   *
   * @param proven  who sent it, once that is known
   * @returns true where the CONNACK is sent and the connection goes on; false where both wait: for
   *   who it is, or for the commit of what becomes of the Session
   * @throws ProtocolError with the Reason Code of the CONNACK that refuses
   */
  connect(connection: NetworkConnection, proven: Admitted | null = null): boolean {
    const request = this.#read(connection);
    const { redirect, protocolVersions } = connection.rules;
    if (!protocolVersions.has(request.version as ProtocolVersion)) {
      throw new ProtocolError(UNSUPPORTED_PROTOCOL_VERSION, "not served on this port");
    }
    if (proven === null) this.#admission.judgeRate(connection, performance.now());
    if (redirect !== null) {
      throw new ProtocolError(redirect.reasonCode, "", redirect.serverReference);
    }
    if (proven === null && this.#plane.engine.hasProperty(AUTHENTICATION_METHOD)) {
      return this.#authenticating.connect(connection);
    }
    const assigned = this.#identify(connection, request);
    if (proven === null) this.#admission.judgeLoad(() => this.#hasSession(connection));
    const admitted = proven ?? this.#logins.ask(connection, this.#decide);
    if (admitted === null) return false;
    const named = this.#rename(connection, admitted, assigned);
    return this.#open(connection, request, admitted, named);
  }

  readonly #decide: DecideConnect = (connection, admitted) => this.connect(connection, admitted);

  /** Whether the client of the CONNECT in DECODED has a Session, if it is who it says it is. */
  #hasSession({ rules, clientId }: NetworkConnection): boolean {
    const { engine, sessions } = this.#plane;
    let [at, byteCount] = [
      engine.decoded(abi.D_CLIENT_ID_AT),
      engine.decoded(abi.D_CLIENT_ID_BYTES),
    ];
    const hasName = (engine.decoded(abi.D_CONNECT_FLAGS) & CONNECT_USER_NAME) !== 0;
    if (rules.usernameAsClientId && !hasName) return false;
    if (rules.usernameAsClientId) {
      [at, byteCount] = [engine.decoded(abi.D_USER_NAME_AT), engine.decoded(abi.D_USER_NAME_BYTES)];
    }
    return clientId !== "" && byteCount > 0 && sessions.find(at, byteCount) !== 0;
  }

  /** Grants what is asked for, or less of it, and opens the Session. @returns as connect() */
  #open(
    connection: NetworkConnection,
    request: Request,
    admitted: Admitted,
    assigned: string | null,
  ): boolean {
    const { keepAlive, serverKeepAliveSeconds } = this.#keepAlive(request);
    connection.keepAliveSeconds = keepAlive;
    const granted = this.#expiry(request);
    connection.sessionExpirySeconds = granted;
    // Before anything may refuse: who closes the connection frees it.
    connection.will = this.#readWill(connection);
    const offered = fitted(this.#writer, connection, this.#plane.settings, {
      sessionPresent: false,
      assignedClientId: this.#isAssigned(request) ? assigned : null,
      serverKeepAliveSeconds,
      sessionExpirySeconds: granted === request.expirySeconds ? null : granted,
      responseInformation: this.#responseInformation(connection),
      authenticationData: admitted.authenticationData,
    });
    this.#logins.watch(connection, admitted);
    const { sessionPresent, endsDurable } = this.#openSession(
      connection,
      request,
      granted,
      assigned,
    );
    const { clientId } = connection;
    this.#plane.authorization.attach(connection, { ...admitted.identity, clientId });
    if (admitted.identity.rules !== null) this.#judgeWill(connection);
    const accepted = { ...offered, sessionPresent };
    this.#logAccepted(connection, request);
    const { session } = connection;
    const isDurable = this.#plane.sessions.isDurable(session);
    if (!isDurable && !endsDurable) {
      this.#accept(connection, request, accepted);
      return true;
    }
    if (isDurable && connection.will !== null) {
      this.#plane.wills.record(connection.will, this.#plane.sessions.numberOf(session));
    }
    connection.phase = "waiting";
    this.#waiting.set(session, connection);
    this.#plane.turn.afterCommit(() => {
      if (this.#waiting.get(session) === connection) this.#waiting.delete(session);
      if (connection.phase !== "waiting") return;
      try {
        this.#accept(connection, request, accepted);
      } catch (error) {
        // No memory for the CONNACK: it closes without.
        if (!(error instanceof ProtocolError)) throw error;
        connection.closeReason = error.message;
        this.#takeOver(connection, error.reasonCode);
        return;
      }
      this.#plane.turn.resumeNow(connection);
    });
    return false;
  }

  #read(connection: NetworkConnection): Request {
    const { engine } = this.#plane;
    const version = engine.decoded(abi.D_VERSION);
    connection.version = version;
    connection.isBridge = (engine.decoded(abi.D_LEVEL) & LEVEL_BRIDGE) !== 0;
    connection.packetBytesMax = engine.numberProperty(MAXIMUM_PACKET_SIZE, 0);
    connection.problemInformation = engine.numberProperty(REQUEST_PROBLEM_INFORMATION, 1) === 1;
    const cleanStart = (engine.decoded(abi.D_CONNECT_FLAGS) & CONNECT_CLEAN_START) !== 0;
    const asked = engine.numberProperty(SESSION_EXPIRY_INTERVAL, 0);
    return {
      version,
      cleanStart,
      keepAliveSeconds: engine.decoded(abi.D_KEEP_ALIVE),
      // Before 5.0 a Session that is not clean lasts [MQTT-3.1.2-4 @3.1.1].
      expirySeconds: version === 5 ? asked : cleanStart ? 0 : EXPIRY_NEVER,
      receiveMaximum: engine.numberProperty(RECEIVE_MAXIMUM, 65535),
      topicAliasMaximum: engine.numberProperty(TOPIC_ALIAS_MAXIMUM, 0),
    };
  }

  /** Whether the client is told of its Client Identifier: it brought none [MQTT-3.2.2-16]. */
  #isAssigned({ version }: Request): boolean {
    return version === 5 && this.#plane.engine.decoded(abi.D_CLIENT_ID_BYTES) === 0;
  }

  /** @returns the Client Identifier that was assigned, or null: the client brought one */
  #identify(connection: NetworkConnection, request: Request): string | null {
    const { engine } = this.#plane;
    const byteCount = engine.decoded(abi.D_CLIENT_ID_BYTES);
    if (byteCount > 0) {
      connection.clientId = engine.text(engine.decoded(abi.D_CLIENT_ID_AT), byteCount);
      this.#judgePrefix(connection);
      return null;
    }
    // Assigned before its CONNECT waited.
    if (connection.clientId !== "") return connection.clientId;
    // [MQTT-3.1.3-8 @3.1.1]; 3.1 wants one in any case.
    const isNeeded = request.version === 3 || (request.version === 4 && !request.cleanStart);
    if (isNeeded || !connection.rules.emptyClientIdAllowed) {
      throw new ProtocolError(CLIENT_IDENTIFIER_NOT_VALID, "empty Client Identifier");
    }
    // [MQTT-3.1.3-6]
    connection.clientId = connection.rules.clientIdPrefix + randomBytes(11).toString("hex");
    this.#judgePrefix(connection);
    return connection.clientId;
  }

  /** mosquitto's clientid_prefixes, with the Reason Code that it sends. */
  #judgePrefix({ clientId }: NetworkConnection): void {
    const { clientIdsBeginWith } = this.#plane.settings;
    if (clientIdsBeginWith === null || clientId.startsWith(clientIdsBeginWith)) return;
    throw new ProtocolError(NOT_AUTHORIZED, "the Client Identifier begins with something else");
  }

  /**
   * The client is who it proved to be, and its Session may be that user's.
   *
   * @returns the Client Identifier that is not the packet's, or null
   */
  #rename(
    connection: NetworkConnection,
    { identity: { userName } }: Admitted,
    assigned: string | null,
  ): string | null {
    connection.userName = userName;
    if (!connection.rules.usernameAsClientId) return assigned;
    if (userName === "") {
      throw new ProtocolError(NOT_AUTHORIZED, "a user name is needed, as Client Identifier");
    }
    // A string of MQTT has none [MQTT-1.5.4-2]; Sessions of the broker's own begin with one.
    if (userName.includes("\0")) {
      throw new ProtocolError(CLIENT_IDENTIFIER_NOT_VALID, "the user name has U+0000");
    }
    connection.clientId = userName;
    return userName;
  }

  #keepAlive({ version, keepAliveSeconds: asked }: Request): {
    readonly keepAlive: number;
    readonly serverKeepAliveSeconds: number | null;
  } {
    // Who cannot be told of another one has its own, with mosquitto as well.
    if (version !== 5) return { keepAlive: asked, serverKeepAliveSeconds: null };
    const { keepAliveSecondsMax, serverKeepAliveSeconds } = this.#plane.settings;
    let granted = serverKeepAliveSeconds > 0 ? serverKeepAliveSeconds : asked;
    if (keepAliveSecondsMax > 0 && (granted === 0 || granted > keepAliveSecondsMax)) {
      granted = keepAliveSecondsMax;
    }
    // [MQTT-3.2.2-21]
    return { keepAlive: granted, serverKeepAliveSeconds: granted === asked ? null : granted };
  }

  #expiry(request: Request): number {
    const { olderSessionExpirySeconds, sessionExpirySecondsMax } = this.#plane.settings;
    const max = request.version === 5 ? sessionExpirySecondsMax : olderSessionExpirySeconds;
    return Math.min(request.expirySeconds, Number.isFinite(max) ? max : EXPIRY_NEVER);
  }

  #readWill(connection: NetworkConnection): Will | null {
    const { qosMax } = connection.rules;
    const { engine, settings, wills } = this.#plane;
    const flags = engine.decoded(abi.D_CONNECT_FLAGS);
    if ((flags & CONNECT_WILL) === 0) return null;
    const retain = (flags & CONNECT_WILL_RETAIN) !== 0;
    if (retain && !settings.retainAvailable) {
      throw new ProtocolError(RETAIN_NOT_SUPPORTED, "Will Retain"); // [MQTT-3.2.2-13]
    }
    if (settings.payloadUtf8Checked) this.#checkWillPayload();
    const qos = (flags >>> CONNECT_WILL_QOS_SHIFT) & 3;
    if (qos > qosMax) throw new ProtocolError(QOS_NOT_SUPPORTED, "Will QoS"); // [MQTT-3.2.2-12]
    const part = (at: number, bytes: number): Buffer => {
      const from = engine.decoded(at);
      return Buffer.from(engine.bytes.subarray(from, from + engine.decoded(bytes)));
    };
    const delaySeconds = engine.hasWillProperty(WILL_DELAY_INTERVAL)
      ? engine.decoded(abi.D_WILL_VALUES + WILL_DELAY_INTERVAL * 8)
      : 0;
    const mount = Buffer.from(connection.rules.mountPoint);
    const topic = Buffer.concat([mount, part(abi.D_WILL_TOPIC_AT, abi.D_WILL_TOPIC_BYTES)]);
    if (topic.length > STRING_BYTES_MAX) {
      throw new ProtocolError(TOPIC_NAME_INVALID, "the will's topic is too long below mount_point");
    }
    const will = wills.keep({
      topic,
      payload: part(abi.D_WILL_PAYLOAD_AT, abi.D_WILL_PAYLOAD_BYTES),
      qos,
      retain,
      properties: withoutProperty(
        part(abi.D_WILL_PROPERTIES_AT, abi.D_WILL_PROPERTIES_BYTES),
        WILL_DELAY_INTERVAL,
      ),
      delaySeconds,
    });
    if (will === null) throw new ProtocolError(QUOTA_EXCEEDED, "no memory for the will");
    return will;
  }

  /** The rules of a login are gone with the connection: a will that they forbid goes at once. */
  #judgeWill(connection: NetworkConnection): void {
    const { authorization, wills } = this.#plane;
    const { session, will } = connection;
    if (will === null || authorization.allowsWill(will, session)) return;
    wills.discard(will, 0);
    connection.will = null;
  }

  /** The Will Payload is to be what its Payload Format Indicator says, §3.1.3.2.3. */
  #checkWillPayload(): void {
    const { engine } = this.#plane;
    if (!engine.hasWillProperty(PAYLOAD_FORMAT_INDICATOR)) return;
    if (engine.decoded(abi.D_WILL_VALUES + PAYLOAD_FORMAT_INDICATOR * 8) !== 1) return;
    const at = engine.decoded(abi.D_WILL_PAYLOAD_AT);
    const byteCount = engine.decoded(abi.D_WILL_PAYLOAD_BYTES);
    if (engine.calls.payloadUtf8Valid(at, byteCount) === 0) {
      throw new ProtocolError(PAYLOAD_FORMAT_INVALID, "Will Payload");
    }
  }

  /** What the client is to begin its Response Topics with, if it asks [MQTT-3.1.2-28]. */
  #responseInformation(connection: NetworkConnection): string | null {
    const { engine, settings } = this.#plane;
    const { responseInformation } = settings;
    const isAsked = engine.numberProperty(REQUEST_RESPONSE_INFORMATION, 0) === 1;
    if (responseInformation === null || !isAsked) return null;
    const text = responseInformation.replaceAll("%c", () => connection.clientId);
    // A Client Identifier may be what no Topic Name is.
    const isName = !/[+#]/.test(text) && Buffer.byteLength(text) <= STRING_BYTES_MAX;
    return isName ? text : null;
  }

  /** Finds or makes the Session, after any other connection gave it up. */
  #openSession(
    connection: NetworkConnection,
    request: Request,
    expirySeconds: number,
    assigned: string | null,
  ): Opened {
    const { engine, sessions, turn } = this.#plane;
    const own = [
      engine.decoded(abi.D_CLIENT_ID_AT),
      engine.decoded(abi.D_CLIENT_ID_BYTES),
    ] as const;
    // Written anew each time: who else is told something has its packet in SCRATCH.
    const clientId = (): readonly [at: number, byteCount: number] =>
      assigned === null ? own : [abi.SCRATCH, engine.scratch.write(assigned)];
    let session = sessions.find(...clientId());
    const wasDurable = session !== 0 && sessions.isDurable(session);
    // Who has a Session may come back: to drain its queue, or to clean it.
    if (session === 0 && engine.calls.sessionCount() >= this.#plane.settings.sessionsMax) {
      throw new ProtocolError(QUOTA_EXCEEDED, "global_max_clients is reached");
    }
    if (session === 0 && engine.calls.memoryTight() === 1) {
      throw new ProtocolError(QUOTA_EXCEEDED, "memory_limit is reached");
    }
    if (session !== 0) {
      const other = this.#carrier(session);
      if (other !== undefined) {
        if (request.cleanStart) other.sessionExpirySeconds = 0;
        this.#logTakeOver(connection);
        this.#takeOver(other, SESSION_TAKEN_OVER); // [MQTT-3.1.4-3]
        session = sessions.find(...clientId());
      }
    }
    const { authorization } = this.#plane;
    if (session !== 0 && (request.cleanStart || authorization.isOfAnother(session, connection))) {
      sessions.end(session);
      session = 0;
    }
    const sessionPresent = session !== 0;
    if (sessionPresent) sessions.continue(session, request.version, expirySeconds);
    else session = sessions.create(...clientId(), request.version, expirySeconds);
    if (session === 0) throw new ProtocolError(QUOTA_EXCEEDED, "no memory for a Session");
    connection.session = session;
    turn.schedule();
    return { sessionPresent, endsDurable: wasDurable && !sessionPresent };
  }

  /** The connection that has the Session, attached or about to be. */
  #carrier(session: number): NetworkConnection | undefined {
    const { sessions, turn } = this.#plane;
    const number = sessions.connectionOf(session);
    if (number !== 0) return turn.at(number);
    return this.#waiting.get(session);
  }

  #accept(connection: NetworkConnection, request: Request, accepted: Accepted): void {
    const { engine, keepAlive, settings } = this.#plane;
    const { number, packetBytesMax, rules, session } = connection;
    const { version, topicAliasMaximum } = request;
    sendAccepted(this.#writer, connection, settings, accepted);
    connection.phase = "open";
    engine.calls.acceptConnection(number, version, packetBytesMax, topicAliasMaximum);
    if (rules.mountPoint !== "") {
      const mount = engine.calls.addMount(abi.SCRATCH, engine.scratch.write(rules.mountPoint));
      if (mount === 0) throw new ProtocolError(QUOTA_EXCEEDED, "no memory for its mount point");
      engine.calls.mountConnection(number, mount);
    }
    if (rules.qosMax < 2) engine.calls.limitQos(number, rules.qosMax);
    engine.calls.attachSession(session, number, request.receiveMaximum);
    const { publishBurstMax, publishRateMax } = settings;
    if (
      publishRateMax > 0 &&
      engine.calls.limitRate(session, publishRateMax, publishBurstMax) < 0
    ) {
      throw new ProtocolError(QUOTA_EXCEEDED, "no memory to count its messages");
    }
    engine.calls.pump(session);
    keepAlive.watch(connection);
  }

  #logTakeOver({ clientId }: NetworkConnection): void {
    const { log, settings } = this.#plane;
    if (!settings.connectionMessages) return;
    log.notice(`Client ${loggedName(clientId)} already connected, closing old connection.`);
  }

  #logAccepted(connection: NetworkConnection, request: Request): void {
    const { log, settings } = this.#plane;
    if (!settings.connectionMessages || !log.has("notice")) return;
    const flags = `p${request.version}, c${request.cleanStart ? 1 : 0}`;
    const { remote } = connection.wire;
    const user = connection.userName === "" ? "" : `, u'${loggedName(connection.userName)}'`;
    log.notice(
      `New client connected from ${remote} as ${loggedName(connection.clientId)} ` +
        `(${flags}, k${connection.keepAliveSeconds}${user}).`,
    );
  }
}
