/** A running program whose configuration a test changes. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BrokerAddress } from "../support/client-packets.ts";
import { type Program, start } from "./program.ts";

export const LISTENER = "listener 0 127.0.0.1\n";
export const OPEN = "user root\nallow_anonymous true\npersistence false\n";

const DONE = /SIGHUP: (reloaded|no option)/;

export interface Reloadable {
  readonly broker: Program;
  /** Of its first listener. */
  readonly address: BrokerAddress;
  /** Of all, in order. */
  readonly addresses: readonly BrokerAddress[];
  /** Writes the file anew, sends SIGHUP, and awaits what is logged of it. */
  reload(content: string, awaited?: RegExp): Promise<void>;
}

let brokerCount = 0;

/** @param directory  where its configuration file is to be */
export async function startReloadable(directory: string, content: string): Promise<Reloadable> {
  const path = join(directory, `${brokerCount++}.conf`);
  writeFileSync(path, content);
  const broker = start(["-c", path]);
  const [printed] = await broker.printed(/Listening for MQTT[\s\S]*holdfast \S+ running/);
  const addresses = [...printed.matchAll(/Listening for MQTT on \S+:(\d+)/g)].map(([, port]) => ({
    port: Number(port),
    webSocketPort: 0,
  }));
  let seenCount = 0;
  return {
    broker,
    address: addresses[0] ?? { port: 0, webSocketPort: 0 },
    addresses,
    reload: async (changed, awaited = DONE) => {
      writeFileSync(path, changed);
      broker.signal("SIGHUP");
      seenCount++;
      await broker.printed(
        new RegExp(
          `(?:SIGHUP: reading the configuration again[\\s\\S]*?){${seenCount}}${awaited.source}`,
        ),
      );
    },
  };
}
