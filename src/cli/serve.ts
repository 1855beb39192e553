/**
 * The broker as a process: start-up banner, signals, and the way out.
 */
import { StartError } from "../base/errors.ts";
import type { OpenLog } from "../base/log.ts";
import { formatBytes } from "../base/quantity.ts";
import { type RunningBroker, startBroker } from "../broker.ts";
import type { Settings } from "../config/settings.ts";

/** What the banner tells beyond the settings. */
export interface Origin {
  readonly version: string;
  /** The name of the configuration file, or `defaults`. */
  readonly origin: string;
}

/** From the signal to the end at the latest; service managers allow ten seconds. */
const STOP_MILLISECONDS_MAX = 9_500;

/**
 * Starts the broker and waits for SIGINT or SIGTERM.
 *
 * A stop that takes too long, and a second SIGINT, end the process at once with exit code 1.
 *
 * @returns null after a stop in order; otherwise why the broker could not start
 */
export async function serve(
  settings: Settings,
  log: OpenLog,
  origin: Origin,
): Promise<string | null> {
  const stopAsked = listenForSignals(log);
  let broker: RunningBroker;
  try {
    broker = await startBroker(settings, log);
  } catch (error) {
    if (error instanceof StartError) return error.message;
    throw error;
  }
  logBanner(log, settings, broker, origin);
  process.on("SIGHUP", () => broker.reloadCertificates());
  const signal = await stopAsked;
  log.info(`holdfast ${origin.version} stops: ${signal}`);
  await broker.stop(signal);
  log.info(`holdfast ${origin.version} has stopped`);
  return null;
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

/** @returns the name of the first signal that asks for a stop */
function listenForSignals(log: OpenLog): Promise<string> {
  process.on("SIGPIPE", () => undefined);
  process.on("SIGHUP", () => {
    log.warn("SIGHUP: certificates are read again; the rest is read at the start only");
  });
  // Node.js would open its debugger on SIGUSR1 and end on SIGUSR2; mosquitto does neither.
  process.on("SIGUSR1", () => log.warn("SIGUSR1 is not supported yet and ignored"));
  process.on("SIGUSR2", () => log.warn("SIGUSR2 is not supported yet and ignored"));
  return new Promise((resolve) => {
    let isStopping = false;
    const onSignal = (signal: "SIGINT" | "SIGTERM"): void => {
      if (isStopping) {
        if (signal === "SIGINT") endAtOnce("stopped at once by a second signal");
        return;
      }
      isStopping = true;
      const late = `not stopped within ${STOP_MILLISECONDS_MAX / 1000} s; ended at once`;
      setTimeout(() => endAtOnce(late), STOP_MILLISECONDS_MAX);
      resolve(signal);
    };
    process.on("SIGINT", onSignal);
    process.on("SIGTERM", onSignal);
  });
}

/** Ends the process; the line goes straight to stderr, as the log may not get to write it. */
function endAtOnce(reason: string): void {
  process.stderr.write(`holdfast: ${reason}\n`);
  process.exit(1);
}
