/** A listener for connections that tests make themselves. */
import { configure } from "../../src/config/configuration.ts";
import { NO_FLAGS } from "../../src/config/settings.ts";
import type { ListenerRules } from "../../src/session/network-connection.ts";

const [listener] = configure(null, NO_FLAGS).settings.listeners;
if (listener === undefined) throw new Error("without a file there is a listener");

/** It takes everybody, and limits nobody. */
export const LISTENER_RULES: ListenerRules = { ...listener, redirect: null };

/** A WebSocket listener that asks for nothing of its own. */
export const PLAIN_WEBSOCKET = {
  bindInterface: "",
  socketDomain: "any",
  origins: [],
  headerBytesMax: 0,
  certificate: null,
  hasFiles: () => true,
} as const;
