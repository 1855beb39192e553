/**
 * SIGHUP: the configuration is read again, and what of it is reloadable counts from then on. A
 * configuration with a fault changes nothing. The log's files are opened again in any case, as
 * whoever rotates them wants.
 */
import type { OpenLog } from "../base/log.ts";
import type { RunningBroker } from "../broker.ts";
import type { Configuration } from "../config/configuration.ts";
import type { Entry } from "../config/parse.ts";
import { reconcile } from "../config/reload.ts";
import type { Settings } from "../config/settings.ts";
import type { Flags } from "./flags.ts";

/** Where the configuration comes from. */
export interface ConfigurationSource {
  readonly flags: Flags;
  readonly read: () => Configuration;
}

/** What SIGHUP does; it remembers what the broker runs with. */
export function reloader(
  started: Configuration,
  broker: RunningBroker,
  log: OpenLog,
  { flags, read }: ConfigurationSource,
): () => void {
  let running = started;
  return () => {
    log.info("SIGHUP: reading the configuration again");
    const found = read();
    if (found.errors.length > 0) {
      for (const error of found.errors) log.error(error);
      log.error("SIGHUP: the configuration is not accepted; everything stays as it was");
      reopenLog(running.settings, log);
      return;
    }
    let { configuration, changed, sentences } = reconcile(running, found, flags);
    const why = reopenLog((configuration ?? running).settings, log);
    if (why !== null && configuration !== null) {
      // Its lines are compared again at the next SIGHUP, which may find the file to be writable.
      ({ configuration, changed, sentences } = reconcile(
        running,
        withLogOf(running, found),
        flags,
      ));
    }
    // Of all lines together not what the file would come to is told, but what holds from now on.
    for (const warning of found.lineWarnings) log.warn(warning);
    for (const warning of configuration?.warnings ?? []) log.warn(warning);
    for (const sentence of sentences) log.warn(sentence);
    if (configuration !== null) running = configuration;
    const faultCount = broker.reload(running.settings) + (why === null ? 0 : 1);
    const done =
      changed.length === 0
        ? "SIGHUP: no option that can be reloaded has changed; files were read again"
        : `SIGHUP: reloaded; changed: ${changed.join(", ")}`;
    if (faultCount === 0) log.info(done);
    else log.error(`${done}; but ${faultCount} had faults, as said above, and do not count`);
  };
}

/** What was read, with the lines about the log of what is running. */
function withLogOf(running: Configuration, read: Configuration): Configuration {
  const isOfLog = ({ name }: Entry): boolean => name.startsWith("log_");
  const others = read.entries.filter((entry) => !isOfLog(entry));
  return { ...read, entries: [...others, ...running.entries.filter(isOfLog)] };
}

/** @returns why the log goes on where it went; null: it goes where it is to go */
function reopenLog(settings: Settings, log: OpenLog): string | null {
  try {
    log.replace(settings.log);
    return null;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    log.error(`the log goes on where it went: ${reason}`);
    return reason;
  }
}
