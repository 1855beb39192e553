/**
 * A broker under attack, and an honest client that goes on with its work meanwhile: how long it
 * waited at worst, and what the broker's memory grew by, are held to bounds.
 */
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { expect } from "vitest";
import { elapse, until } from "../support/await.ts";
import { TestClient } from "../support/client.ts";
import { type BrokerOptions, type RunningBroker, startBroker } from "../support/running-broker.ts";

/** How long an honest client waits at worst for its own message at QoS 1, milliseconds. */
const SERVED_MS_MAX = 3_000;
/** Between two of its messages: it is no attacker. */
const PACE_MS = 10;
/** Sockets that are opened at once: the queue of a listening socket is not endless. */
const OPENED_AT_ONCE = 250;
const ATTACK_MS_MAX = 60_000;

/** One socket of an attacker. */
export interface Foe {
  readonly socket: Socket;
  /** All that the broker sent to it so far. */
  received(): Buffer;
  isClosed(): boolean;
  /** Awaits the broker's close. */
  closed(): Promise<void>;
}

function foeOf(socket: Socket): Foe {
  const chunks: Buffer[] = [];
  let isClosed = false;
  const closed = new Promise<void>((resolve) => {
    socket.once("close", () => {
      isClosed = true;
      resolve();
    });
  });
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  // What the broker cuts off is told by "close".
  socket.on("error", () => undefined);
  return {
    socket,
    received: () => Buffer.concat(chunks),
    isClosed: () => isClosed,
    closed: () => closed,
  };
}

/** Opens a socket to the port. */
export function openFoe(port: number): Promise<Foe> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    const foe = foeOf(socket);
    socket.once("connect", () => resolve(foe));
    // Turned away: that is an answer, too.
    socket.once("close", () => resolve(foe));
  });
}

/** Opens many, each of which does `begin` at once. */
export async function openFoes(
  port: number,
  count: number,
  begin: (foe: Foe, index: number) => void = () => undefined,
): Promise<Foe[]> {
  const foes: Foe[] = [];
  while (foes.length < count) {
    const next = Math.min(OPENED_AT_ONCE, count - foes.length);
    const opened = await Promise.all(Array.from({ length: next }, () => openFoe(port)));
    for (const foe of opened) begin(foe, foes.push(foe) - 1);
  }
  return foes;
}

/** What an attack may cost. */
export interface Bounds {
  /** Growth of the broker's resident memory, MiB. */
  readonly residentMiBMax: number;
}

/** Resident memory of a process, MiB. */
export function residentMiB(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024;
}

export class Siege {
  readonly broker: RunningBroker;
  readonly #honest: TestClient;

  private constructor(broker: RunningBroker, honest: TestClient) {
    this.broker = broker;
    this.#honest = honest;
  }

  static async begin(options: BrokerOptions = {}): Promise<Siege> {
    const broker = await startBroker(options);
    const honest = await TestClient.connect(broker, { clientId: "honest", userName: "honest" });
    await honest.subscribe("honest/work", { qos: 1 });
    const siege = new Siege(broker, honest);
    await siege.#work(0);
    return siege;
  }

  /** One message to itself. @returns how long that took, milliseconds */
  async #work(number: number): Promise<number> {
    const beganMs = performance.now();
    await this.#honest.publish("honest/work", `${number}`, { qos: 1 });
    await this.#honest.receive({ payload: `${number}` });
    return performance.now() - beganMs;
  }

  /** Plays the attack while the honest client works; then the attackers are gone. */
  async endure(attack: (cut: (foe: Foe) => Foe) => Promise<void>, bounds: Bounds): Promise<void> {
    const { pid } = this.broker;
    const foes = new Set<Foe>();
    const residentBefore = residentMiB(pid);
    let residentMost = residentBefore;
    let worstMs = 0;
    let isOver = false;
    const attacking = attack((foe) => {
      foes.add(foe);
      return foe;
    }).finally(() => {
      isOver = true;
    });
    // Awaited below, unless the honest client fails first.
    attacking.catch(() => undefined);
    const endMs = performance.now() + ATTACK_MS_MAX;
    for (let i = 1; !isOver || i <= 3; i++) {
      worstMs = Math.max(worstMs, await this.#work(i));
      residentMost = Math.max(residentMost, residentMiB(pid));
      if (performance.now() > endMs) throw new Error(`the attack is not over: ${worstMs} ms`);
      await elapse(PACE_MS);
    }
    await attacking;
    for (const { socket } of foes) socket.destroy();
    await until("the attackers' end", () => [...foes].every((foe) => foe.isClosed()));
    worstMs = Math.max(worstMs, await this.#work(0));
    expect(worstMs, "the honest client waited, milliseconds").toBeLessThan(SERVED_MS_MAX);
    const grown = residentMost - residentBefore;
    expect(grown, "memory grew by, MiB").toBeLessThan(bounds.residentMiBMax);
  }

  /** The broker ends in order: nothing that happened has broken it. */
  async end(): Promise<void> {
    await this.#honest.disconnect();
    expect(await this.broker.stop(), this.broker.output()).toBe(0);
  }
}
