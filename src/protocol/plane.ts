/** The parts that control packets act on, handed to each family. */
import type { Log } from "../base/log.ts";
import type { Settings } from "../config/settings.ts";
import type { Engine } from "../engine/engine.ts";
import type { KeepAlive } from "../session/keep-alive.ts";
import type { Sessions } from "../session/sessions.ts";
import type { Turn } from "../session/turn.ts";
import type { Wills } from "../session/wills.ts";

export interface Plane {
  readonly engine: Engine;
  readonly turn: Turn;
  readonly sessions: Sessions;
  readonly wills: Wills;
  readonly keepAlive: KeepAlive;
  readonly settings: Settings;
  readonly log: Log;
}

/** Unix time, whole seconds. */
export function unixSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
