/** CONNECT by what its listener asks for, and while it is asked who the client is. */
import { describe, expect, test } from "vitest";
import { ASSIGNED_CLIENT_IDENTIFIER } from "#assembly/spec";
import type { Authenticator, ConnectRequest, Verdict } from "../../src/access/identity.ts";
import { OVERLOADED_SAMPLES_MIN } from "../../src/base/limits.ts";
import { EngineHarness } from "../support/engine-harness.ts";
import {
  beginClient,
  type ClientOptions,
  connectClient,
} from "../support/engine-harness-client.ts";
import { will } from "../support/packets.ts";

/** Lets everybody in: at once, or when a test says so. */
class Trusting implements Authenticator {
  readonly requests: ConnectRequest[] = [];
  readonly #isSlow: boolean;
  #waiting: (() => void)[] = [];

  constructor(isSlow: boolean) {
    this.#isSlow = isSlow;
  }

  authenticate(request: ConnectRequest): Verdict | Promise<Verdict> {
    this.requests.push(request);
    const { clientId, userName } = request;
    const verdict: Verdict = { granted: { clientId, userName: userName ?? "", rules: null } };
    if (!this.#isSlow) return verdict;
    return new Promise((resolve) => {
      this.#waiting.push(() => resolve(verdict));
    });
  }

  answerAll(): void {
    for (const answer of this.#waiting.splice(0)) answer();
  }
}

async function refusal(harness: EngineHarness, clientId: string, options: ClientOptions) {
  const [connack, ...more] = await beginClient(harness, clientId, options).answers();
  expect(more).toEqual([]);
  return connack?.type === "connack" ? connack.reasonCode : null;
}

describe("a listener", () => {
  test("serves the versions of accept_protocol_versions only", async () => {
    const harness = new EngineHarness();
    const listener = { protocolVersions: new Set([3, 4] as const) };
    expect(await refusal(harness, "five", { listener })).toBe(0x84);
    await connectClient(harness, "four", { version: 4, listener });
  });

  test("counts each CONNECT once, also one that waits for who it is", async () => {
    const slow = new Trusting(true);
    const harness = new EngineHarness({}, null, [slow]);
    const listener = { connectRatePerAddress: 2 };
    const clients = ["a", "b"].map((name) => beginClient(harness, name, { listener }));
    expect(await refusal(harness, "c", { listener })).toBe(0x9f);
    slow.answerAll();
    await harness.settleLate();
    for (const client of clients) client.expectConnack();
  });

  test("that takes user names as Client Identifiers takes none with U+0000", async () => {
    const harness = new EngineHarness({}, null, [
      { authenticate: () => ({ granted: { clientId: "", userName: "a\0b", rules: null } }) },
    ]);
    expect(await refusal(harness, "c", { listener: { usernameAsClientId: true } })).toBe(0x85);
  });

  test("below whose mount point a will has no room refuses it with 0x90", async () => {
    const harness = new EngineHarness();
    const listener = { mountPoint: `${"m".repeat(1000)}/` };
    const bytes = 65_535 - listener.mountPoint.length;
    const withWill = (topicBytes: number): ClientOptions => ({
      listener,
      connect: { will: will({ topicName: "w".repeat(topicBytes) }) },
    });
    expect(await refusal(harness, "c", withWill(bytes + 1))).toBe(0x90);
    await connectClient(harness, "c", withWill(bytes));
  });
});

describe("while it is asked who the client is", () => {
  test("what is behind its CONNECT waits, in order", async () => {
    const slow = new Trusting(true);
    const harness = new EngineHarness({}, null, [slow]);
    const client = beginClient(harness, "c");
    client.send({ type: "pingreq" });
    client.subscribe("t", 1);
    expect(await client.answers()).toEqual([]);
    slow.answerAll();
    await harness.settleLate();
    const answers = client.take();
    expect(answers.map(({ type }) => type)).toEqual(["connack", "pingresp", "suback"]);
  });

  test("it has the Client Identifier that was assigned to it", async () => {
    const slow = new Trusting(true);
    const harness = new EngineHarness({}, null, [slow]);
    const client = beginClient(harness, "");
    await harness.settle();
    slow.answerAll();
    await harness.settleLate();
    client.expectConnack();
    const [asked] = slow.requests;
    expect(asked?.clientId).not.toBe("");
    expect(client.connack?.properties).toContainEqual([
      ASSIGNED_CLIENT_IDENTIFIER,
      asked?.clientId,
    ]);
  });
});

test("what is behind a CONNECT whose Session is to be on disk waits for the CONNACK", async () => {
  const harness = new EngineHarness();
  const client = beginClient(harness, "c", { clean: false, expirySeconds: 60 });
  client.send({ type: "pingreq" });
  const answers = await client.answers();
  expect(answers.map(({ type }) => type)).toEqual(["connack", "pingresp"]);
});

describe("an overloaded broker", () => {
  const LASTING = { clean: false, expirySeconds: 3600 };

  function overload(harness: EngineHarness): void {
    for (let i = 0; i < OVERLOADED_SAMPLES_MIN; i++) harness.advance(1);
  }

  test("takes who has a Session, and nobody else: 0x89", async () => {
    const harness = new EngineHarness({ overloadMilliseconds: 0 });
    (await connectClient(harness, "known", LASTING)).hangUp();
    overload(harness);
    expect(await refusal(harness, "new", LASTING)).toBe(0x89);
    expect(await refusal(harness, "", {})).toBe(0x89);
    await connectClient(harness, "known", LASTING);
  });

  test("knows it by its user name where that is its Client Identifier", async () => {
    const harness = new EngineHarness({ overloadMilliseconds: 0 }, null, [new Trusting(false)]);
    const listener = { usernameAsClientId: true };
    const known = { ...LASTING, listener, connect: { userName: "known" } };
    (await connectClient(harness, "c", known)).hangUp();
    overload(harness);
    expect(await refusal(harness, "c", { ...LASTING, listener })).toBe(0x89);
    const other = { ...known, connect: { userName: "other" } };
    expect(await refusal(harness, "known", other)).toBe(0x89);
    await connectClient(harness, "c", known);
  });

  test("judges a CONNECT before it asks who that is, not after", async () => {
    const slow = new Trusting(true);
    const harness = new EngineHarness({ overloadMilliseconds: 0 }, null, [slow]);
    const client = beginClient(harness, "new", LASTING);
    await harness.settle();
    overload(harness);
    slow.answerAll();
    await harness.settleLate();
    client.expectConnack();
  });
});
