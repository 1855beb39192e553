/** What a client may do, between those who decide it and the engine: rules and questions. */
import { describe, expect, test } from "vitest";
import * as abi from "#assembly/abi";
import {
  type AccessQuestion,
  type AccessRules,
  READ,
  SUBSCRIBE,
  UNSUBSCRIBE,
  WRITE,
} from "../../src/access/access-rules.ts";
import type { Authenticator } from "../../src/access/identity.ts";
import type { Decidings } from "../../src/protocol/authorization.ts";
import { EngineHarness } from "../support/engine-harness.ts";
import {
  beginClient,
  type ClientOptions,
  connectClient,
  type HarnessClient,
} from "../support/engine-harness-client.ts";
import { subscribe, unsubscribe, will } from "../support/packets.ts";

const ALL = READ | WRITE | SUBSCRIBE | UNSUBSCRIBE;
const EVERYTHING: AccessRules = { rules: [], defaults: ALL };
const NOTHING: AccessRules = { rules: [], defaults: 0 };
const LASTING: ClientOptions = { clean: false, expirySeconds: 3600 };
const MEMORY_BYTES_MAX = 32 * 1024 * 1024;
/** Session numbers that are looked at between two looks at the clock. */
const RENEWED_AT_ONCE = 64;

/** Those who decide, as a test has them now. */
interface Present {
  rules: AccessRules | null;
  isActive: boolean;
  ofListener: "same" | null;
}

function decided(rules: AccessRules | null, more: Partial<Decidings> = {}) {
  const present: Present = { rules, isActive: true, ofListener: "same" };
  const authorizer = { rulesOf: () => present.rules };
  const deciding = () => ({
    authorizer: present.isActive ? authorizer : null,
    deniesSubscribe: true,
  });
  const harness = new EngineHarness({ memoryBytesMax: MEMORY_BYTES_MAX }, null, [], {
    of: deciding,
    ofListener: () => (present.ofListener === null ? null : deciding()),
    isActive: () => present.isActive,
    ...more,
  });
  return { harness, present };
}

/** Lets a client in, or everybody, with rules of its own where there are some. */
function granting(rules: AccessRules | null, whom: string | null = null): Authenticator {
  return {
    authenticate: ({ clientId, userName }) =>
      whom === null || clientId === whom
        ? { granted: { clientId, userName: userName ?? "", rules } }
        : null,
  };
}

function question(ask: AccessQuestion["ask"], holdsSeconds = 60): AccessRules {
  return { ...NOTHING, question: { actions: ALL, holdsSeconds, ask } };
}

/** Too much for the memory. */
function tooManyRules(): AccessRules {
  const rule = { actions: READ, allows: true, filter: "x".repeat(65_000), isLiteral: true };
  return { rules: Array.from({ length: 1_000 }, () => rule), defaults: 0 };
}

async function published(client: HarnessClient, topic: string): Promise<number> {
  client.publish(topic, 1, { packetIdentifier: 9 });
  const answers = await client.answers();
  const puback = answers.find(({ type }) => type === "puback");
  if (puback?.type !== "puback") throw new Error(`no PUBACK: ${JSON.stringify(answers)}`);
  return puback.reasonCode;
}

test("by which listener a client came is kept where somebody decides", async () => {
  const kept = async (more: Partial<Decidings>, isActive = true): Promise<number> => {
    const { harness, present } = decided(EVERYTHING, more);
    present.isActive = isActive;
    await connectClient(harness, "c", { ...LASTING, listener: { key: 54_321 } });
    const session = harness.sessionOf("c");
    return harness.engine.word(session + abi.SESSION_USER_BYTES) >>> 16;
  };
  expect(await kept({})).toBe(54_321);
  expect(await kept({ areSeveral: () => true }, false)).toBe(54_321);
  expect(await kept({}, false)).toBe(0);
});

describe("without memory for rules", () => {
  test("CONNECT is refused with 0x97", async () => {
    const { harness } = decided(tooManyRules());
    const [connack] = await beginClient(harness, "c", LASTING).answers();
    expect(connack).toMatchObject({ type: "connack", reasonCode: 0x97 });
  });

  test("of whom nobody can be asked any more nothing is allowed, and it goes on", async () => {
    const { harness, present } = decided(question(() => true, 0));
    const client = await connectClient(harness, "c");
    expect(await published(client, "t")).toBe(0x10);
    present.rules = tooManyRules();
    await harness.authorization.renew();
    expect(await published(client, "t")).toBe(0x87);
    present.rules = EVERYTHING;
    await harness.authorization.renew();
    expect(await published(client, "t")).toBe(0x10);
  });
});

describe("another user's Session", () => {
  const userNames = ["one", "other"];

  async function present(rules: AccessRules, users: readonly string[]) {
    const deciding = () => ({ authorizer: { rulesOf: () => rules }, deniesSubscribe: false });
    const decide = { of: deciding, ofListener: deciding, isActive: () => true };
    const harness = new EngineHarness({}, null, [granting(null)], decide);
    let isPresent: boolean | undefined;
    for (const userName of users) {
      const client = beginClient(harness, "c", { ...LASTING, connect: { userName } });
      await harness.settle();
      client.expectConnack();
      client.hangUp();
      await harness.settle();
      isPresent = client.connack?.sessionPresent;
    }
    return isPresent;
  }

  test("is not taken up where its subscriptions would have to be asked about", async () => {
    expect(
      await present(
        question(() => true),
        userNames,
      ),
    ).toBe(false);
  });

  test("is, where rules say what comes to it; its own always is", async () => {
    expect(await present(EVERYTHING, userNames)).toBe(true);
    expect(
      await present(
        question(() => true),
        ["one", "one"],
      ),
    ).toBe(true);
  });
});

describe("the will of a client that brings its rules", () => {
  test.for([
    ["goes out where they allow it", EVERYTHING, ["t"]],
    ["does not where they do not", NOTHING, []],
  ] as const)("%s", async ([, rules, topics]) => {
    const deciding = () => ({ authorizer: null, deniesSubscribe: false });
    const decide = { of: deciding, ofListener: deciding, isActive: () => true };
    const harness = new EngineHarness({}, null, [granting(rules, "c"), granting(null)], decide);
    const watching = await connectClient(harness, "watching");
    watching.subscribe("#", 0);
    const connect = { will: will({ topicName: "t", qos: 1 }) };
    const client = await connectClient(harness, "c", { ...LASTING, connect });
    client.hangUp();
    await harness.settle();
    expect(watching.takePublished().map(({ topicName }) => topicName)).toEqual(topics);
  });
});

test("a will that a rule denies is not asked about", async () => {
  const asked: string[] = [];
  const ask = (_: unknown, __: number, topic: string) => asked.push(topic) > 0;
  const denied = { actions: WRITE, allows: false, filter: "no/#", isLiteral: false };
  const { harness } = decided({ ...question(ask), defaults: ALL, rules: [denied] });
  for (const topicName of ["no/t", "t"]) {
    const connect = {
      will: will({ topicName, qos: 1, retain: true, payload: Buffer.from("gone") }),
    };
    const client = await connectClient(harness, "c", { ...LASTING, connect });
    client.hangUp();
    await harness.settle();
  }
  expect(asked).toEqual(["t"]);
  await harness.settle();
  expect(harness.engine.calls.retainedCount()).toBe(1);
});

test("what a client retained by rules of its own is not judged by others", async () => {
  const deciding = () => ({ authorizer: { rulesOf: () => NOTHING }, deniesSubscribe: false });
  const harness = new EngineHarness({}, null, [granting(EVERYTHING)], {
    of: deciding,
    ofListener: deciding,
    isActive: () => true,
    checksSources: () => true,
  });
  const publisher = await connectClient(harness, "c");
  publisher.publish("t", 1, { packetIdentifier: 1, retain: true, payload: Buffer.from("kept") });
  await harness.settle();
  await harness.authorization.renew();
  const reader = await connectClient(harness, "reader");
  reader.subscribe("t", 0);
  await harness.settle();
  expect(reader.takePublished()).toMatchObject([{ topicName: "t", retain: true }]);
});

describe("SUBSCRIBE where all that a filter matches has to be allowed", () => {
  const rules: AccessRules = {
    rules: [{ actions: READ, allows: true, filter: "mine/#", isLiteral: false }],
    defaults: SUBSCRIBE | UNSUBSCRIBE,
  };

  test("is refused with 0x87 otherwise; UNSUBSCRIBE is not", async () => {
    const { harness } = decided(rules);
    const client = await connectClient(harness, "c");
    client.send(
      subscribe(1, [
        { topicFilter: "mine/a", qos: 1 },
        { topicFilter: "#", qos: 1 },
      ]),
    );
    client.send(unsubscribe(2, ["mine/a", "#"]));
    expect(await client.answers()).toMatchObject([
      { type: "suback", reasonCodes: [1, 0x87] },
      { type: "unsuback", reasonCodes: [0, 0x11] },
    ]);
  });
});

describe("an answer about a topic", () => {
  test.for([
    [60, 1],
    [0, 3],
  ])("that holds for %i s is asked for %i times of 3", async ([holdsSeconds = 0, times]) => {
    let asked = 0;
    const count = () => ++asked > 0;
    const { harness } = decided(question(count, holdsSeconds));
    const client = await connectClient(harness, "c");
    for (let i = 0; i < 3; i++) expect(await published(client, "t")).toBe(0x10);
    expect(asked).toBe(times);
  });

  test("holds until rules are renewed, though they are the same", async () => {
    let isAllowed = true;
    const { harness } = decided(question(() => isAllowed));
    const client = await connectClient(harness, "c");
    expect(await published(client, "t")).toBe(0x10);
    isAllowed = false;
    expect(await published(client, "t")).toBe(0x10);
    await harness.authorization.renew();
    expect(await published(client, "t")).toBe(0x87);
  });

  test("that fails is a no", async () => {
    const { harness } = decided(question(() => Promise.reject(new Error("away"))));
    const client = await connectClient(harness, "c");
    expect(await published(client, "t")).toBe(0x87);
  });
});

test("what is denied is logged where that is asked for, and the client goes on", async () => {
  const { harness } = decided(NOTHING);
  const client = await connectClient(harness, "c");
  harness.debugs = [];
  await harness.authorization.renew();
  client.publish("t", 1, { packetIdentifier: 9, payload: Buffer.from("four") });
  client.publish("u", 0);
  expect(await client.answers()).toMatchObject([{ type: "puback", reasonCode: 0x87 }]);
  expect(harness.debugs).toEqual([
    "Denied PUBLISH from c (d0, q1, r0, m9, 't', ... (4 bytes))",
    "Denied PUBLISH from c (d0, q0, r0, m0, 'u', ... (0 bytes))",
  ]);
});

describe("when rules change", () => {
  /** Sessions that are away, as many. */
  async function away(harness: EngineHarness, count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const client = await connectClient(harness, `away${i}`, LASTING);
      client.hangUp();
    }
    await harness.settle();
  }

  function mayRead(harness: EngineHarness, clientId: string): boolean {
    const session = harness.sessionOf(clientId);
    const topicBytes = harness.engine.scratch.write("t");
    return harness.engine.calls.mayRead(session, abi.SCRATCH, topicBytes) === 1;
  }

  test("a connected client has those of now, for SUBSCRIBE as well", async () => {
    const { harness, present } = decided(NOTHING);
    const client = await connectClient(harness, "c");
    const code = async () => {
      client.subscribe("t", 1);
      const [suback] = await client.answers();
      return suback;
    };
    expect(await code()).toMatchObject({ reasonCodes: [0x87] });
    present.rules = null;
    await harness.authorization.renew();
    expect(await code()).toMatchObject({ reasonCodes: [1] });
    present.rules = NOTHING;
    await harness.authorization.renew();
    expect(await code()).toMatchObject({ reasonCodes: [0x87] });
  });

  test("all that are away have them, in slices", async () => {
    const { harness, present } = decided(EVERYTHING);
    const count = RENEWED_AT_ONCE + 1;
    await away(harness, count);
    present.rules = NOTHING;
    await harness.authorization.renew();
    const names = Array.from({ length: count }, (_, index) => `away${index}`);
    expect(names.filter((name) => mayRead(harness, name))).toEqual([]);
  });

  test("others have their turns meanwhile", async () => {
    const { harness } = decided(EVERYTHING);
    const { calls, scratch } = harness.engine;
    for (let i = 0; i < 50_000; i++) {
      calls.createSession(abi.SCRATCH, scratch.write(`away${i}`), 0, 5, 3600);
    }
    let turns = 0;
    let isOver = false;
    const count = (): void => {
      turns++;
      if (!isOver) setImmediate(count);
    };
    count();
    await harness.authorization.renew();
    isOver = true;
    expect(turns).toBeGreaterThan(3);
  });

  test("nobody decides any more: no rules are left", async () => {
    const { harness, present } = decided(NOTHING);
    await away(harness, 1);
    expect(harness.engine.calls.ruleSetCount()).toBe(1);
    present.isActive = false;
    await harness.authorization.renew();
    expect(harness.engine.calls.ruleSetCount()).toBe(0);
    expect(mayRead(harness, "away0")).toBe(true);
  });

  test("a Session of a listener that is gone reads nothing, one of none everything", async () => {
    const { harness, present } = decided(EVERYTHING);
    await away(harness, 1);
    present.ofListener = null;
    await harness.authorization.renew();
    expect(mayRead(harness, "away0")).toBe(false);
    const open = decided(null, {});
    open.present.isActive = false;
    await away(open.harness, 1);
    open.present.isActive = true;
    open.present.rules = NOTHING;
    open.present.ofListener = null;
    await open.harness.authorization.renew();
    expect(mayRead(open.harness, "away0")).toBe(true);
  });
});
