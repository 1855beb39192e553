/** A thousand logins a second, each with a password to hash: what live traffic feels of them. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { hashPassword, passwordHashText } from "../../src/access/password-hash.ts";
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
/** Logins of one repetition, with time to spare. */
const USERS_PER_REPETITION = LOGINS_PER_SECOND * (SECONDS + WARMUP_SECONDS + 5);

const RATIO_MAX = 2;
/** The least part of the logins that has to be answered while it runs. */
const ACCEPTED_MIN = 0.95;

/** A file of users, none of whom logs in twice: what is remembered helps nobody. */
async function passwordFile(directory: string): Promise<string> {
  const hash = await hashPassword(Buffer.from(PASSWORD), "sha512-pbkdf2", ITERATIONS);
  const text = passwordHashText(hash);
  const count = USERS_PER_REPETITION * REPETITIONS;
  const lines = Array.from({ length: count }, (_, i) => `${PREFIX}${i}:${text}\n`);
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

/** Runs `work` while a thread of its own logs in. */
async function stormed<Result>(
  options: StormOptions,
  work: () => Promise<Result>,
): Promise<{ readonly result: Result; readonly tally: StormTally }> {
  const worker = new Worker(new URL("./login-storm.ts", import.meta.url), { workerData: options });
  try {
    const result = await work();
    const answer = new Promise<StormTally>((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    });
    worker.postMessage("end");
    return { result, tally: await answer };
  } finally {
    await worker.terminate();
  }
}

async function measureLogins(broker: BrokerChild, say: Say): Promise<BarRow[]> {
  const alone: number[] = [];
  const unhashed: number[] = [];
  const beside: number[] = [];
  let [begun, accepted] = [0, 0];
  for (let repetition = 0; repetition < REPETITIONS; repetition++) {
    alone.push(await livePairs(broker));
    const first = repetition * USERS_PER_REPETITION;
    const storm = { port: broker.port, perSecond: LOGINS_PER_SECOND, prefix: PREFIX, first };
    const anonymous = await stormed({ ...storm, password: null }, () => livePairs(broker));
    unhashed.push(anonymous.result);
    const { result, tally } = await stormed({ ...storm, password: PASSWORD }, () =>
      livePairs(broker),
    );
    if (tally.failed > 0) throw new BrokerFault(`${tally.failed} logins failed`);
    beside.push(result);
    begun += tally.begun;
    accepted += tally.accepted;
    say(
      `p99 ${count(alone.at(-1) ?? 0)} µs alone, ${count(anonymous.result)} µs beside logins ` +
        `without a password, ${count(result)} µs with one`,
    );
  }
  const [one, other] = [median(alone), median(beside)];
  const millis = (micros: number): string => (micros / 1000).toFixed(2);
  const spread = (all: readonly number[]): string =>
    `${millis(Math.min(...all))}–${millis(Math.max(...all))}`;
  return [
    told("p99 of 50 pairs alone, 5000/s", `${millis(one)} ms (${spread(alone)})`),
    told(
      "p99 beside as many without a password",
      `${millis(median(unhashed))} ms (${spread(unhashed)})`,
      { unhashedMicros: unhashed },
    ),
    {
      name: `p99 beside ${count(LOGINS_PER_SECOND)} logins/s, PBKDF2`,
      measured: `${millis(other)} ms (${spread(beside)})`,
      bar: `≤ ${millis(one * RATIO_MAX)} ms`,
      met: other <= one * RATIO_MAX,
      figures: { aloneMicros: alone, besideMicros: beside },
    },
    atLeast("logins answered while it ran", (100 * accepted) / begun, 100 * ACCEPTED_MIN, "%"),
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
      return await withBroker({ config }, (broker) => measureLogins(broker, say));
    } finally {
      rmSync(directory, { recursive: true });
    }
  },
};
