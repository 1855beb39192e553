/**
 * What clients do, as a table, and what they see: the same script is played on both brokers.
 */
import type { TestClient } from "../support/client.ts";
import type {
  ConnectOptions,
  Delivery,
  PublishOptions,
  SubscribeOptions,
  Version,
} from "../support/client-packets.ts";
import type { Side } from "./mosquitto-pair.ts";

/**
 * Who does what. `open` connects and sends nothing, `receive` awaits so many messages, whose order
 * is not looked at, `take` looks at what came, `ended` awaits the broker's close.
 */
export type Step =
  | readonly ["open", string, Version]
  | readonly ["connect", string, ConnectOptions?]
  | readonly ["subscribe", string, string, SubscribeOptions?]
  | readonly ["unsubscribe", string, string]
  | readonly ["publish", string, string, string, PublishOptions?]
  | readonly ["bytes", string, string]
  | readonly ["take", string]
  | readonly ["receive", string, number?]
  | readonly ["leave", string]
  | readonly ["drop", string]
  | readonly ["ended", string];

export interface Script {
  readonly name: string;
  readonly steps: readonly Step[];
}

/** mosquitto looks for clients that are silent every five seconds. */
const END_MS_MAX = 15_000;

function hex(code: number | undefined): string {
  return `0x${(code ?? 0).toString(16).padStart(2, "0")}`;
}

function told({ topic, payload, qos, retain, properties }: Delivery): string {
  const { messageExpiryInterval, subscriptionIdentifier, contentType } = properties;
  const more = [
    retain ? "retained" : "",
    contentType === undefined ? "" : `of type ${contentType}`,
    messageExpiryInterval === undefined ? "" : "expires",
    subscriptionIdentifier === undefined ? "" : `for ${subscriptionIdentifier}`,
  ];
  return [`${topic} ${payload} QoS ${qos}`, ...more.filter((word) => word !== "")].join(", ");
}

/** A DISCONNECT that came, and the close. */
async function endOf(client: TestClient): Promise<string> {
  await client.closed(END_MS_MAX);
  const disconnect = client.takeAll("disconnect")[0];
  return disconnect === undefined ? "closed" : `closed with ${hex(disconnect.reasonCode)}`;
}

async function act(side: Side, clients: Map<string, TestClient>, step: Step): Promise<string[]> {
  const [kind, who] = step;
  if (kind === "open") {
    clients.set(who, await side.open({ version: step[2] }));
    return [];
  }
  if (kind === "connect") {
    const client = await side.connecting({ clientId: who, ...step[2] });
    clients.set(who, client);
    const { reasonCode, returnCode, sessionPresent } = await client.expectConnack();
    const code = hex(client.version === 5 ? reasonCode : returnCode);
    return [`CONNACK ${code}${sessionPresent ? ", Session Present" : ""}`];
  }
  const client = clients.get(who);
  if (client === undefined) throw new Error(`${who} is not connected`);
  if (kind === "subscribe") return [`SUBACK ${hex(await client.subscribe(step[2], step[3]))}`];
  if (kind === "unsubscribe") {
    const codes = await client.unsubscribe(step[2]);
    return [`UNSUBACK ${codes.map(hex).join(" ")}`];
  }
  if (kind === "publish") {
    const code = hex(await client.publish(step[2], step[3], step[4]));
    // Nothing answers QoS 0: what follows is behind it all the same.
    await client.ping();
    return [step[4]?.qos ? `acknowledged ${code}` : "sent"];
  }
  if (kind === "bytes") {
    client.sendBytes(Buffer.from(step[2], "hex"));
    return ["bytes sent"];
  }
  if (kind === "receive") {
    const deliveries: Delivery[] = [];
    while (deliveries.length < (step[2] ?? 1)) deliveries.push(await client.receive());
    return deliveries.map(told).sort();
  }
  if (kind === "take") {
    await client.ping();
    const deliveries = client.takeDeliveries();
    for (const delivery of deliveries) await client.acknowledge(delivery);
    return deliveries.length === 0 ? ["nothing"] : deliveries.map(told).sort();
  }
  if (kind === "leave") await client.disconnect();
  if (kind === "drop") await client.drop();
  return kind === "ended" ? [await endOf(client)] : [];
}

/** Plays a script; what each step saw, a line each. */
export async function play(side: Side, script: Script): Promise<string[]> {
  const clients = new Map<string, TestClient>();
  const seen: string[] = [];
  try {
    for (const step of script.steps) {
      const [kind, who] = step;
      try {
        for (const line of await act(side, clients, step)) seen.push(`${who} ${kind}: ${line}`);
      } catch (error) {
        const client = clients.get(who);
        if (client?.isClosed !== true) throw error;
        seen.push(`${who} ${kind}: ${await endOf(client)}`);
      }
    }
  } finally {
    for (const client of clients.values()) client.destroy();
  }
  return seen;
}
