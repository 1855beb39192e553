/**
 * The line of the log about a connection's end, in the words of mosquitto 2.1: scripts look for
 * them, and for the address of whoever was refused.
 */
import {
  BAD_USER_NAME_OR_PASSWORD,
  KEEP_ALIVE_TIMEOUT,
  NOT_AUTHORIZED,
  SUCCESS,
} from "#assembly/spec";
import type { NetworkConnection } from "../session/network-connection.ts";
import { loggedName } from "./plane.ts";
import { reasonText } from "./reasons.ts";

/** What transports say where the peer has just gone. */
const GONE: ReadonlySet<string> = new Set(["closed", "connection error", "connection lost"]);
const REFUSED: ReadonlySet<number> = new Set([NOT_AUTHORIZED, BAD_USER_NAME_OR_PASSWORD]);

/** @param reasonCode  why the broker ends it; SUCCESS: its client did */
export function farewellLine(connection: NetworkConnection, reasonCode: number): string {
  const { clientId, closeReason, phase, wire } = connection;
  const isKnown = phase !== "connecting" && phase !== "authenticating";
  const who = `Client ${isKnown ? loggedName(clientId) : "<unknown>"} [${wire.remote}]`;
  if (reasonCode === SUCCESS && GONE.has(closeReason)) return `${who} closed its connection.`;
  if (reasonCode === KEEP_ALIVE_TIMEOUT) return `${who} has exceeded timeout, disconnecting.`;
  const reason: string[] = [];
  if (REFUSED.has(reasonCode)) reason.push("not authorised");
  else if (reasonCode !== SUCCESS) reason.push(reasonText(reasonCode));
  if (closeReason !== "") reason.push(closeReason);
  const why = reason.length === 0 ? "" : `: ${reason.join(": ")}`;
  // Who it says it is may be anybody: it stands where no script looks for a name.
  const claimed = isKnown || clientId === "" ? "" : ` (as ${loggedName(clientId)})`;
  return `${who} disconnected${why}${claimed}.`;
}
