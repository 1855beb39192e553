/**
 * A broker on one data directory, through any number of lives, and the clients that come back.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { withDeadline } from "./await.ts";
import { type LaunchedBroker, type LaunchOptions, launch } from "./durability-broker.ts";
import { type ClientSettings, DurableClient } from "./durability-client.ts";

/** How long the end of a process may lag behind the end of its connections. */
const END_MS_MAX = 3000;
/** More lives than a run can use up by being killed once. */
const LIVES_MAX = 10;

/** The place of a data directory; `path` itself is for the broker to make. */
export interface Place {
  readonly path: string;
  remove(): void;
}

export function newPlace(): Place {
  const parent = mkdtempSync(join(tmpdir(), "holdfast-durability-"));
  return {
    path: join(parent, "data"),
    remove: () => rmSync(parent, { recursive: true, force: true }),
  };
}

export class Fleet {
  readonly clients: DurableClient[] = [];
  /** What no client can see for itself. */
  readonly violations: string[] = [];
  readonly #options: LaunchOptions;
  readonly #wanted = new Set<DurableClient>();
  #broker: LaunchedBroker | undefined;
  #port: number | null = null;
  /** Brokers that are ended on purpose; what ends with them is no violation. */
  readonly #ending = new WeakSet<LaunchedBroker>();

  constructor(options: LaunchOptions) {
    this.#options = options;
  }

  get broker(): LaunchedBroker {
    if (this.#broker === undefined) throw new Error("no broker was started");
    return this.#broker;
  }

  /** A client of this fleet, not connected. */
  client(settings: ClientSettings): DurableClient {
    const client = new DurableClient(settings);
    this.clients.push(client);
    return client;
  }

  /**
   * Starts the broker, and connects the clients that want to be.
   *
   * @returns false: it ended before it ran
   */
  async start(environment: Readonly<Record<string, string>> = {}): Promise<boolean> {
    this.#port = null;
    const { environment: common } = this.#options;
    const broker = await launch({ ...this.#options, environment: { ...common, ...environment } });
    this.#broker = broker;
    this.#port = await broker.ready;
    if (this.#port === null) return false;
    await Promise.all([...this.#wanted].map((client) => this.#attempt(client)));
    return true;
  }

  /** Starts the broker and kills it `milliseconds` later, wherever it is then. */
  async startAndKill(milliseconds: number): Promise<void> {
    const broker = await launch(this.#options);
    this.#broker = broker;
    this.#ending.add(broker);
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
    await broker.kill9();
  }

  async kill9(): Promise<void> {
    this.#ending.add(this.broker);
    this.#port = null;
    await this.broker.kill9();
  }

  async stop(): Promise<void> {
    this.#ending.add(this.broker);
    this.#port = null;
    await this.broker.stop();
  }

  /** Connects the client, in this life of the broker or in the next. */
  async connect(client: DurableClient): Promise<void> {
    this.#wanted.add(client);
    const { connackCount } = client;
    if (this.#port !== null) await this.#attempt(client);
    await client.until("CONNACK in some life", () => client.connackCount > connackCount, 30_000);
  }

  /** The client goes, without DISCONNECT, and stays away. */
  drop(client: DurableClient): void {
    this.#wanted.delete(client);
    client.drop();
  }

  /** The client takes its leave and stays away. */
  disconnect(client: DurableClient): void {
    this.#wanted.delete(client);
    client.disconnect();
  }

  /** Cuts the connections of all clients off; those that want to be connected come back. */
  async cutAll(): Promise<void> {
    for (const client of this.#wanted) client.drop();
    await Promise.all([...this.#wanted].map((client) => this.#attempt(client)));
  }

  /** Whether the client is to be connected whenever there is a broker. */
  wants(client: DurableClient): boolean {
    return this.#wanted.has(client);
  }

  /**
   * Runs the script to its end; whenever the broker is killed it starts anew, without faults.
   *
   * @param environment  for the first life alone
   * @returns how often it was killed
   */
  async runThroughKills(
    environment: Readonly<Record<string, string>>,
    script: () => Promise<void>,
  ): Promise<number> {
    let isDone = false;
    let killCount = 0;
    const lives = async (): Promise<void> => {
      let faults = environment;
      while (!isDone && killCount < LIVES_MAX) {
        await this.start(faults);
        if (isDone) await this.stop();
        const { signal, exitCode } = await this.broker.ended;
        if (isDone) return;
        this.#port = null;
        if (signal !== "SIGKILL") {
          throw new Error(`the broker ended with ${exitCode ?? signal}\n${this.broker.output()}`);
        }
        killCount += 1;
        faults = {};
      }
    };
    const living = lives();
    const scripted = script().finally(() => {
      isDone = true;
    });
    // Whichever fails first is told; the other may then fail as well.
    scripted.catch(() => undefined);
    living.catch(() => undefined);
    await Promise.race([scripted, living]);
    await scripted;
    if (!this.broker.hasEnded()) await this.stop();
    await living;
    return killCount;
  }

  /**
   * Does the work; an error says where it happened, and what else was found wrong.
   *
   * @param where  how to make it happen again
   */
  async explaining<Value>(where: string, work: () => Promise<Value>): Promise<Value> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof Error) {
        error.message = [where, error.message, ...this.allViolations()].join("\n");
      }
      throw error;
    }
  }

  /** Everything that any client or the fleet found wrong. */
  allViolations(): readonly string[] {
    return [...this.violations, ...this.clients.flatMap((client) => client.violations)];
  }

  async #attempt(client: DurableClient): Promise<void> {
    if (client.isConnected || this.#port === null) return;
    const { broker } = this;
    await client.connect(this.#port, (reason) => {
      this.#lost(client, broker, reason).catch((error: unknown) => {
        this.violations.push(String(error));
      });
    });
  }

  /** A connection may end only with its broker. */
  async #lost(client: DurableClient, broker: LaunchedBroker, reason: string): Promise<void> {
    if (this.#ending.has(broker) || !this.#wanted.has(client)) return;
    const { clientIdentifier } = client.settings;
    const what = `end of the broker that closed ${clientIdentifier} (${reason})`;
    await withDeadline(broker.ended, what, () => client.seen(), END_MS_MAX);
  }
}
