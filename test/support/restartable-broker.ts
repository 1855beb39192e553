/**
 * A broker that comes back: the real program over one data directory, stopped in order or killed,
 * and started again as often as a test wants.
 *
 * Its ports are new after each start, so clients ask `current()` for where to connect.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { elapse } from "./await.ts";
import {
  type BrokerOptions,
  isMosquitto,
  type RunningBroker,
  startBroker,
} from "./running-broker.ts";

/** How a broker ends before it is started again. */
export type Ending = "stop" | "kill -9";

export interface RestartableBroker {
  /** The running one. */
  current(): RunningBroker;
  /** Ends it, stays down for `downMs`, and starts it again over the same directory. */
  restart(ending: Ending, downMs?: number): Promise<void>;
  /** Ends it for good and removes the directory. */
  end(): Promise<void>;
}

/**
 * Starts a broker over a data directory of its own.
 *
 * @throws Error with the broker's output if it does not start; so does restart()
 */
export async function startRestartableBroker(
  options: Omit<BrokerOptions, "dataDirectory"> = {},
): Promise<RestartableBroker> {
  const dataDirectory = mkdtempSync(join(tmpdir(), "holdfast-restart-"));
  const each = { ...options, ...storeOf(options, dataDirectory), dataDirectory };
  const remove = (): void => rmSync(dataDirectory, { recursive: true, force: true });
  let broker: RunningBroker | undefined = await startBroker(each).catch((error: unknown) => {
    remove();
    throw error;
  });
  const current = (): RunningBroker => {
    if (broker === undefined) throw new Error("the broker is down");
    return broker;
  };
  return {
    current,
    restart: async (ending, downMs = 0) => {
      const ended = current();
      broker = undefined;
      if (ending === "stop") await ended.stop();
      else await ended.kill9();
      if (downMs > 0) await elapse(downMs);
      broker = await startBroker(each);
    },
    end: async () => {
      await broker?.stop();
      broker = undefined;
      remove();
    },
  };
}

/** mosquitto keeps Sessions only if told to, and only at a stop in order. */
function storeOf(options: BrokerOptions, dataDirectory: string): BrokerOptions {
  if (!isMosquitto) return {};
  const store = ["persistence true", `persistence_location ${dataDirectory}/`];
  return { configuration: [...store, ...(options.configuration ?? [])] };
}
