/** A broker with listeners of its own, beside the two that every test broker has. */
import { until } from "./await.ts";
import { freePorts, type RunningBroker, startBroker } from "./running-broker.ts";

export interface ListeningBroker {
  readonly broker: RunningBroker;
  /** By the names that were asked for. */
  readonly ports: ReadonlyMap<string, number>;
  port(name: string): number;
  /** Waits for a line of the log. */
  logged(pattern: RegExp): Promise<void>;
}

/** Lines of a listener, below its `listener` line; `global`: lines for all. */
export type ListenerLines = Readonly<Record<string, readonly string[]>>;

/**
 * Starts the broker and waits until all its listeners are open.
 *
 * @param dataDirectory  a fresh one if left out
 * @param args  of the command line, beside `-c`
 * @param filesMax  how many files it may have open
 */
export async function startListening(
  listeners: ListenerLines,
  dataDirectory?: string,
  args: readonly string[] = [],
  filesMax?: number,
): Promise<ListeningBroker> {
  const { global = [], ...own } = listeners;
  const names = Object.keys(own);
  const free = await freePorts(names.length);
  const ports = new Map(names.map((name, index) => [name, free[index] ?? 0]));
  const lines = names.flatMap((name) => [
    `listener ${ports.get(name)} 127.0.0.1`,
    ...(own[name] ?? []),
  ]);
  const broker = await startBroker({
    configuration: [...global, ...lines],
    arguments: args,
    ...(dataDirectory === undefined ? {} : { dataDirectory }),
    ...(filesMax === undefined ? {} : { filesMax }),
  });
  const logged = (pattern: RegExp): Promise<void> =>
    until(`${pattern} in the log`, () => pattern.test(broker.output())).catch((error) => {
      throw new Error(`${error.message}\n${broker.output()}`);
    });
  await logged(/ running\n/);
  return {
    broker,
    ports,
    port: (name) => {
      const port = ports.get(name);
      if (port === undefined) throw new Error(`no listener ${name}`);
      return port;
    },
    logged,
  };
}
