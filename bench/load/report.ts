/** A run's result as a table for people. */
import type { LoadResult } from "./result.ts";

function decimals(value: number | undefined, digits: number, unit: string): string {
  return value === undefined ? "not known (no --pid)" : `${value.toFixed(digits)} ${unit}`;
}

function mebibytes(bytes: number | undefined): string {
  return decimals(bytes === undefined ? undefined : bytes / 1048576, 1, "MiB");
}

function whole(value: number): string {
  return Math.round(value).toLocaleString("en");
}

/** @returns the table, and plain sentences where the figures need them; ends in a newline */
export function formatReport(result: LoadResult): string {
  const connects = result.scenario === "connect" || result.scenario === "resume";
  const unit = connects ? "connection" : "message";
  const latency = result.latencyMicros;
  const percentiles = [latency.p50, latency.p90, latency.p99, latency.p999, latency.max];
  const flow =
    `, QoS ${result.qos}, ${result.publisherCount} → ${result.subscriberCount}, ` +
    `${result.payloadBytes} B`;
  const rows: [string, string][] = [
    [result.scenario, `${result.transport}, MQTT ${result.protocol}${connects ? "" : flow}`],
    [`${unit}s`, `${whole(result.delivered)} in ${result.seconds.toFixed(2)} s`],
    [`${unit}s/s`, whole(result.deliveredPerSecond)],
    [`broker CPU per ${unit}`, decimals(result.brokerMicrosPerUnit, 3, "µs")],
    [`own CPU per ${unit}`, decimals(result.ownMicrosPerUnit, 3, "µs")],
    [
      "latency p50/p90/p99/p99.9/max",
      `${percentiles.map((micros) => (micros / 1000).toFixed(2)).join(" / ")} ms`,
    ],
    ["broker RSS", mebibytes(result.brokerResidentBytes)],
    ["own RSS", mebibytes(result.ownResidentBytes)],
    [
      "lost/duplicated/misordered/foreign",
      `${result.lost} / ${result.duplicated} / ${result.misordered} / ${result.foreign}`,
    ],
  ];
  if (result.residentBytesPerConnection !== undefined) {
    rows.splice(7, 0, ["broker RSS per connection", `${result.residentBytesPerConnection} B`]);
  }
  for (const part of result.parts ?? []) {
    const cpu = decimals(part.brokerMicrosPerMessage, 3, "µs");
    rows.push([part.name, `${whole(part.messagesPerSecond)} messages/s, broker CPU ${cpu} each`]);
  }
  const width = Math.max(...rows.map(([name]) => name.length));
  const lines = rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`);
  if (result.generatorLimited) {
    lines.push("The load generator, not the broker, was the limit: it used up its core.");
  }
  if (!result.ok) lines.push(`The broker misbehaved: ${result.fault}.`);
  return `${lines.join("\n")}\n`;
}
