/**
 * Requests to a control topic and their answers, as mosquitto has them:
 *
 *   {"commands":  [{"command": "getClient", "username": "u", "correlationData": "1"}]}
 *   {"responses": [{"command": "getClient", "data": {…},     "correlationData": "1"}]}
 *                   or "error": "Client not found" in the place of data, or neither
 */
import {
  CONTROL_ANSWER_BYTES_MAX,
  CONTROL_COMMANDS_MAX,
  CONTROL_DEPTH_MAX,
  CONTROL_REQUEST_BYTES_MAX,
} from "../base/limits.ts";
import { field, isDeeper, isObject, type JsonObject } from "./json-fields.ts";

/** Who asks. */
export interface Requester {
  readonly clientId: string;
  /** "": anonymous. */
  readonly userName: string;
}

/**
 * Takes the text to send back.
 *
 * @param ends  whether the requester is to be disconnected behind it, since it is concerned
 */
export type ControlReply = (text: string, ends: boolean) => void;

/** Something that answers requests to its topic. */
export interface ControlEndpoint {
  readonly topic: string;
  /**
   * Answers a request, some time; requests are answered in their order.
   *
   * @param request  borrowed: dead after the call
   */
  ask(request: Uint8Array, from: Requester, reply: ControlReply): void;
}

/** One command, its fields, and what it was called. */
export interface ControlCommand {
  readonly name: string;
  readonly fields: JsonObject;
  readonly correlationData: string | null;
}

export type ControlResponse = JsonObject;

/** Why a command is not done, in the words of the answer. */
export class CommandRefused extends Error {
  override readonly name = "CommandRefused";
}

/** What stands for a command in an answer, where the request names none. */
const UNKNOWN = "Unknown command";

export function responseTo(
  command: Pick<ControlCommand, "name" | "correlationData">,
  outcome: { readonly error?: string; readonly data?: JsonObject },
): ControlResponse {
  const { name, correlationData } = command;
  return {
    command: name,
    ...outcome,
    ...(correlationData === null ? {} : { correlationData }),
  };
}

function refusal(error: string, name = UNKNOWN): ControlResponse {
  return responseTo({ name, correlationData: null }, { error });
}

const decoder = new TextDecoder("utf-8", { fatal: true });

/** @returns the commands as they stand there, or the answer to what has none */
function listOfCommands(request: Uint8Array): readonly unknown[] | ControlResponse {
  if (request.length > CONTROL_REQUEST_BYTES_MAX) {
    return refusal(`Request longer than ${CONTROL_REQUEST_BYTES_MAX} bytes`);
  }
  let tree: unknown;
  try {
    // What C programs send may end in the NUL of their texts.
    const text = decoder.decode(request).replace(/\0$/, "");
    if (isDeeper(text, CONTROL_DEPTH_MAX)) return refusal("Payload not valid JSON");
    tree = JSON.parse(text);
  } catch {
    return refusal("Payload not valid JSON");
  }
  const commands = isObject(tree) ? field(tree, "commands") : undefined;
  if (!Array.isArray(commands)) return refusal("Invalid/missing commands");
  if (commands.length > CONTROL_COMMANDS_MAX) {
    return refusal(`More than ${CONTROL_COMMANDS_MAX} commands`);
  }
  return commands;
}

/**
 * Takes a request apart.
 *
 * @returns for each command itself, or the response to what is none
 */
export function readRequest(
  request: Uint8Array,
): readonly ({ readonly command: ControlCommand } | { readonly response: ControlResponse })[] {
  const commands = listOfCommands(request);
  if (!Array.isArray(commands)) return [{ response: commands as ControlResponse }];
  const read: ({ command: ControlCommand } | { response: ControlResponse })[] = [];
  for (const fields of commands) {
    const name = isObject(fields) ? field(fields, "command") : undefined;
    if (typeof name !== "string") {
      const error = isObject(fields) ? "Missing command" : "Command not an object";
      read.push({ response: refusal(error) });
      continue;
    }
    const correlationData = field(fields, "correlationData");
    if (correlationData !== undefined && typeof correlationData !== "string") {
      // What follows cannot be told apart from this one: mosquitto stops here, too.
      read.push({ response: refusal("Invalid correlationData data type.", name) });
      break;
    }
    read.push({ command: { name, fields, correlationData: correlationData ?? null } });
  }
  return read;
}

/** Gathers an answer; what would make it too long is told to the requester instead. */
export class ControlAnswer {
  readonly #responses: { readonly text: string; readonly changed: ControlResponse | null }[] = [];
  byteCount = 0;

  /** @param isChange  whether it says that something was changed */
  add(response: ControlResponse, isChange = false): void {
    let text = JSON.stringify(response);
    if (this.byteCount + Buffer.byteLength(text) > CONTROL_ANSWER_BYTES_MAX) {
      text = JSON.stringify(withError(response, TOO_LONG));
    }
    this.byteCount += Buffer.byteLength(text) + 1;
    this.#responses.push({ text, changed: isChange ? response : null });
  }

  /** What was changed is said to have gone wrong after all. */
  spoil(error: string): void {
    for (const [index, { changed }] of this.#responses.entries()) {
      if (changed === null) continue;
      const text = JSON.stringify(withError(changed, error));
      this.#responses[index] = { text, changed };
    }
  }

  get text(): string {
    return `{"responses":[${this.#responses.map(({ text }) => text).join(",")}]}`;
  }
}

const TOO_LONG = "Answer too long; ask for fewer with count and offset";

function withError({ command, correlationData }: ControlResponse, error: string): ControlResponse {
  return { command, error, ...(correlationData === undefined ? {} : { correlationData }) };
}
