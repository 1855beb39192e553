/**
 * What a power cut leaves: the store's writes and syncs are recorded with strace, the data
 * directory is rebuilt as it may have been at a cut, with unsynced blocks dropped at random, and
 * the broker starts on it. In fsync mode nothing acknowledged before the cut is missing. In process
 * mode that is promised for the end of the process alone, where all writes are kept; after a power
 * cut the broker starts and goes on.
 *
 * POWER_CUTS sets how many cuts, DURABILITY_SEED which. Needs strace, and unshare for a boot of its
 * own, as the machine has not really been started again.
 */
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { afterEach, expect, test } from "vitest";
import { elapse } from "../support/await.ts";
import { type Durability, killAll } from "../support/durability-broker.ts";
import { type DurableClient, type QoS, tickBefore } from "../support/durability-client.ts";
import { Fleet, newPlace, type Place } from "../support/durability-fleet.ts";
import { faultsOf, type Publisher, receiveAll } from "../support/durability-judge.ts";
import { TracedDisk } from "../support/durability-power-cut.ts";
import { type Moment, readTrace, traceEnded, tracing } from "../support/durability-trace.ts";
import { type Random, randomFrom } from "../support/mutate.ts";

const { POWER_CUTS, DURABILITY_SEED } = process.env;
const cutCount = Number(POWER_CUTS ?? 20);
const seed = Number(DURABILITY_SEED ?? Date.now() % 2 ** 31);

const JOURNAL = "journal";
const INDEX_FILE = "index.mdb";
/** Every boot has another id; this file has another one at each look. */
const NEW_BOOT = "mount --bind /proc/sys/kernel/random/uuid /proc/sys/kernel/random/boot_id";
const BATCHES_MIN = 120;
const BATCHES_MAX = 1500;
/** The index must have been written to so often before the load ends. */
const INDEX_CHANGES_MIN = 3;
const BATCHES_PER_GUEST = 25;
/** Long payloads, so that a few segments get full, and files are used again. */
const LONG_ONE_IN = 2;
const LONG_BYTES_MAX = 120_000;
const SEGMENTS_MIN = 2;
const GUESTS_MAX = 6;
const ARRIVE_MS_MAX = 20_000;

afterEach(killAll);

interface Scenario {
  readonly durability: Durability;
  readonly cut: "power cut" | "end of the process";
  /** Whether all that was acknowledged is to be there. */
  readonly isKept: boolean;
}

const SCENARIOS: readonly Scenario[] = [
  { durability: "fsync", cut: "power cut", isKept: true },
  { durability: "process", cut: "end of the process", isKept: true },
  { durability: "process", cut: "power cut", isKept: false },
];

/** Who was there during the load, and what the disk saw. */
interface Recording {
  readonly base: ReadonlyMap<string, Buffer>;
  readonly moments: readonly Moment[];
  readonly publishers: readonly DurableClient[];
  readonly subscribers: readonly DurableClient[];
  /** The other files of the data directory: marker and locks. */
  readonly beside: string;
}

/** Publishers under load; every now and then a subscriber comes, subscribes, and goes. */
async function load(fleet: Fleet, random: Random, indexFile: string): Promise<void> {
  const publishers = ([5, 4] as const).map((version) =>
    fleet.client({ clientIdentifier: `publisher${version}`, version }),
  );
  for (const publisher of publishers) await fleet.connect(publisher);
  let indexChanges = 0;
  let indexTime = statSync(indexFile).mtimeMs;
  for (let batch = 0; batch < BATCHES_MAX; batch += 1) {
    if (batch >= BATCHES_MIN && indexChanges >= INDEX_CHANGES_MIN) return;
    if (batch % BATCHES_PER_GUEST === 0 && batch / BATCHES_PER_GUEST < GUESTS_MAX) {
      await visit(fleet, batch / BATCHES_PER_GUEST);
    }
    const sent = publishers.flatMap((publisher, index) =>
      Array.from({ length: 1 + random(3) }, (_, number) => {
        const qos: QoS = random(2) === 0 ? 1 : 2;
        const bytes = random(LONG_ONE_IN) === 0 ? random(LONG_BYTES_MAX) : random(300);
        const payload = `${index}/${batch}/${number}/${"x".repeat(bytes)}`;
        return publisher.publish(`p/${random(3)}`, payload, { qos });
      }),
    );
    for (const publisher of publishers) {
      const isDone = () => publisher.unfinishedCount === 0;
      await publisher.until("acknowledgements", isDone, ARRIVE_MS_MAX);
    }
    expect(sent.every(({ reasonCode }) => reasonCode === 0 || reasonCode === 16)).toBe(true);
    const { mtimeMs } = statSync(indexFile);
    if (mtimeMs !== indexTime) indexChanges += 1;
    indexTime = mtimeMs;
    await elapse(random(40)); // The subject is the background's pace, too.
  }
  throw new Error(`the index was written ${indexChanges} times in ${BATCHES_MAX} batches`);
}

async function visit(fleet: Fleet, number: number): Promise<void> {
  const version = number % 2 === 0 ? 5 : 4;
  const guest = fleet.client({ clientIdentifier: `guest${number}`, version });
  await fleet.connect(guest);
  await guest.granted(guest.subscribe("p/#", 2));
  if (number % 3 === 2) return; // This one stays and receives.
  fleet.drop(guest);
}

/** Starts on an empty store, loads it, and keeps all there is to know of it. */
async function record(place: Place, durability: Durability, random: Random): Promise<Recording> {
  const { path } = place;
  const maker = new Fleet({ dataDirectory: path, durability });
  await maker.start();
  await maker.stop();
  const base = storeFilesOf(path);
  const traceFile = `${path}.trace`;
  const wrapper = tracing(traceFile);
  const fleet = new Fleet({ dataDirectory: path, durability, wrapper });
  if (!(await fleet.start())) throw new Error(`no start under strace\n${fleet.broker.output()}`);
  await load(fleet, random, join(path, INDEX_FILE));
  const beside = `${path}.beside`;
  mkdirSync(beside);
  for (const name of readdirSync(path)) {
    // Nothing of a socket but its name is on the disk, and nobody answers there after a cut.
    if (name === JOURNAL || name === INDEX_FILE || name.endsWith(".sock")) continue;
    copyFileSync(join(path, name), join(beside, name));
  }
  await fleet.stop();
  expect(fleet.allViolations()).toEqual([]);
  await traceEnded(traceFile, fleet.broker.pid);
  const moments = readTrace(traceFile, base.keys(), join(path, JOURNAL));
  expectWhole(path, base, moments);
  const begun = moments.filter(({ phase, step }) => {
    return phase === "end" && step.kind === "name" && step.to?.endsWith(".log") === true;
  });
  expect(begun.length).toBeGreaterThanOrEqual(SEGMENTS_MIN);
  return {
    base,
    moments,
    publishers: fleet.clients.filter(({ publications }) => publications.length > 0),
    subscribers: fleet.clients.filter(({ subscriptions }) => subscriptions.size > 0),
    beside,
  };
}

/** Journal and index, by path. */
function storeFilesOf(path: string): Map<string, Buffer> {
  const segments = readdirSync(join(path, JOURNAL)).map((name) => join(path, JOURNAL, name));
  return new Map([...segments, join(path, INDEX_FILE)].map((file) => [file, readFileSync(file)]));
}

/** A trace that is played to its end gives the files as they are. */
function expectWhole(
  path: string,
  base: ReadonlyMap<string, Buffer>,
  moments: readonly Moment[],
): void {
  const disk = new TracedDisk(base, moments);
  for (const moment of moments) disk.take(moment);
  const played = disk.afterKill();
  const there = storeFilesOf(path);
  expect([...played.keys()].toSorted()).toEqual([...there.keys()].toSorted());
  for (const [file, content] of there) expect(played.get(file)?.equals(content), file).toBe(true);
}

/** The load as it was known to its clients before the cut. */
function publishersUntil(recording: Recording, tick: number): readonly Publisher[] {
  return recording.publishers.map(({ settings, publications }) => ({
    settings,
    publications: publications.map((publication) => ({
      ...publication,
      acceptedTick: publication.acceptedTick <= tick ? publication.acceptedTick : 0,
    })),
  }));
}

/** For a broker on what the cut left. */
function fleetOn(dataDirectory: string, { durability, cut }: Scenario): Fleet {
  const preparation = cut === "power cut" ? { preparation: NEW_BOOT } : {};
  return new Fleet({ dataDirectory, durability, ...preparation });
}

/** Looks for everything that was acknowledged before the cut; how much of it there was. */
async function judgeKept(
  fleet: Fleet,
  recording: Recording,
  atMicroseconds: number,
): Promise<number> {
  const tick = tickBefore(atMicroseconds);
  const publishers = publishersUntil(recording, tick);
  const back: DurableClient[] = [];
  for (const before of [...recording.publishers, ...recording.subscribers]) {
    if (before.sessionTick === 0 || before.sessionTick > tick) continue;
    const client = fleet.client(before.settings);
    client.hasSession = true; // Without Session Present it complains.
    for (const [filter, held] of before.subscriptions) {
      if (held.grantedTick > 0 && held.grantedTick <= tick) client.subscriptions.set(filter, held);
    }
    await fleet.connect(client);
    if (before.subscriptions.size > 0 && before.arrivals.length === 0) back.push(client);
  }
  for (const client of back) await receiveAll(client, publishers, ARRIVE_MS_MAX);
  expect(back.flatMap((client) => faultsOf(client, publishers))).toEqual([]);
  return back.reduce((sum, { arrivals }) => sum + arrivals.length, 0);
}

/** Whatever there is, the broker works with it; how much of the work arrived. */
async function judgeWorking(fleet: Fleet): Promise<number> {
  const client = fleet.client({ clientIdentifier: "new", version: 5 });
  await fleet.connect(client);
  await client.granted(client.subscribe("after/#", 2));
  const publication = client.publish("after/1", "after the cut", { qos: 2 });
  await client.finished(publication, ARRIVE_MS_MAX);
  await receiveAll(client, [client], ARRIVE_MS_MAX);
  return client.arrivals.length;
}

/** Writes the data directory as the cut left it. */
function rebuild(
  recording: Recording,
  files: ReadonlyMap<string, Buffer>,
  from: string,
  dataDirectory: string,
): void {
  mkdirSync(join(dataDirectory, JOURNAL), { recursive: true });
  for (const name of readdirSync(recording.beside)) {
    copyFileSync(join(recording.beside, name), join(dataDirectory, name));
  }
  for (const [file, content] of files) {
    writeFileSync(join(dataDirectory, relative(from, file)), content);
  }
}

async function playCuts(
  recording: Recording,
  scenario: Scenario,
  place: Place,
  random: Random,
): Promise<number> {
  const { moments } = recording;
  const cuts = Array.from({ length: cutCount }, () => 1 + random(moments.length - 1));
  const disk = new TracedDisk(recording.base, moments);
  let playedCount = 0;
  let arrivalCount = 0;
  for (const [number, cut] of cuts.sort((a, b) => a - b).entries()) {
    for (const moment of moments.slice(playedCount, cut)) disk.take(moment);
    playedCount = cut;
    const dataDirectory = join(dirname(place.path), `cut${number}`);
    const files = scenario.cut === "power cut" ? disk.afterPowerCut(random) : disk.afterKill();
    rebuild(recording, files, place.path, dataDirectory);
    const at = moments[cut - 1]?.atMicroseconds ?? 0;
    const fleet = fleetOn(dataDirectory, scenario);
    await fleet.explaining(`cut ${cut} of ${moments.length}, ${dataDirectory}`, async () => {
      if (!(await fleet.start())) throw new Error(`it does not start\n${fleet.broker.output()}`);
      if (scenario.isKept) arrivalCount += await judgeKept(fleet, recording, at);
      arrivalCount += await judgeWorking(fleet);
      await fleet.stop();
      expect(fleet.allViolations()).toEqual([]);
    });
    rmSync(dataDirectory, { recursive: true });
  }
  return arrivalCount;
}

test.each(SCENARIOS)(
  `durability $durability: $cut, ${cutCount} times, DURABILITY_SEED=${seed}`,
  async (scenario) => {
    const random = randomFrom(seed);
    const place = newPlace();
    const recording = await record(place, scenario.durability, random);
    const arrivalCount = await playCuts(recording, scenario, place, random);
    expect(arrivalCount).toBeGreaterThan(scenario.isKept ? 2 * cutCount : cutCount - 1);
    place.remove();
  },
  180_000 + cutCount * 8000,
);
