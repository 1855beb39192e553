/**
 * The broker as a process: start-up banner, signals, and the way out.
 */
import { StartError } from "../base/errors.ts";
import type { OpenLog } from "../base/log.ts";
import { formatBytes } from "../base/quantity.ts";
import { type RunningBroker, type StartHooks, startBroker } from "../broker.ts";
import type { Configuration } from "../config/configuration.ts";
import type { Settings } from "../config/settings.ts";
import {
  type Account,
  become,
  chooseAccount,
  give,
  giveAll,
  lower,
  needsRoot,
  raise,
} from "./account.ts";
import { reportRunning } from "./daemon.ts";
import { logMosquittoRunning, logMosquittoStart, logMosquittoStop } from "./mosquitto-lines.ts";
import { removePidFile, writePidFile } from "./pid-file.ts";
import { type ConfigurationSource, reloader } from "./reload.ts";
import { listenForSignals } from "./signals.ts";

/** What the banner tells beyond the settings. */
export interface Origin extends ConfigurationSource {
  readonly version: string;
}

/**
 * Starts the broker and waits for SIGINT or SIGTERM.
 *
 * @returns null after a stop in order; otherwise why the broker could not start
 */
export async function serve(
  configuration: Configuration,
  log: OpenLog,
  origin: Origin,
): Promise<string | null> {
  const signals = listenForSignals(log);
  const { version, flags } = origin;
  const { settings } = configuration;
  const { pidFile } = settings;
  const isText = settings.log.format === "text";
  if (isText) logMosquittoStart(log, version, flags.configFile);
  let broker: RunningBroker;
  try {
    const own = flags.configFile === null ? [] : [flags.configFile];
    broker = await start(settings, log, [...own, ...configuration.included]);
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
  reportRunning();
  const signal = await signals.stopAsked;
  if (isText) logMosquittoStop(log, version);
  log.info(`holdfast ${origin.version} stops: ${signal}`);
  await broker.stop(signal);
  if (pidFile !== null) removePidFile(pidFile);
  log.info(`holdfast ${version} has stopped`);
  return null;
}

/** Starts the broker; where root does, it is another account's from then on. */
async function start(
  settings: Settings,
  log: OpenLog,
  configFiles: readonly string[],
): Promise<RunningBroker> {
  const account = chooseAccount(settings, configFiles, log);
  const broker = await (account === null
    ? startBroker(settings, log)
    : startBroker(settings, log, hooksFor(account)));
  if (account !== null) raise();
  try {
    if (settings.pidFile !== null) writePidFile(settings.pidFile);
  } catch (error) {
    await broker.stop("pid_file");
    throw error;
  }
  if (account !== null) handOver(settings, account);
  if (account !== null) log.info(`holdfast runs as the user ${account.name}`);
  return broker;
}

/** The store is opened by the account, and a listener by root only where that is needed. */
function hooksFor(account: Account): StartHooks {
  return {
    beforeStore: () => lower(account),
    beforeListener: (listener) => {
      if (needsRoot(listener, account)) raise();
    },
    afterListener: () => lower(account),
  };
}

/** What root has made is the account's, and root's rights are given up. */
function handOver(settings: Settings, account: Account): void {
  const { dataDirectory, durability, log, pidFile } = settings;
  const files = log.destinations.flatMap((to) => (to.kind === "file" ? [to.path] : []));
  if (pidFile !== null) files.push(pidFile);
  give(files, account);
  if (durability !== "memory") giveAll(dataDirectory, account);
  become(account);
}

async function sync(broker: RunningBroker, log: OpenLog): Promise<void> {
  await broker.sync();
  log.info("SIGUSR1: everything that was acknowledged is in the index");
}

function logBanner(log: OpenLog, settings: Settings, broker: RunningBroker, origin: Origin): void {
  log.info(`holdfast ${origin.version} on Node.js ${process.versions.node}, pid ${process.pid}`);
  log.info(`Configuration: ${origin.flags.configFile ?? "defaults"}`);
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
