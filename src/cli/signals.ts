/** The signals of a broker: SIGHUP, SIGUSR1, SIGUSR2 as mosquitto knows them, and the end. */
import type { Log } from "../base/log.ts";

/** What signals ask for that do not end the broker. */
export interface SignalHandlers {
  /** SIGHUP. */
  readonly reload: () => void;
  /** SIGUSR1. */
  readonly sync: () => Promise<void>;
  /** SIGUSR2. */
  readonly summarize: () => void;
}

export interface Signals {
  /** Settles with the name of the first signal that asks for a stop. */
  readonly stopAsked: Promise<string>;
  /** Until it is called, what does not end the broker is logged and ignored. */
  handle(handlers: SignalHandlers): void;
}

/** From the signal to the end at the latest; process supervisors allow ten seconds. */
const STOP_MILLISECONDS_MAX = 9_500;

/**
 * Listens for signals. A stop that takes too long, and a second SIGINT, end the process at once
 * with exit code 1.
 */
export function listenForSignals(log: Log): Signals {
  let handlers: SignalHandlers | null = null;
  let isSyncing = false;
  const early = (signal: string): void => log.warn(`${signal}: ignored during the start`);
  process.on("SIGPIPE", () => undefined);
  process.on("SIGHUP", () => (handlers === null ? early("SIGHUP") : handlers.reload()));
  // Node.js would open its debugger on SIGUSR1 and end on SIGUSR2; mosquitto does neither.
  process.on("SIGUSR1", () => {
    if (handlers === null) early("SIGUSR1");
    if (handlers === null || isSyncing) return;
    isSyncing = true;
    handlers.sync().finally(() => {
      isSyncing = false;
    });
  });
  process.on("SIGUSR2", () => (handlers === null ? early("SIGUSR2") : handlers.summarize()));
  return {
    stopAsked: stopAsked(),
    handle: (given) => {
      handlers = given;
    },
  };
}

function stopAsked(): Promise<string> {
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
