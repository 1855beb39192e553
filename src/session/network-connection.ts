/**
 * What the control plane knows of one Network Connection; the rest is the engine's record.
 */
import type { ListenerSettings } from "../config/settings.ts";
import type { Wire } from "../engine/wire.ts";
import type { Will } from "./wills.ts";

/**
 * `connecting`: no CONNECT yet. `authenticating`: CONNECT came, AUTH goes back and forth.
 * `waiting`: CONNECT taken, CONNACK due after a commit. `open`.
 * `closing`: its last packet is on the way out. `closed`: its number may be another's.
 */
export type Phase = "connecting" | "authenticating" | "waiting" | "open" | "closing" | "closed";

/** What a listener says of the connections it takes. */
export interface ListenerRules extends Omit<ListenerSettings, "redirect"> {
  /** Where its clients are sent, instead of being served; null: they are served. */
  readonly redirect: Redirect | null;
}

/** Another server for the client, §4.11. */
export interface Redirect {
  /** 0x9C for now, 0x9D for good. */
  readonly reasonCode: number;
  /** Server Reference. */
  readonly serverReference: string;
}

export class NetworkConnection {
  /** Index of its record in the engine, 1 … CONNECTIONS_MAX. */
  readonly number: number;
  /** A GoneWire once the peer has closed before all that it sent was acted on. */
  wire: Wire;
  readonly rules: ListenerRules;
  phase: Phase = "connecting";
  /** Protocol version, 3, 4 or 5; 0 before CONNECT. */
  version = 0;
  /** Another broker's bridge, before 5.0: what it publishes does not come back to it. */
  isBridge = false;
  /** Address of its Session in the engine; 0 = none. */
  session = 0;
  clientId = "";
  /** Who it proved to be; "": it did not. */
  userName = "";
  /** Authentication Method of its CONNECT; "": it named none. */
  authenticationMethod = "";
  /** Maximum Packet Size of the client; 0 = it has none. */
  packetBytesMax = 0;
  /** Effective Keep Alive; 0 = off. */
  keepAliveSeconds = 0;
  /** Session Expiry Interval in force, seconds. */
  sessionExpirySeconds = 0;
  /** Whether Reason Strings and User Properties may go out on any packet [MQTT-3.1.2-29]. */
  problemInformation = true;
  will: Will | null = null;
  /** Second in which the Keep Alive looks at it next; 0 = not at all. */
  watchedSecond = 0;
  /** A write is under way: the engine's blocks are in use. */
  isWriting = false;
  /** It closes when what its end means for its will is on record, not when the peer does. */
  closesAfterCommit = false;
  /** Why it closes, for the log. */
  closeReason = "";

  constructor(number: number, wire: Wire, rules: ListenerRules) {
    this.number = number;
    this.wire = wire;
    this.rules = rules;
  }
}
