/** A thousand logins a second, each with a password to hash: what live traffic feels of them. */
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { hashPassword } from "../../src/access/password-hash.ts";
import { median } from "../load/compare.ts";
import { BrokerFault } from "../load/fault.ts";
import { runLive } from "../load/live-run.ts";
import { atLeast, type Bar, type BarRow, count, type Say, told } from "./bar.ts";
import { type BrokerChild, withBroker } from "./broker-child.ts";
import type { StormOptions, StormTally } from "./login-storm.ts";

const PAIRS = 50;
const RATE_PER_SECOND = 5000;
const PAYLOAD_BYTES = 128;
const SECONDS = 6;
const WARMUP_SECONDS = 1;
const REPETITIONS = 5;

const LOGINS_PER_SECOND = 1000;
/** As mosquitto 2.1 and `holdfast passwd` write them. */
const ITERATIONS = 1000;
const PASSWORD = "the same for all";
const PREFIX = "user";
/** Logins of one storm, with time to spare, and of one repetition. */
const USERS_PER_STORM = LOGINS_PER_SECOND * (SECONDS + WARMUP_SECONDS + 5);
const USERS_PER_REPETITION = 2 * USERS_PER_STORM;

const RATIO_MAX = 2;
/** The least part of the logins that has to be answered while it runs. */
const ACCEPTED_MIN = 0.95;

/** A file of users, none of whom logs in twice: what is remembered helps nobody. */
async function passwordFile(directory: string): Promise<string> {
  const hash = await hashPassword(Buffer.from(PASSWORD), "sha512-pbkdf2", ITERATIONS);
  const count = USERS_PER_REPETITION * (REPETITIONS + 1);
  const lines = Array.from({ length: count }, (_, i) => `${PREFIX}${i}:${hash}\n`);
  const path = join(directory, "users");
  writeFileSync(path, lines.join(""), { mode: 0o600 });
  return path;
}

/** @returns p99 of the pairs, microseconds */
async function livePairs(broker: BrokerChild): Promise<number> {
  const result = await runLive(
    broker.loadOptions({
      qos: 1,
      publisherCount: PAIRS,
      subscriberCount: PAIRS,
      payloadBytes: PAYLOAD_BYTES,
      ratePerSecond: RATE_PER_SECOND,
      seconds: SECONDS,
      warmupSeconds: WARMUP_SECONDS,
    }),
  );
  if (!result.ok) throw new BrokerFault(result.fault);
  return result.latencyMicros.p99;
}

/** A thread that logs in; one for all repetitions, so that it is compiled and optimised once. */
class Storm {
  readonly #worker = new Worker(new URL("./login-storm.ts", import.meta.url), {
    // With room for young objects it collects them seldom: its collector takes cores as well.
    resourceLimits: { maxYoungGenerationSizeMb: 256 },
  });

  /** Runs `work` while it logs in. */
  async beside<Result>(
    options: StormOptions,
    work: () => Promise<Result>,
  ): Promise<{ readonly result: Result; readonly tally: StormTally }> {
    this.#worker.postMessage(options);
    const result = await work();
    this.#worker.postMessage(null);
    const [tally] = await once(this.#worker, "message");
    return { result, tally: tally as StormTally };
  }

  close(): Promise<unknown> {
    return this.#worker.terminate();
  }
}

/** p99 of the pairs, microseconds. */
interface Wait {
  readonly alone: number;
  readonly unhashed: number;
  readonly beside: number;
  /** Of another broker, which does nothing else, beside the same storm. */
  readonly elsewhere: number;
}

/** What is measured: a storm that comes over one broker, and what its pairs wait, or another's. */
interface Parts {
  readonly broker: BrokerChild;
  readonly other: BrokerChild;
  readonly storm: Storm;
}

/**
 * Brokers, load and storm take both cores of a small machine: what a message waits for a core, and
 * not for the broker that is logged in to, one of another broker waits as well.
 */
async function measureOnce(
  { broker, other, storm }: Parts,
  repetition: number,
): Promise<{ readonly wait: Wait; readonly tally: StormTally }> {
  const first = repetition * USERS_PER_REPETITION;
  const options = { port: broker.port, perSecond: LOGINS_PER_SECOND, prefix: PREFIX, first };
  const hash = { ...options, password: PASSWORD };
  const alone = await livePairs(broker);
  const unhashed = await storm.beside({ ...options, password: null }, () => livePairs(broker));
  const hashed = await storm.beside(hash, () => livePairs(broker));
  if (hashed.tally.failed > 0) throw new BrokerFault(`${hashed.tally.failed} logins failed`);
  const further = { ...hash, first: first + USERS_PER_STORM };
  const elsewhere = await storm.beside(further, () => livePairs(other));
  return {
    wait: {
      alone,
      unhashed: unhashed.result,
      beside: hashed.result,
      elsewhere: elsewhere.result,
    },
    tally: hashed.tally,
  };
}

async function measureLogins(parts: Parts, say: Say): Promise<BarRow[]> {
  const waits: Wait[] = [];
  let [begun, accepted] = [0, 0];
  // The first, in which broker and load are compiled and optimised, does not count.
  for (let repetition = 0; repetition <= REPETITIONS; repetition++) {
    const { wait, tally } = await measureOnce(parts, repetition);
    const { alone, unhashed, beside, elsewhere } = wait;
    say(
      `p99 ${count(alone)} µs alone, ${count(unhashed)} µs beside logins without a password, ` +
        `${count(beside)} µs with one, ${count(elsewhere)} µs of another broker beside those` +
        (repetition === 0 ? ": the warm-up" : ""),
    );
    if (repetition === 0) continue;
    waits.push(wait);
    begun += tally.begun;
    accepted += tally.accepted;
  }
  const answered = (100 * accepted) / begun;
  return [
    ...waitRows(waits),
    atLeast("logins answered while it ran", answered, 100 * ACCEPTED_MIN, "%"),
  ];
}

function waitRows(waits: readonly Wait[]): BarRow[] {
  const millis = (micros: number): string => (micros / 1000).toFixed(2);
  const all = (name: keyof Wait): number[] => waits.map((wait) => wait[name]);
  const text = (name: keyof Wait): string => {
    const micros = all(name);
    const spread = [Math.min(...micros), Math.max(...micros)].map(millis).join("–");
    return `${millis(median(micros))} ms (${spread})`;
  };
  const limit = median(all("alone")) * RATIO_MAX;
  return [
    told("p99 of 50 pairs alone, 5000/s", text("alone")),
    told("p99 beside as many without a password", text("unhashed"), { micros: all("unhashed") }),
    {
      name: `p99 beside ${count(LOGINS_PER_SECOND)} logins/s, PBKDF2`,
      measured: text("beside"),
      bar: `≤ ${millis(limit)} ms`,
      met: median(all("beside")) <= limit,
      figures: { aloneMicros: all("alone"), besideMicros: all("beside") },
    },
    told("the same of another broker", text("elsewhere"), { micros: all("elsewhere") }),
  ];
}

export const loginsBar: Bar = {
  name: "logins",
  sentence: "50 pairs at a fixed rate beside 1000 logins a second, each with PBKDF2",
  measure: async (say) => {
    const directory = mkdtempSync(join(tmpdir(), "holdfast-bars-"));
    try {
      const users = await passwordFile(directory);
      const config = [
        "allow_anonymous true",
        `password_file ${users}`,
        "connection_messages false",
      ];
      const storm = new Storm();
      try {
        return await withBroker({ config }, (broker) =>
          withBroker({ config: ["allow_anonymous true"] }, (other) =>
            measureLogins({ broker, other, storm }, say),
          ),
        );
      } finally {
        await storm.close();
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  },
};
