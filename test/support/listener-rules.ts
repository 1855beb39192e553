/** A listener for connections that tests make themselves. */
import type { ListenerRules } from "../../src/session/network-connection.ts";

/** It takes everybody, and limits nobody. */
export const LISTENER_RULES: ListenerRules = {
  port: 1883,
  allowAnonymous: true,
  qosMax: 2,
  redirect: null,
};
