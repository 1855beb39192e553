/** CONNECTs that wait for who their clients are: verdicts that come late, fail, or expire. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { Authenticator, ConnectRequest, Verdict } from "../../src/access/identity.ts";
import { hashPassword } from "../../src/access/password-hash.ts";
import { ADMITTED_PER_TURN_MAX } from "../../src/base/limits.ts";
import { EngineHarness } from "../support/engine-harness.ts";
import { beginClient, type HarnessClient } from "../support/engine-harness-client.ts";
import { LISTENER_RULES } from "../support/listener-rules.ts";
import { utf8 } from "../support/packets.ts";

/** Asked about clients, whose answers a test gives later. */
class Slow implements Authenticator {
  readonly requests: ConnectRequest[] = [];
  readonly #answers: { grant: (verdict: Verdict) => void; fail: (error: Error) => void }[] = [];

  authenticate(request: ConnectRequest): Promise<Verdict> {
    this.requests.push(request);
    return new Promise((grant, fail) => {
      this.#answers.push({ grant, fail });
    });
  }

  /** @param until  Unix second at which the proof ends */
  grantAll(until?: number): void {
    for (const [index, { grant }] of this.#answers.splice(0).entries()) {
      const clientId = this.requests[index]?.clientId ?? "";
      grant({ granted: { clientId, userName: "user", rules: null }, ...(until && { until }) });
    }
  }

  failAll(error: Error): void {
    for (const { fail } of this.#answers.splice(0)) fail(error);
  }
}

function asking(): { readonly harness: EngineHarness; readonly slow: Slow } {
  const slow = new Slow();
  return { harness: new EngineHarness({}, null, [slow]), slow };
}

function begin(harness: EngineHarness, name: string, password = "p"): HarnessClient {
  return beginClient(harness, name, {
    connect: { userName: "user", password: utf8(password) },
  });
}

test("a check that fails is nobody's failure: 0x88, and the log says why", async () => {
  const { harness, slow } = asking();
  harness.notices = [];
  const client = begin(harness, "c");
  await harness.settle();
  slow.failAll(new Error("the server burns"));
  await harness.settleLate();
  const [connack] = client.take();
  expect(connack).toMatchObject({ type: "connack", reasonCode: 0x88 });
  expect(harness.notices).toEqual([
    "Client <unknown> [memory] disconnected: server unavailable: " +
      "who it is could not be asked: Error: the server burns (as c).",
  ]);
});

test("an empty password, and an empty user name, are none", async () => {
  const { harness, slow } = asking();
  begin(harness, "c", "");
  beginClient(harness, "d", { connect: { userName: "", password: utf8("p") } });
  await harness.settle();
  expect(slow.requests).toMatchObject([
    { clientId: "c", userName: "user", password: null },
    { clientId: "d", userName: null, password: Buffer.from("p") },
  ]);
});

test("whoever hangs up meanwhile is let in nowhere", async () => {
  const { harness, slow } = asking();
  const [gone, stays] = [begin(harness, "gone"), begin(harness, "stays")];
  await harness.settle();
  gone.hangUp();
  await harness.settle();
  expect(slow.requests.map(({ isGone }) => isGone?.())).toEqual([true, false]);
  slow.grantAll();
  await harness.settleLate();
  stays.expectConnack();
  expect(harness.sessionOf("gone")).toBe(0);
});

test("verdicts that come at once are acted on in several turns, each of them", async () => {
  const { harness, slow } = asking();
  const count = 3 * ADMITTED_PER_TURN_MAX + 1;
  const clients = Array.from({ length: count }, (_, index) => begin(harness, `c${index}`));
  await harness.settle();
  slow.grantAll();
  await harness.settleLate();
  for (const client of clients) client.expectConnack();
});

test("a connection ends with what it showed, unless it has ended before", async () => {
  const { harness, slow } = asking();
  const [stays, gone] = [begin(harness, "stays"), begin(harness, "gone")];
  await harness.settle();
  slow.grantAll(harness.nowSeconds + 10);
  await harness.settleLate();
  stays.expectConnack();
  gone.expectConnack();
  gone.hangUp();
  await harness.settle();
  harness.notices = [];
  harness.advance(9);
  await harness.settle();
  expect(stays.isClosed).toBe(false);
  harness.advance(2);
  const [disconnect] = await stays.answers();
  expect(disconnect).toMatchObject({ type: "disconnect", reasonCode: 0x87 });
  expect(harness.notices).toEqual([
    "Client stays [memory] disconnected: not authorised: its token has expired.",
  ]);
});

/** Access settings with a password file of one user. */
async function settingsWith(password: string) {
  const directory = mkdtempSync(join(tmpdir(), "holdfast-logins-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const passwordFile = join(directory, "users");
  const hash = await hashPassword(Buffer.from(password), "sha512");
  writeFileSync(passwordFile, `user:${hash}\n`, { mode: 0o600 });
  return { ...LISTENER_RULES.access, passwordFile };
}

test("who waits is asked about again once files were read again", async () => {
  const { harness, slow } = asking();
  const [right, wrong] = [begin(harness, "right", "new"), begin(harness, "wrong", "old")];
  await harness.settle();
  expect(harness.domain.reload(await settingsWith("new"))).toEqual([]);
  slow.grantAll();
  await harness.settleLate();
  await harness.settleLate();
  right.expectConnack();
  expect(wrong.take()).toMatchObject([{ type: "connack", reasonCode: 0x87 }]);
  expect(slow.requests.length).toBe(2);
});

test("also where its verdict is out, and waits for its turn", async () => {
  const { harness, slow } = asking();
  const settings = await settingsWith("new");
  const [client, other] = [begin(harness, "client", "old"), begin(harness, "other", "new")];
  await harness.settle();
  slow.grantAll();
  await Promise.resolve();
  expect(harness.domain.reload(settings)).toEqual([]);
  await harness.settleLate();
  await harness.settleLate();
  expect(client.take()).toMatchObject([{ type: "connack", reasonCode: 0x87 }]);
  other.expectConnack();
});

test("where the clock was set back, a token ends by the clock, not an hour later", async () => {
  const { harness, slow } = asking();
  harness.setMachineClock(-3_600);
  const client = begin(harness, "c");
  await harness.settle();
  slow.grantAll(harness.nowSeconds - 3_600 + 10);
  await harness.settleLate();
  client.take();
  harness.advance(8);
  await harness.settle();
  expect(client.isClosed).toBe(false);
  harness.advance(3);
  await harness.settle();
  expect(client.isClosed).toBe(true);
});
