/** Lines of the start and the stop that scripts look for in mosquitto's log. */
import type { Log } from "../base/log.ts";
import type { RunningBroker } from "../broker.ts";

/** What stands where mosquitto has its version: `mosquitto version .* running` is waited for. */
function named(version: string): string {
  return `mosquitto version holdfast-${version}`;
}

/** @param file  of the configuration; null: there is none */
export function logMosquittoStart(log: Log, version: string, file: string | null): void {
  log.info(`${named(version)} starting`);
  if (file === null) log.info("Using default config.");
  else log.info(`Config loaded from ${file}.`);
}

export function logMosquittoRunning(log: Log, version: string, broker: RunningBroker): void {
  for (const { protocol, address, port, socketPath } of broker.listeners) {
    const family = address.includes(":") ? "ipv6" : "ipv4";
    const kind = protocol === "websockets" ? "websockets" : family;
    if (socketPath !== null) log.info(`Opening unix listen socket on path ${socketPath}.`);
    else log.info(`Opening ${kind} listen socket on port ${port}.`);
  }
  log.info(`${named(version)} running`);
}

export function logMosquittoStop(log: Log, version: string): void {
  log.info(`${named(version)} terminating`);
}
