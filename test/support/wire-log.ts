/**
 * What a broker answered, as lines of text, and the lines that a wire page expects.
 *
 *   > PUBACK packet_identifier=1 reason=0x00|0x10     this line, with one of two values
 *   > CONNACK assigned_client_identifier=absent       a field that must not be there, or, with
 *                                                     "present", be there with any value
 *   > close                                           the broker closes the Network Connection
 *   >? CONNACK reason=0x81                            may be left out: the standard says "may"
 *   >* PUBACK packet_identifier=1                     any order among neighbours that begin so
 *
 * A line names the fields that matter to its case; other fields may be anything.
 */
import { propertyRow } from "./packets-tables.ts";
import type { Properties, ServerPacket } from "./packets-types.ts";

export interface LogLine {
  /** Name of the packet in capitals, or "close". */
  readonly noun: string;
  readonly fields: readonly (readonly [name: string, value: string])[];
}

export interface ExpectedLine {
  readonly mark: ">" | ">?" | ">*";
  readonly noun: string;
  readonly fields: readonly (readonly [name: string, alternatives: readonly string[]])[];
  readonly text: string;
}

export const CLOSE: LogLine = { noun: "close", fields: [] };

export function describePacket(packet: ServerPacket): LogLine {
  const noun = packet.type.toUpperCase();
  switch (packet.type) {
    case "connack": {
      const reason: Field = ["reason", code(packet.reasonCode)];
      const present: Field = ["session_present", bit(packet.sessionPresent)];
      return { noun, fields: [present, reason, ...describeProperties(packet.properties)] };
    }
    case "publish": {
      const fields: Field[] = [
        ["topic", quote(packet.topicName)],
        ["payload", describeBytes(packet.payload)],
        ["qos", String(packet.qos)],
        ["retain", bit(packet.retain)],
        ["dup", bit(packet.duplicate)],
        ["packet_identifier", String(packet.packetIdentifier)],
      ];
      return { noun, fields: [...fields, ...describeProperties(packet.properties)] };
    }
    case "suback":
    case "unsuback": {
      const reasons: Field = ["reasons", packet.reasonCodes.map(code).join(",")];
      const id: Field = ["packet_identifier", String(packet.packetIdentifier)];
      return { noun, fields: [id, reasons, ...describeProperties(packet.properties)] };
    }
    case "pingresp":
      return { noun, fields: [] };
    case "disconnect":
    case "auth": {
      const reason: Field = ["reason", code(packet.reasonCode)];
      return { noun, fields: [reason, ...describeProperties(packet.properties)] };
    }
    default: {
      const reason: Field = ["reason", code(packet.reasonCode)];
      const id: Field = ["packet_identifier", String(packet.packetIdentifier)];
      return { noun, fields: [id, reason, ...describeProperties(packet.properties)] };
    }
  }
}

type Field = readonly [name: string, value: string];

function describeProperties(properties: Properties): Field[] {
  return properties.map(([identifier, value]) => {
    const name = propertyRow(identifier)?.name ?? String(identifier);
    if (typeof value === "number") return [name, String(value)];
    if (typeof value === "string") return [name, quote(value)];
    if (value instanceof Uint8Array) return [name, describeBytes(value)];
    return [name, `${quote(value[0])}:${quote(value[1])}`];
  });
}

/** In quotes, with escapes for all but printable ASCII: a log hides no character. */
function quote(text: string): string {
  const escaped = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(text).replaceAll(/[^ -~]/g, escaped);
}

/** Text where the bytes are printable ASCII, else hexadecimal digits after `0x`. */
function describeBytes(bytes: Uint8Array): string {
  const isText = bytes.every((byte) => byte >= 0x20 && byte < 0x7f);
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return isText ? quote(buffer.toString("latin1")) : `0x${buffer.toString("hex")}`;
}

function code(reasonCode: number): string {
  return `0x${reasonCode.toString(16).padStart(2, "0")}`;
}

function bit(value: boolean): string {
  return value ? "1" : "0";
}

export function formatLine(line: LogLine): string {
  return ["> ", line.noun, ...line.fields.map(([name, value]) => ` ${name}=${value}`)].join("");
}

const EXPECTED = /^(>[?*]?) (close|[A-Z]+)((?: [a-z_]+=(?:"[^"]*"|[^\s"])+)*)$/;

/** @throws Error if the line is not written as the head of this file says */
export function parseExpectedLine(text: string): ExpectedLine {
  const [, mark, noun, rest] = EXPECTED.exec(text) ?? [];
  if ((mark !== ">" && mark !== ">?" && mark !== ">*") || noun === undefined) {
    throw new Error(`not a line of a log: ${text}`);
  }
  const fields: [string, string[]][] = [];
  for (const [, name, value] of (rest ?? "").matchAll(/ ([a-z_]+)=((?:"[^"]*"|[^\s"])+)/g)) {
    if (name !== undefined && value !== undefined) fields.push([name, value.split("|")]);
  }
  return { mark, noun, fields, text };
}

function fits(expected: ExpectedLine, actual: LogLine | undefined): boolean {
  if (actual === undefined || actual.noun !== expected.noun) return false;
  return expected.fields.every(([name, alternatives]) => {
    const values = actual.fields.filter(([field]) => field === name).map(([, value]) => value);
    if (values.length === 0) return alternatives.includes("absent");
    if (alternatives.includes("present")) return true;
    return values.some((value) => alternatives.includes(value));
  });
}

/**
 * Compares a whole log.
 *
 * @returns what is wrong, or null
 */
export function compareLog(
  expected: readonly ExpectedLine[],
  actual: readonly LogLine[],
): string | null {
  const rest = [...actual];
  for (let index = 0; index < expected.length; index++) {
    const line = expected[index];
    if (line === undefined) break;
    const at = line.mark === ">*" ? findInGroup(expected, index, rest) : 0;
    if (fits(line, rest[at])) rest.splice(at, 1);
    else if (line.mark !== ">?") return complaint(`no line fits: ${line.text}`, actual);
  }
  return rest[0] === undefined ? null : complaint(`not expected: ${formatLine(rest[0])}`, actual);
}

/** Where, among as many lines as the group still has, one fits; 0 if none does. */
function findInGroup(
  expected: readonly ExpectedLine[],
  index: number,
  rest: readonly LogLine[],
): number {
  const line = expected[index];
  const behind = expected.slice(index).findIndex((entry) => entry.mark !== ">*");
  const groupSize = behind === -1 ? expected.length - index : behind;
  const found = rest
    .slice(0, groupSize)
    .findIndex((entry) => line !== undefined && fits(line, entry));
  return Math.max(0, found);
}

function complaint(problem: string, actual: readonly LogLine[]): string {
  return [problem, "in the log:", ...actual.map(formatLine)].join("\n");
}
