/** A listener for connections that tests make themselves. */
import { configure } from "../../src/config/configuration.ts";
import { NO_FLAGS } from "../../src/config/settings.ts";
import type { ListenerRules } from "../../src/session/network-connection.ts";

const [listener] = configure(null, NO_FLAGS).settings.listeners;
if (listener === undefined) throw new Error("without a file there is a listener");

/** It takes everybody, and limits nobody. */
export const LISTENER_RULES: ListenerRules = { ...listener, redirect: null };
