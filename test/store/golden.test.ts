/**
 * Data directories of each format version, written once and kept: what a broker of that version
 * acknowledged is there for the one of today.
 *
 * `GOLDEN_WRITE=1` writes the one of the present format anew; that is for a new format only.
 */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { STORE_FORMAT } from "../../src/store/marker.ts";
import { elapse } from "../support/await.ts";
import { TestClient } from "../support/client.ts";
import type { ConnectOptions } from "../support/client-packets.ts";
import { startBroker } from "../support/running-broker.ts";

const GOLDEN = fileURLToPath(new URL("./golden/", import.meta.url));
const { GOLDEN_WRITE } = process.env;

/** Never expires: the directory is as old as it gets. */
const LASTING = { sessionExpiryInterval: 0xffff_ffff };
const FIVE: ConnectOptions = { version: 5, clientId: "five", clean: false, properties: LASTING };
const FOUR: ConnectOptions = { version: 4, clientId: "four", clean: false };
const QUEUED = Array.from({ length: 100 }, (_, index) => `queued ${index}`);
/** Longer than an index cycle waits: some of it is in the index, the rest in the journal. */
const INDEXED_MS = 4_500;

async function write(directory: string): Promise<void> {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const broker = await startBroker({ dataDirectory: directory });
  const five = await TestClient.connect(broker, FIVE);
  await five.subscribe("queue/+", { qos: 2, subscriptionIdentifier: 7 });
  const four = await TestClient.connect(broker, FOUR);
  await four.subscribe("queue/#", { qos: 1 });
  // A QoS 2 message that is received and not released, and one that is sent and not received.
  four.sendPublish("half", "received", { qos: 2, packetIdentifier: 99 });
  await four.expect("pubrec", 99);
  const publisher = await TestClient.connect(broker);
  await publisher.publish("queue/half", "sent", { qos: 2 });
  await five.expectPublish({ payload: "sent" });
  await five.drop();
  await four.drop();
  await publisher.publish("kept", "retained", { qos: 1, retain: true });
  for (const [index, text] of QUEUED.entries()) {
    if (index === QUEUED.length / 2) await elapse(INDEXED_MS);
    await publisher.publish("queue/a", text, { qos: 1 });
  }
  await broker.kill9();
  // What the next broker makes anew.
  const made = /^(?:holdfast\.lock|holdfast-.*\.sock|index\.mdb-lock)$/;
  for (const name of readdirSync(directory)) {
    if (made.test(name)) rmSync(join(directory, name));
  }
  for (const name of readdirSync(join(directory, "journal"))) {
    if (name.startsWith("spare-")) rmSync(join(directory, "journal", name));
  }
}

if (GOLDEN_WRITE !== undefined) await write(join(GOLDEN, `format-${STORE_FORMAT}`));

test("there is a golden directory of the present format", () => {
  expect(readdirSync(GOLDEN)).toContain(`format-${STORE_FORMAT}`);
});

test.each(readdirSync(GOLDEN))("%s opens, and nothing is missing", async (name) => {
  const dataDirectory = mkdtempSync(join(tmpdir(), "holdfast-golden-"));
  cpSync(join(GOLDEN, name), dataDirectory, { recursive: true });
  const broker = await startBroker({ dataDirectory });
  try {
    const five = await TestClient.connect(broker, FIVE);
    expect(five.connack?.sessionPresent).toBe(true);
    await five.receive({ topic: "queue/half", payload: "sent", qos: 2, dup: true });
    for (const payload of QUEUED) await five.receive({ topic: "queue/a", payload, qos: 1 });
    const four = await TestClient.connect(broker, FOUR);
    expect(four.connack?.sessionPresent).toBe(true);
    for (const payload of ["sent", ...QUEUED]) await four.receive({ payload, qos: 1 });
    // It is not released yet: a repeat is answered, and goes nowhere.
    await five.subscribe("half", { qos: 2 });
    four.sendPublish("half", "received", { qos: 2, packetIdentifier: 99, dup: true });
    await four.expect("pubrec", 99);
    four.send({ cmd: "pubrel", messageId: 99 });
    await four.expect("pubcomp", 99);
    await five.expectNothing();
    await four.subscribe("kept", { qos: 1 });
    await four.receive({ payload: "retained", retain: true });
  } finally {
    await broker.stop();
    rmSync(dataDirectory, { recursive: true, force: true });
  }
});
