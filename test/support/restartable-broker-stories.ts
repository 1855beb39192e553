/**
 * Stories: tests that go on behind an interruption of the broker, told side by side.
 *
 * All stories of a suite share one broker and its interruptions: each runs up to `interrupted()`,
 * and when every one of them stands there, or has ended, the connections are cut or the broker is
 * restarted, and they go on. So a suite costs a restart or two, not one for each test, and spans
 * of time pass for all at once. Stories must keep to Client Identifiers and topics of their own.
 */
import { afterAll, beforeAll, test } from "vitest";
import { elapse } from "./await.ts";
import { TestClient } from "./client.ts";
import type { ConnectOptions } from "./client-packets.ts";
import {
  type Ending,
  type RestartableBroker,
  startRestartableBroker,
} from "./restartable-broker.ts";
import type { RunningBroker } from "./running-broker.ts";

/** What comes between two parts of a story; a lost connection leaves the broker running. */
export type Interruption = "a lost connection" | Ending;

export interface StoriesPlan {
  /** In their order; a story may end before the last. */
  readonly interruptions: readonly Interruption[];
  /** How long a restarted broker stays down, or clients stay away. */
  readonly downMs?: number;
  /** How long all stand still before the first one, while the broker does what it does later. */
  readonly restMs?: number;
  /** Lines of the configuration file. */
  readonly configuration?: readonly string[];
}

/** A name for a title, and what it stands for. */
export interface Variant {
  readonly name: string;
  readonly interruption: Interruption;
  readonly restMs: number;
}

/**
 * What a stored queue has to stand. A killed broker finds what was published last in its journal;
 * behind a rest it finds it in its index, and what came later in the journal.
 */
export const VARIANTS: readonly Variant[] = [
  { name: "a lost connection", interruption: "a lost connection", restMs: 0 },
  { name: "stop", interruption: "stop", restMs: 0 },
  { name: "kill -9", interruption: "kill -9", restMs: 0 },
  { name: "kill -9 behind a rest", interruption: "kill -9", restMs: 4500 },
];

/** What a story has at hand. */
export interface Stage {
  broker(): RunningBroker;
  /** A client whose CONNECT was accepted by the broker that runs now. */
  connect(options?: ConnectOptions): Promise<TestClient>;
  /** Waits for the next interruption; behind it all earlier clients have lost their connections. */
  interrupted(): Promise<void>;
}

/** Registers a story as a test of the enclosing suite. */
export type TellStory = (title: string, tell: (stage: Stage) => Promise<void>) => void;

interface Story {
  readonly tell: (stage: Stage) => Promise<void>;
  failure: unknown;
  hasEnded: boolean;
}

const TELLING_MS_MAX = 90_000;

/** Prepares the enclosing suite; its tests are what the returned function registers. */
export function stageStories(plan: StoriesPlan): TellStory {
  const stories: Story[] = [];
  let broker: RestartableBroker | undefined;
  beforeAll(async () => {
    const { configuration } = plan;
    broker = await startRestartableBroker(configuration ? { configuration } : {});
    await tellAll(stories, broker, plan);
  }, TELLING_MS_MAX);
  afterAll(() => broker?.end());
  return (title, tell) => {
    const story: Story = { tell, failure: undefined, hasEnded: false };
    stories.push(story);
    test(title, () => {
      if (story.failure !== undefined) throw story.failure;
    });
  };
}

/** Runs all stories to their ends; a failure stays with its story. */
async function tellAll(
  stories: readonly Story[],
  broker: RestartableBroker,
  plan: StoriesPlan,
): Promise<void> {
  const clients = new Set<TestClient>();
  let waiting: { readonly resolve: () => void; readonly reject: (reason: unknown) => void }[] = [];
  let interruptionCount = 0;
  const goOn = (): void => {
    const present = stories.filter((story) => !story.hasEnded).length;
    if (waiting.length === 0 || waiting.length < present) return;
    const restMs = interruptionCount === 0 ? (plan.restMs ?? 0) : 0;
    const interruption = plan.interruptions[interruptionCount++];
    const all = waiting;
    waiting = [];
    const resting = restMs > 0 ? elapse(restMs) : Promise.resolve();
    const interrupting = resting.then(() =>
      interrupt(broker, clients, interruption, plan.downMs ?? 0),
    );
    interrupting.then(
      () => {
        for (const { resolve } of all) resolve();
      },
      (error: unknown) => {
        for (const { reject } of all) reject(error);
      },
    );
  };
  const stage: Stage = {
    broker: () => broker.current(),
    connect: async (options) => {
      const client = await TestClient.connect(broker.current(), options);
      clients.add(client);
      return client;
    },
    interrupted: () =>
      new Promise((resolve, reject) => {
        waiting.push({ resolve, reject });
        goOn();
      }),
  };
  await Promise.all(
    stories.map(async (story) => {
      try {
        await story.tell(stage);
      } catch (error) {
        story.failure = error;
      }
      story.hasEnded = true;
      goOn();
    }),
  );
  for (const client of clients) client.destroy();
}

async function interrupt(
  broker: RestartableBroker,
  clients: Set<TestClient>,
  interruption: Interruption | undefined,
  downMs: number,
): Promise<void> {
  if (interruption === undefined) throw new Error("the plan has no further interruption");
  const open = [...clients].filter((client) => !client.isClosed);
  clients.clear();
  if (interruption === "a lost connection") {
    await Promise.all(open.map((client) => client.drop()));
    if (downMs > 0) await elapse(downMs);
    return;
  }
  await broker.restart(interruption, downMs);
  await Promise.all(open.map((client) => client.closed()));
}
