/** The parts that control packets act on, handed to each family. */
import type { AccessDomain } from "../access/domain.ts";
import { unixMilliseconds } from "../base/clock.ts";
import { LOGGED_NAME_CHARACTERS_MAX } from "../base/limits.ts";
import type { Log } from "../base/log.ts";
import type { AccessSettings, Settings } from "../config/settings.ts";
import type { Engine } from "../engine/engine.ts";
import type { KeepAlive } from "../session/keep-alive.ts";
import type { Sessions } from "../session/sessions.ts";
import type { Turn } from "../session/turn.ts";
import type { Wills } from "../session/wills.ts";
import type { Authorization } from "./authorization.ts";

export interface Plane {
  readonly authorization: Authorization;
  readonly engine: Engine;
  readonly turn: Turn;
  readonly sessions: Sessions;
  readonly wills: Wills;
  readonly keepAlive: KeepAlive;
  readonly settings: Settings;
  /** Who may connect, by the access settings of a listener. */
  readonly access: { of(settings: AccessSettings): AccessDomain };
  readonly log: Log;
}

/** A Client Identifier as a log line shows it: a line must not become as long as a packet. */
export function loggedName(clientId: string): string {
  if (clientId.length <= LOGGED_NAME_CHARACTERS_MAX) return clientId;
  return `${clientId.slice(0, LOGGED_NAME_CHARACTERS_MAX)}…`;
}

/** Unix time, whole seconds: see base/clock.ts. */
export function unixSeconds(): number {
  return Math.floor(unixMilliseconds() / 1000);
}

/** The whole second from which an interval is counted, so that it is not over too early. */
export function startingSeconds(): number {
  return Math.ceil(unixMilliseconds() / 1000);
}

/** Unix time as the machine's clock has it, whole seconds: what was signed elsewhere ends by it. */
export function wallSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
