/**
 * The broker as a process: start-up banner, signals, and the way out.
 */
import { StartError } from "../base/errors.ts";
import type { OpenLog } from "../base/log.ts";
import { formatBytes } from "../base/quantity.ts";
import { type RunningBroker, startBroker } from "../broker.ts";
import type { Configuration } from "../config/configuration.ts";
import type { Settings } from "../config/settings.ts";
import { logMosquittoRunning, logMosquittoStart, logMosquittoStop } from "./mosquitto-lines.ts";
import { type ConfigurationSource, reloader } from "./reload.ts";
import { listenForSignals } from "./signals.ts";

/** What the banner tells beyond the settings. */
export interface Origin extends ConfigurationSource {
  readonly version: string;
  /** The name of the configuration file, or `defaults`. */
  readonly origin: string;
}

/**
 * Starts the broker and waits for SIGINT or SIGTERM.
 *
 * A stop that takes too long, and a second SIGINT, end the process at once with exit code 1.
 *
 * @returns null after a stop in order; otherwise why the broker could not start
 */
export async function serve(
  configuration: Configuration,
  log: OpenLog,
  origin: Origin,
): Promise<string | null> {
  const signals = listenForSignals(log);
  const { version } = origin;
  const { settings } = configuration;
  const isText = settings.log.format === "text";
  if (isText) logMosquittoStart(log, version, origin.origin === "defaults" ? null : origin.origin);
  let broker: RunningBroker;
  try {
    broker = await startBroker(settings, log);
  } catch (error) {
    if (error instanceof StartError) return error.message;
    throw error;
  }
  const reload = reloader(configuration, broker, log, origin);
  signals.handle({
    reload,
    sync: () => sync(broker, log),
    summarize: () => log.info(`SIGUSR2: ${broker.summary()}`),
  });
  if (isText) logMosquittoRunning(log, version, broker);
  logBanner(log, settings, broker, origin);
  const signal = await signals.stopAsked;
  if (isText) logMosquittoStop(log, version);
  log.info(`holdfast ${origin.version} stops: ${signal}`);
  await broker.stop(signal);
  log.info(`holdfast ${version} has stopped`);
  return null;
}

async function sync(broker: RunningBroker, log: OpenLog): Promise<void> {
  await broker.sync();
  log.info("SIGUSR1: everything that was acknowledged is in the index");
}

function logBanner(log: OpenLog, settings: Settings, broker: RunningBroker, origin: Origin): void {
  log.info(`holdfast ${origin.version} on Node.js ${process.versions.node}, pid ${process.pid}`);
  log.info(`Configuration: ${origin.origin}`);
  for (const { protocol, address, port, socketPath, hasTls } of broker.listeners) {
    const tcp = address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
    const spoken = protocol === "mqtt" ? "MQTT" : "MQTT over WebSocket";
    log.info(`Listening for ${spoken}${hasTls ? " with TLS" : ""} on ${socketPath ?? tcp}`);
  }
  log.info(`Durability: ${broker.durability}`);
  log.info(`Read path: ${broker.readPath}`);
  const { memoryBytesMax } = settings;
  const cap = memoryBytesMax === 0 ? "all the engine can address" : formatBytes(memoryBytesMax);
  log.info(`Memory limit: ${cap}`);
  log.info(`holdfast ${origin.version} running`);
}
