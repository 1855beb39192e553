/**
 * Who sent a CONNECT: the access domain of the listener is asked, and where its answer takes time
 * the packet waits.
 *
 *   CONNECT ─▶ ask() ─▶ known at once ────────────────────────────────▶ decided
 *                   └─▶ a copy waits ─▶ settled ─▶ a few each turn ─▶ decided, or refused
 *                                                                        └─▶ after a while
 *
 * Nothing else of a connection is read meanwhile: what it sends waits where it is, in the kernel.
 */
import * as abi from "#assembly/abi";
import {
  CONNECT_PASSWORD,
  CONNECT_USER_NAME,
  NOT_AUTHORIZED,
  SERVER_UNAVAILABLE,
} from "#assembly/spec";
import { addressKey } from "../access/address-key.ts";
import type { AccessDomain } from "../access/domain.ts";
import type { FailedLogins } from "../access/failed-logins.ts";
import type { ConnectRequest, Grounds, Identity, Verdict } from "../access/identity.ts";
import { monotonicSeconds } from "../base/clock.ts";
import { ProtocolError } from "../base/errors.ts";
import {
  ADMITTED_PER_TURN_MAX,
  DELAYED_REFUSALS_MAX,
  LOGGED_NAME_CHARACTERS_MAX,
} from "../base/limits.ts";
import type { NetworkConnection } from "../session/network-connection.ts";
import { DeadlineWheel } from "../session/wheel.ts";
import { type Plane, wallSeconds } from "./plane.ts";
import type { Tallies } from "./tallies.ts";
import type { WaitingConnects } from "./waiting-connects.ts";

/** A client that is let in. */
export interface Admitted {
  readonly identity: Identity;
  /** Unix time, seconds, at which what it showed is worth nothing any more; null: never. */
  readonly until: number | null;
  /** What a reload can take back; null: nothing. */
  readonly grounds: Grounds | null;
  /** Last word of the Authentication Method; null: there was no method, or it has none. */
  readonly authenticationData: Uint8Array | null;
}

type Refusal = Extract<Verdict, { refused: number }>;

/** A verdict that is not out yet. */
interface Asked {
  readonly request: ConnectRequest;
  readonly decide: DecideConnect;
  /** Of the access domain that was asked. */
  readonly edition: object;
}

/** Decides the CONNECT in DECODED; whether the connection goes on at once. */
export type DecideConnect = (connection: NetworkConnection, admitted: Admitted) => boolean;

/** Closes a connection, with CONNACK where it has none yet. */
export type Close = (
  connection: NetworkConnection,
  reasonCode: number,
  serverReference?: string,
) => void;

/** What a client is told that did not prove who it is. */
const FAILED = "authentication failed";

export interface LoginParts {
  readonly waiting: WaitingConnects;
  readonly failed: FailedLogins;
  readonly tallies: Tallies;
}

export class Logins {
  readonly #plane: Plane;
  readonly #waiting: WaitingConnects;
  readonly #failed: FailedLogins;
  readonly #tallies: Tallies;
  readonly #close: Close;
  /** Connections whose verdict is not out yet. */
  readonly #asked = new Map<NetworkConnection, Asked>();
  /** Connections whose refusal waits. */
  readonly #delayed = new Map<NetworkConnection, NodeJS.Timeout>();
  #settled: (() => void)[] = [];
  /** Open connections whose proof ends, with the second in which they stand. */
  readonly #ending = new Map<NetworkConnection, number>();
  readonly #wheel: DeadlineWheel<NetworkConnection>;
  /** Why clients were let in who are connected, or about to be. */
  readonly #grounds = new Map<NetworkConnection, Grounds>();

  constructor(plane: Plane, { waiting, failed, tallies }: LoginParts, close: Close) {
    this.#plane = plane;
    this.#waiting = waiting;
    this.#failed = failed;
    this.#tallies = tallies;
    this.#close = close;
    this.#wheel = new DeadlineWheel(wallSeconds(), (connection) => this.#expire(connection));
  }

  /**
   * Asks who sent the CONNECT in DECODED.
   *
   * @param decide  called later, with the CONNECT in DECODED again
   * @returns null: it is not known yet, or its refusal waits
   * @throws ProtocolError with the Reason Code of the CONNACK that refuses
   */
  ask(connection: NetworkConnection, decide: DecideConnect): Admitted | null {
    const request = this.#request(connection);
    const domain = this.#domainOf(connection);
    const verdict = domain.authenticate(request, connection.rules);
    if (!(verdict instanceof Promise)) {
      return "granted" in verdict ? admit(verdict) : this.#refuse(connection, request, verdict);
    }
    this.#waiting.keep(connection);
    connection.phase = "authenticating";
    this.#await(connection, { request, decide, edition: domain.edition }, verdict);
    return null;
  }

  #domainOf({ rules }: NetworkConnection): AccessDomain {
    return this.#plane.access.of(rules.access);
  }

  #await(connection: NetworkConnection, asked: Asked, verdict: Promise<Verdict>): void {
    this.#asked.set(connection, asked);
    verdict.then(
      (settled) => this.#later(() => this.#settle(connection, asked, settled)),
      (error: unknown) => {
        const reason = `who it is could not be asked: ${String(error)}`;
        const settled = { refused: SERVER_UNAVAILABLE, reason };
        this.#later(() => this.#settle(connection, asked, settled));
      },
    );
  }

  /**
   * Refuses a client that did not prove who it is; it learns nothing that would help to guess.
   *
   * @param reason  for the log
   * @returns null: the answer waits, and the connection is not to be read meanwhile
   * @throws ProtocolError where it does not
   */
  refuseUnproven(connection: NetworkConnection, reason: string): null {
    const { remote } = connection.wire;
    this.#tallies.failedLoginCount++;
    const delay = this.#failed.failed(
      addressKey(remote),
      monotonicSeconds(),
      this.#plane.settings.refusalDelayMillisecondsMax,
    );
    const isOpen = connection.phase === "open";
    // Who goes on guessing is told of once, not at each guess.
    if (delay === 0) {
      const said = reason.slice(0, LOGGED_NAME_CHARACTERS_MAX);
      this.#plane.log.notice(`Authentication failed for ${remote}: ${said}`);
    }
    if (delay === 0 || isOpen || this.#delayed.size >= DELAYED_REFUSALS_MAX) {
      throw new ProtocolError(NOT_AUTHORIZED, FAILED);
    }
    connection.phase = "authenticating";
    const timer = setTimeout(() => {
      this.#delayed.delete(connection);
      connection.closeReason = FAILED;
      this.#close(connection, NOT_AUTHORIZED);
    }, delay);
    this.#delayed.set(connection, timer);
    return null;
  }

  /** The connection is opened: it ends when what it showed is worth nothing any more. */
  watch(connection: NetworkConnection, { grounds, until }: Admitted): void {
    if (grounds !== null) this.#grounds.set(connection, grounds);
    if (until === null) return;
    this.#wheel.backTo(wallSeconds());
    this.#ending.set(connection, this.#wheel.add(connection, until));
  }

  #expire(connection: NetworkConnection): void {
    this.#ending.delete(connection);
    connection.closeReason = "its token has expired";
    this.#close(connection, NOT_AUTHORIZED);
  }

  /** Connections of clients that would not be let in any more, since files were read again. */
  outdated(): NetworkConnection[] {
    const outdated: NetworkConnection[] = [];
    for (const [connection, grounds] of this.#grounds) {
      const domain = this.#domainOf(connection);
      if (!domain.holds(grounds, connection, connection.rules)) outdated.push(connection);
    }
    return outdated;
  }

  /** Those of some users, as far as they have no verdict yet: what they show may have changed. */
  underway(isMeant: (request: ConnectRequest) => boolean): NetworkConnection[] {
    const meant: NetworkConnection[] = [];
    for (const [connection, { request }] of this.#asked) {
      if (isMeant(request)) meant.push(connection);
    }
    return meant;
  }

  /** The connection is gone, or its end is on the way. */
  forget(connection: NetworkConnection): void {
    const second = this.#ending.get(connection);
    if (second !== undefined) {
      this.#ending.delete(connection);
      this.#wheel.remove(connection, second);
    }
    this.#grounds.delete(connection);
    this.#asked.delete(connection);
    this.#waiting.forget(connection);
    const timer = this.#delayed.get(connection);
    if (timer === undefined) return;
    clearTimeout(timer);
    this.#delayed.delete(connection);
  }

  /** As Dispatch.tick(). */
  tick(nowSeconds: number, nowWallSeconds: number): void {
    this.#failed.tick(nowSeconds);
    this.#wheel.backTo(nowWallSeconds);
    this.#wheel.tick(nowWallSeconds);
  }

  #request(connection: NetworkConnection): ConnectRequest {
    const { engine } = this.#plane;
    const flags = engine.decoded(abi.D_CONNECT_FLAGS);
    const nameBytes = flags & CONNECT_USER_NAME ? engine.decoded(abi.D_USER_NAME_BYTES) : 0;
    const passwordBytes = flags & CONNECT_PASSWORD ? engine.decoded(abi.D_PASSWORD_BYTES) : 0;
    const passwordAt = engine.decoded(abi.D_PASSWORD_AT);
    return {
      clientId: connection.clientId,
      // As in mosquitto, one that is empty is none.
      userName: nameBytes > 0 ? engine.text(engine.decoded(abi.D_USER_NAME_AT), nameBytes) : null,
      password:
        passwordBytes > 0
          ? Buffer.from(engine.bytes.subarray(passwordAt, passwordAt + passwordBytes))
          : null,
      version: connection.version,
      remoteAddress: connection.wire.remote,
      certificate: connection.wire.peer,
      takesUserName: connection.rules.usernameAsClientId,
      isGone: () => connection.phase === "closing" || connection.phase === "closed",
    };
  }

  /** Verdicts that come at once, as of a fleet that comes back, are acted on a few in each turn. */
  #later(action: () => void): void {
    this.#settled.push(action);
    if (this.#settled.length === 1) setImmediate(this.#actSome);
  }

  readonly #actSome = (): void => {
    for (const action of this.#settled.splice(0, ADMITTED_PER_TURN_MAX)) action();
    if (this.#settled.length > 0) setImmediate(this.#actSome);
  };

  #settle(connection: NetworkConnection, asked: Asked, verdict: Verdict): void {
    if (this.#asked.get(connection) !== asked) return; // It is gone.
    const domain = this.#domainOf(connection);
    const { edition } = domain;
    if (asked.edition !== edition) {
      // Files were read again since: they may say something else of the same client.
      const again = domain.authenticate(asked.request, connection.rules);
      this.#await(connection, { ...asked, edition }, Promise.resolve(again));
      return;
    }
    this.#asked.delete(connection);
    connection.phase = "connecting";
    try {
      if ("granted" in verdict) {
        const admitted = admit(verdict);
        const { decide } = asked;
        const goesOn = this.#waiting.decide(connection, () => decide(connection, admitted));
        if (goesOn) this.#plane.turn.resumeNow(connection);
      } else {
        this.#waiting.forget(connection);
        this.#refuse(connection, asked.request, verdict);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      connection.closeReason = error.message;
      this.#close(connection, error.reasonCode, error.serverReference);
    }
  }

  /** @returns null where the answer waits. @throws ProtocolError where it does not */
  #refuse(
    connection: NetworkConnection,
    { userName }: ConnectRequest,
    { refused, reason }: Refusal,
  ): null {
    // Who claims to be nobody guesses nothing, and a check that was not made is nobody's failure.
    if (userName !== null && refused === NOT_AUTHORIZED) {
      return this.refuseUnproven(connection, reason);
    }
    throw new ProtocolError(refused, reason);
  }
}

function admit({ granted, grounds, until }: Extract<Verdict, { granted: Identity }>): Admitted {
  const admitted = { identity: granted, until: until ?? null, authenticationData: null };
  return { ...admitted, grounds: grounds ?? null };
}
