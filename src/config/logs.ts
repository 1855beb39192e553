/** From the lines about the log to LogSettings. */
import {
  LOG_TYPES,
  LOG_TYPES_DEFAULT,
  type LogDestination,
  type LogSettings,
  type LogType,
} from "../base/log.ts";
import { type Findings, linesOf, valueIn } from "./entries.ts";
import type { Entry } from "./parse.ts";
import type { CommandLine } from "./settings.ts";

/** Destinations of mosquitto's that are accepted and not served, and what is there instead. */
const UNSERVED_DESTINATIONS: readonly string[] = ["dlt", "android"];

/** Where the log goes, and what goes there. */
export function logOf(
  entries: readonly Entry[],
  flags: CommandLine,
  findings: Findings,
): LogSettings {
  for (const { value, at } of linesOf(entries, "log_dest")) {
    if (!UNSERVED_DESTINATIONS.includes(value.kind)) continue;
    findings.warnings.push(
      `${at}: log_dest ${value.kind} is not supported and ignored; use syslog`,
    );
  }
  return {
    destinations: flags.quiet ? [] : logDestinations(entries, flags),
    types: new Set(flags.verbose ? LOG_TYPES : logTypes(entries)),
    timestamp: valueIn(entries, "log_timestamp") ?? true,
    timestampFormat: valueIn(entries, "log_timestamp_format") ?? "",
    format: valueIn(entries, "log_format") === "json" ? "json" : "text",
    facility: valueIn(entries, "log_facility"),
  };
}

/**
 * Lines add up until a `none`; where only unserved ones are asked for, stderr serves, or syslog in
 * the background.
 */
function logDestinations(entries: readonly Entry[], { daemon }: CommandLine): LogDestination[] {
  const lines = linesOf(entries, "log_dest");
  let destinations = new Map<string, LogDestination>();
  let isDefault = true;
  for (const { value } of lines) {
    if (value.kind === "none") {
      destinations = new Map();
      isDefault = false;
    } else if (value.kind === "file") {
      destinations.set(`file ${value.path}`, { kind: "file", path: value.path });
    } else if (value.kind !== "dlt" && value.kind !== "android") {
      destinations.set(value.kind, { kind: value.kind });
    }
  }
  if (destinations.size === 0 && isDefault) return [{ kind: daemon ? "syslog" : "stderr" }];
  return [...destinations.values()];
}

/** Lines add up; `none` takes back those above it. */
function logTypes(entries: readonly Entry[]): ReadonlySet<LogType> {
  const lines = linesOf(entries, "log_type");
  if (lines.length === 0) return new Set(LOG_TYPES_DEFAULT);
  let types = new Set<LogType>();
  for (const { value } of lines) {
    if (value === "none") types = new Set();
    else if (value === "all") types = new Set(LOG_TYPES);
    else types.add(value === "internal" ? "debug" : value);
  }
  return types;
}
