/**
 * What becomes of each answer of the engine: control packets go to their families, faults end the
 * connection with their Reason Code. The only place that catches ProtocolError.
 */
import * as abi from "#assembly/abi";
import {
  ADMINISTRATIVE_ACTION,
  AUTH,
  CONNECT,
  DISCONNECT,
  DISCONNECT_WITH_WILL,
  LEVEL_BRIDGE,
  NOT_AUTHORIZED,
  PROTOCOL_ERROR,
  PUBLISH,
  QUOTA_EXCEEDED,
  REASON_STRING,
  SERVER_REFERENCE,
  SESSION_EXPIRY_INTERVAL,
  SUBSCRIBE,
  SUCCESS,
  UNSUBSCRIBE,
  UNSUPPORTED_PROTOCOL_VERSION,
} from "#assembly/spec";
import {
  SUBSCRIBE as MAY_SUBSCRIBE,
  UNSUBSCRIBE as MAY_UNSUBSCRIBE,
} from "../access/access-rules.ts";
import { FailedLogins } from "../access/failed-logins.ts";
import { monotonicSeconds } from "../base/clock.ts";
import { ProtocolError } from "../base/errors.ts";
import { ASKED_BYTES_MAX, FILTERS_PER_PACKET_MAX } from "../base/limits.ts";
import { GoneWire } from "../session/gone-wire.ts";
import type { ListenerRules, NetworkConnection } from "../session/network-connection.ts";
import type { TurnHandlers } from "../session/turn.ts";
import { Admission } from "./admission.ts";
import { Authenticating } from "./auth.ts";
import type { FilterVerdicts } from "./authorization.ts";
import { ConcernedClients } from "./concerned-clients.ts";
import { sendRefused } from "./connack.ts";
import { Connecting } from "./connect.ts";
import { ControlTopics } from "./control-topics.ts";
import { Expulsions } from "./expulsions.ts";
import { farewellLine } from "./farewell.ts";
import { decodedAgain } from "./kept-packet.ts";
import { Logins } from "./logins.ts";
import { PacketWriter } from "./packet-writer.ts";
import { loggedName, type Plane, startingSeconds } from "./plane.ts";
import { shorterForms, type Told } from "./reasons.ts";
import { Subscribing } from "./subscribe.ts";
import { Tallies } from "./tallies.ts";
import { WaitingConnects } from "./waiting-connects.ts";

/** What a client is told that would not be let in any more. */
const OUTDATED = "its login counts no more";

export class Dispatch implements TurnHandlers {
  readonly tallies = new Tallies();
  readonly #plane: Plane;
  readonly #writer: PacketWriter;
  readonly #authenticating: Authenticating;
  readonly #logins: Logins;
  readonly #admission: Admission;
  readonly #connecting: Connecting;
  readonly #subscribing: Subscribing;
  readonly controlTopics: ControlTopics;
  readonly #outdated = new Expulsions((connection) => this.expel(connection, OUTDATED));
  /** Whether a CONNECT of the connection being closed is in DECODED, as far as it was read. */
  #isConnectAtHand = false;

  /** Bytes of all packets that wait for an answer about their Topic Filters. */
  #askedBytes = 0;

  readonly #onClosed: (connection: NetworkConnection) => void;

  /** @param onClosed  called when the record of a connection is gone */
  constructor(plane: Plane, onClosed: (connection: NetworkConnection) => void) {
    this.#plane = plane;
    this.#onClosed = onClosed;
    this.#writer = new PacketWriter(plane.engine);
    this.#subscribing = new Subscribing(plane);
    this.#admission = new Admission(plane.log, plane.settings);
    this.controlTopics = new ControlTopics(
      plane.engine,
      plane.log,
      () => plane.turn.schedule(),
      (connection) => this.expel(connection),
    );
    const waiting = new WaitingConnects(plane.engine);
    const parts = { waiting, failed: new FailedLogins(plane.log), tallies: this.tallies };
    const logins = new Logins(plane, parts, (connection, reasonCode, serverReference) =>
      this.close(connection, reasonCode, serverReference),
    );
    this.#logins = logins;
    const authenticating = new Authenticating(
      plane,
      this.#writer,
      { waiting, logins },
      monotonicSeconds(),
      (connection) => this.close(connection, NOT_AUTHORIZED),
    );
    this.#authenticating = authenticating;
    this.#connecting = new Connecting(
      plane,
      this.#writer,
      { admission: this.#admission, authenticating, logins },
      (connection, reasonCode) => this.close(connection, reasonCode),
    );
  }

  onStatus(connection: NetworkConnection, first: number): void {
    let status = first;
    while (status === abi.R_CONTROL || status === abi.R_ACCESS) {
      const goesOn =
        status === abi.R_CONTROL ? this.#control(connection) : this.#access(connection);
      if (!goesOn) return;
      status = this.#plane.engine.calls.resume(connection.number);
    }
    if (status < 0) {
      this.#isConnectAtHand = this.#plane.engine.decoded(abi.D_TYPE) === CONNECT;
      if (status === -QUOTA_EXCEEDED && this.#plane.engine.calls.memoryTight() === 1) {
        connection.closeReason = "memory_limit is reached";
      }
      this.close(connection, -status);
      this.#isConnectAtHand = false;
    } else if (status === abi.R_DONE) connection.wire.resumeReading();
    else {
      connection.wire.pauseReading();
      if (status === abi.R_BUDGET) this.#plane.turn.resumeLater(connection);
      else if (status === abi.R_COMMIT) this.#plane.turn.resumeAfterCommit(connection);
    }
  }

  onSource(): void {
    this.#plane.authorization.judgeSource();
  }

  onClose(connection: NetworkConnection, reasonCode: number): void {
    this.close(connection, reasonCode);
  }

  onQueueFull(session: number): void {
    const { log, sessions } = this.#plane;
    log.warn(
      `Outgoing messages are being dropped for client ${loggedName(sessions.clientIdOf(session))}.`,
    );
  }

  onQueueFills(session: number): void {
    const { engine, log, sessions } = this.#plane;
    const queued = engine.word(session + abi.SESSION_QUEUED_COUNT);
    log.warn(
      `The queue of client ${loggedName(sessions.clientIdOf(session))} is four fifths full: ` +
        `${queued} messages wait.`,
    );
  }

  /**
   * Whoever authenticates again has a time for it; who failed to is forgotten after a while.
   *
   * @param nowSeconds  monotonic
   * @param wallSeconds  Unix time of the machine's clock: tokens end by it
   */
  tick(nowSeconds: number, wallSeconds: number): void {
    this.#authenticating.tick(nowSeconds);
    this.#logins.tick(nowSeconds, wallSeconds);
    this.#admission.tick();
  }

  /** Nothing is measured any more. */
  stop(): void {
    this.#admission.stop();
  }

  onClosed(connection: NetworkConnection): void {
    this.#onClosed(connection);
  }

  /** Acts on R_ACCESS. @returns whether the connection goes on at once */
  #access(connection: NetworkConnection): boolean {
    const { authorization, turn } = this.#plane;
    const goesOn = authorization.act(connection, () => turn.resumeNow(connection));
    if (!goesOn) connection.wire.pauseReading();
    return goesOn;
  }

  /** @returns whether the connection goes on at once */
  #control(connection: NetworkConnection): boolean {
    try {
      const goesOn = this.#act(connection);
      if (goesOn || connection.phase === "closing" || connection.phase === "closed") return goesOn;
      this.#park(connection);
      return false;
    } catch (error) {
      return this.#fault(connection, error);
    }
  }

  /** The peer's fault ends its connection. @returns false: it does not go on */
  #fault(connection: NetworkConnection, error: unknown): false {
    if (!(error instanceof ProtocolError)) throw error;
    connection.closeReason = error.message;
    this.#plane.turn.schedule();
    this.close(connection, error.reasonCode, error.serverReference);
    return false;
  }

  /** The rest of the chunk waits with the connection until turn.resumeNow(). */
  #park(connection: NetworkConnection): void {
    const status = this.#plane.engine.calls.park();
    if (status < 0) this.close(connection, -status);
    else connection.wire.pauseReading();
  }

  #act(connection: NetworkConnection): boolean {
    const type = this.#plane.engine.decoded(abi.D_TYPE);
    if (type === CONNECT) {
      this.tallies.connectCount++;
      return this.#connecting.connect(connection);
    }
    if (type === SUBSCRIBE || type === UNSUBSCRIBE) return this.#ofFilters(connection, type);
    if (type === PUBLISH) {
      this.controlTopics.take(connection);
      return true;
    }
    if (type === DISCONNECT) {
      this.#disconnect(connection);
      return false;
    }
    if (type === AUTH) {
      return this.#authenticating.auth(connection, monotonicSeconds(), (proven, admitted) =>
        this.#connecting.connect(proven, admitted),
      );
    }
    throw new ProtocolError(PROTOCOL_ERROR, `packet type ${type}`);
  }

  /** SUBSCRIBE or UNSUBSCRIBE, once it is known which Topic Filters are allowed. */
  #ofFilters(connection: NetworkConnection, type: number): boolean {
    const { authorization, engine, turn } = this.#plane;
    const action = type === SUBSCRIBE ? MAY_SUBSCRIBE : MAY_UNSUBSCRIBE;
    let filters = 0;
    for (let more = engine.calls.firstFilter(); more === 1; more = engine.calls.nextFilter()) {
      if (++filters <= FILTERS_PER_PACKET_MAX) continue;
      throw new ProtocolError(QUOTA_EXCEEDED, "too many Topic Filters in one packet");
    }
    const verdicts = authorization.judgeFilters(connection, action);
    if (!(verdicts instanceof Promise)) {
      this.#takeFilters(connection, type, verdicts);
      return true;
    }
    const [from, to] = [engine.decoded(abi.D_AT), engine.decoded(abi.D_END)];
    if (this.#askedBytes + to - from > ASKED_BYTES_MAX) {
      throw new ProtocolError(QUOTA_EXCEEDED, "too many wait for what they may subscribe to");
    }
    const packet = Buffer.from(engine.bytes.subarray(from, to));
    this.#askedBytes += packet.length;
    verdicts.then((known) => {
      this.#askedBytes -= packet.length;
      if (connection.phase !== "open") return;
      if (this.#decideAgain(connection, packet, () => this.#takeFilters(connection, type, known))) {
        turn.resumeNow(connection);
      }
    });
    return false;
  }

  #takeFilters(connection: NetworkConnection, type: number, verdicts: FilterVerdicts): void {
    if (type === UNSUBSCRIBE) this.#subscribing.unsubscribe(connection, verdicts);
    else if (this.#subscribing.subscribe(connection, verdicts)) {
      this.#plane.turn.retainedLater(connection);
    }
  }

  /** Acts on a packet that waited, in DECODED again. @returns false: the connection was closed */
  #decideAgain(connection: NetworkConnection, packet: Buffer, act: () => void): boolean {
    try {
      decodedAgain(this.#plane.engine, packet, connection.version, act);
      return true;
    } catch (error) {
      return this.#fault(connection, error);
    }
  }

  /** DISCONNECT from the client, §3.14: only success drops the will [MQTT-3.14.4-3]. */
  #disconnect(connection: NetworkConnection): void {
    const { engine } = this.#plane;
    const reasonCode = engine.decoded(abi.D_REASON);
    const asked = engine.numberProperty(SESSION_EXPIRY_INTERVAL, connection.sessionExpirySeconds);
    const isOther = asked !== connection.sessionExpirySeconds;
    if (isOther && connection.session !== 0) this.#changeExpiry(connection, asked);
    this.#forget(connection);
    const { turn } = this.#plane;
    const hasWill = connection.will !== null;
    if (reasonCode === SUCCESS) this.#dropWill(connection);
    const isAsked = hasWill && reasonCode === DISCONNECT_WITH_WILL;
    connection.closeReason = isAsked ? "its will was asked for" : "";
    this.#log(connection, SUCCESS);
    this.#leave(connection);
    if (hasWill) {
      // The close tells the client that its will is dealt with: that is to be on record.
      connection.phase = "closing";
      connection.closesAfterCommit = true;
      turn.afterCommit(() => {
        connection.closesAfterCommit = false;
        if (connection.phase === "closing") turn.closeAfterFlush(connection);
      });
    } else {
      turn.closeAfterFlush(connection);
    }
  }

  /** What is under way about who it is ends with it. */
  #forget(connection: NetworkConnection): void {
    this.#authenticating.forget(connection);
    this.#logins.forget(connection);
  }

  #changeExpiry(connection: NetworkConnection, asked: number): void {
    if (connection.sessionExpirySeconds === 0) {
      // §3.14.2.2.2: a Session that was to end cannot be kept after all; the will stays.
      throw new ProtocolError(PROTOCOL_ERROR, "Session Expiry Interval was 0");
    }
    const { engine, settings } = this.#plane;
    const granted = Math.min(asked, settings.sessionExpirySecondsMax);
    connection.sessionExpirySeconds = granted;
    engine.calls.setExpiry(connection.session, granted, connection.version);
  }

  #dropWill(connection: NetworkConnection): void {
    if (connection.will === null) return;
    const { sessions, wills } = this.#plane;
    const { session } = connection;
    wills.discard(connection.will, session === 0 ? 0 : sessions.numberOf(session));
    connection.will = null;
  }

  /** The Session is left, and the will goes out now, later, or not at all [MQTT-3.1.2-8]. */
  #leave(connection: NetworkConnection): void {
    const { authorization, engine, sessions, turn, wills } = this.#plane;
    const { session, will } = connection;
    if (session === 0) return;
    const number = sessions.numberOf(session);
    const stays = connection.sessionExpirySeconds > 0;
    connection.will = null;
    const isDelayed = stays && will !== null && will.delaySeconds > 0;
    // One that is delayed is judged when it is due; of the others the Session may be gone then.
    const verdict = will !== null && !isDelayed && authorization.judgeWill(will, session);
    sessions.leave(connection, startingSeconds());
    turn.schedule();
    if (engine.calls.slicesLeft() === 1) turn.injectedLater();
    if (will === null) return;
    if (isDelayed) wills.delay(will, number, startingSeconds());
    else wills.settle(will, number, verdict);
  }

  /** What changes of a dynamic security do to connections; `renew` is left to its caller. */
  concernedBy(isMeant: (rules: ListenerRules) => boolean, renew: () => void): ConcernedClients {
    return new ConcernedClients({
      turn: this.#plane.turn,
      isMeant,
      renew,
      underway: (isConcerned) =>
        this.#logins.underway(({ userName }) => isConcerned(userName ?? "")),
      expel: (connection) => this.expel(connection),
    });
  }

  /** Ends connections of clients whom files and options that were read again would not let in. */
  expelOutdated(): void {
    this.#outdated.add(this.#logins.outdated());
  }

  /**
   * Ends a connection whose client lost its rights, or got others. As in mosquitto, its will goes
   * with it: whoever is shut out has no last word.
   */
  expel(connection: NetworkConnection, reason = ""): void {
    if (connection.phase === "closing" || connection.phase === "closed") return;
    if (reason !== "") connection.closeReason = reason;
    this.#dropWill(connection);
    this.close(connection, ADMINISTRATIVE_ACTION);
  }

  /**
   * Ends a connection: what it is told depends on how far it got and on its version
   * [MQTT-4.13.1-1].
   *
   * @param serverReference  where it may go instead; "": nowhere
   */
  close(connection: NetworkConnection, reasonCode: number, serverReference = ""): void {
    if (connection.phase === "closing" || connection.phase === "closed") return;
    const { phase } = connection;
    this.#log(connection, reasonCode);
    const isNew = phase === "connecting" || phase === "authenticating";
    const hasConnect = connection.version !== 0 || this.#isConnectAtHand;
    if (isNew && hasConnect) this.tallies.refuse(reasonCode);
    else this.tallies.end(reasonCode);
    this.#forget(connection);
    this.#leave(connection);
    this.#dropWill(connection);
    const reasonString = connection.problemInformation ? connection.closeReason : "";
    const told = { reasonCode, reasonString, serverReference };
    try {
      if (phase === "connecting" || phase === "authenticating") this.#refuse(connection, told);
      else if (phase === "open" && connection.version === 5) this.#tell(connection, told);
    } catch (error) {
      // No memory for a farewell, or no room for it in the client: it closes without.
      if (!(error instanceof ProtocolError)) throw error;
    }
    connection.wire.pauseReading();
    this.#plane.turn.closeAfterFlush(connection);
  }

  /**
   * Before CONNACK nothing but CONNACK goes out [MQTT-3.2.0-1], and only in answer to a CONNECT.
   */
  #refuse(connection: NetworkConnection, told: Told): void {
    const version = this.#refusedVersion(connection, told.reasonCode);
    if (version === null) return;
    sendRefused(this.#writer, connection, version, told);
  }

  /** Version of the CONNECT that is refused; null where none came that may be answered. */
  #refusedVersion(connection: NetworkConnection, reasonCode: number): number | null {
    const { engine } = this.#plane;
    if (connection.version !== 0) return connection.version;
    if (!this.#isConnectAtHand) return null;
    if (reasonCode === UNSUPPORTED_PROTOCOL_VERSION) {
      const level = engine.decoded(abi.D_LEVEL);
      return level >= 5 && level < LEVEL_BRIDGE ? 5 : 0;
    }
    return engine.decoded(abi.D_VERSION) === 5 ? 5 : null; // [MQTT-3.1.4-1 @3.1.1]
  }

  #tell(connection: NetworkConnection, told: Told): void {
    const { number, packetBytesMax } = connection;
    this.#writeDisconnect(told);
    for (const shorter of shorterForms(told)) {
      if (this.#writer.fits(packetBytesMax)) break;
      this.#writeDisconnect(shorter); // [MQTT-3.14.2-3]
    }
    this.#writer.send(number, DISCONNECT << 4, false, packetBytesMax);
  }

  #writeDisconnect({ reasonCode, reasonString, serverReference }: Told): void {
    const writer = this.#writer.begin().byte(reasonCode);
    if (reasonString === "" && serverReference === "") return;
    writer.properties((list) => {
      if (reasonString !== "") list.byte(REASON_STRING).text(reasonString);
      if (serverReference !== "") list.byte(SERVER_REFERENCE).text(serverReference);
    });
  }

  /** The peer is gone. */
  lost(connection: NetworkConnection, reason: string): void {
    if (connection.phase === "closed" || connection.closesAfterCommit) return;
    if (this.#hasMore(connection, reason)) return;
    if (connection.phase !== "closing") {
      connection.closeReason = reason;
      this.#log(connection, SUCCESS);
      this.#forget(connection);
      this.#leave(connection);
      this.#dropWill(connection);
    }
    this.#plane.turn.drop(connection);
  }

  /**
   * Whether something that the peer sent before it closed waits for its turn, a DISCONNECT perhaps:
   * then the connection is lost once that is acted on.
   */
  #hasMore(connection: NetworkConnection, reason: string): boolean {
    const { number, phase, wire } = connection;
    if (wire instanceof GoneWire) return !wire.isRead;
    const isAccepted = phase === "open" || phase === "waiting";
    if (!isAccepted || this.#plane.engine.calls.isParked(number) === 0) return false;
    connection.wire = new GoneWire(wire, () => this.lost(connection, reason));
    return true;
  }

  #log(connection: NetworkConnection, reasonCode: number): void {
    const { log, settings } = this.#plane;
    if (!settings.connectionMessages || !log.has("notice")) return;
    log.notice(farewellLine(connection, reasonCode));
  }
}
