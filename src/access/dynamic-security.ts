/**
 * Dynamic security: clients, groups and roles in a file, changed while the broker runs, by whoever
 * may publish to its control topic.
 *
 *   request ─▶ waiting ─▶ commands, one after the other ─▶ file ─▶ answers ─▶ the requester's end,
 *                           │                                                 if it is concerned
 *                           └─▶ rules and logins at once; the others that are concerned end
 *
 * Requests that came while a file was written share the next one.
 */
import { pbkdf2Sync, randomBytes } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { NOT_AUTHORIZED } from "#assembly/spec";
import { StartError } from "../base/errors.ts";
import {
  CONTROL_ANSWER_BYTES_MAX,
  CONTROL_WAITING_BYTES_MAX,
  CONTROL_WAITING_MAX,
  DYNAMIC_SECURITY_FILE_BYTES_MAX,
  LOGGED_NAME_CHARACTERS_MAX,
} from "../base/limits.ts";
import type { Log } from "../base/log.ts";
import { replaceFile } from "../base/replace-file.ts";
import type { AccessRules, Authorizer } from "./access-rules.ts";
import {
  CommandRefused,
  ControlAnswer,
  type ControlCommand,
  type ControlEndpoint,
  type ControlReply,
  type Requester,
  readRequest,
  responseTo,
} from "./control-request.ts";
import { CommandUnderway, Concerned } from "./dynamic-security-change.ts";
import { commandOf } from "./dynamic-security-commands.ts";
import { concernedBy } from "./dynamic-security-difference.ts";
import {
  DynamicSecurityFault,
  readDynamicSecurity,
  writeDynamicSecurity,
} from "./dynamic-security-file.ts";
import { initialModel } from "./dynamic-security-initial.ts";
import type { Client, ClientPassword, DynamicSecurityModel } from "./dynamic-security-model.ts";
import { DynamicSecurityRules } from "./dynamic-security-rules.ts";
import type { Authenticator, ConnectRequest, Identity, Verdict } from "./identity.ts";
import { field } from "./json-fields.ts";
import { checkPassword, verdictOf } from "./password-authenticator.ts";
import {
  hashPassword,
  ITERATIONS_DEFAULT,
  passwordHashText,
  SALT_BYTES,
  type StoredPassword,
} from "./password-hash.ts";
import type { PasswordHasher } from "./password-hasher.ts";

/** How long commands may go on before others have their turn, milliseconds. */
const SLICE_MILLISECONDS_MAX = 5;

/** After how long a file that could not be written is tried again, milliseconds. */
const RETRY_MILLISECONDS = 10_000;

const HASH_BYTES = 64;

/** What is done with the connections of those whom a change concerns. */
export interface ConcernedConnections {
  /** What clients may do is to be asked anew. */
  renew(): void;
  /** @param spared  stays for now: it is to have its answer first */
  disconnect(concerned: Concerned, spared: Requester | null): void;
  /** Addresses of the connections of each user. */
  addresses(): ReadonlyMap<string, readonly string[]>;
}

export interface DynamicSecurityOptions {
  readonly file: string;
  /** `plugin_opt_password_init_file`. */
  readonly initialPasswordFile: string | null;
  readonly hasher: PasswordHasher;
  readonly log: Log;
}

interface Waiting {
  readonly request: Buffer;
  readonly from: Requester;
  readonly reply: ControlReply;
}

/** A request that was worked on. */
interface Answered {
  readonly waiting: Waiting;
  readonly answer: ControlAnswer;
  readonly concerned: Concerned;
}

export class DynamicSecurity implements Authenticator, Authorizer, ControlEndpoint {
  readonly topic = "$CONTROL/dynamic-security/v1";
  readonly pluginName = "dynamic-security";
  readonly #options: DynamicSecurityOptions;
  readonly #log: Log;
  #model: DynamicSecurityModel;
  #rules: DynamicSecurityRules;
  /** null: nobody is connected yet. */
  #connections: ConcernedConnections | null = null;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #isWorking = false;
  #isUnsaved = false;
  #isFull = false;
  #isReloadWanted = false;
  #retry: NodeJS.Timeout | null = null;
  #settled: (() => void)[] = [];

  /** @throws StartError where the file is there and cannot be used, or cannot be made */
  constructor(options: DynamicSecurityOptions) {
    this.#options = options;
    this.#log = options.log;
    const model = this.#read();
    this.#model = typeof model === "string" ? this.#refuse(model) : (model ?? this.#initial());
    this.#rules = new DynamicSecurityRules(this.#model);
    if (model === null) this.#work();
  }

  #refuse(sentence: string): never {
    throw new StartError(sentence);
  }

  /** @returns the model, null: there is no file; or why it cannot be used */
  #read(): DynamicSecurityModel | null | string {
    const { file } = this.#options;
    try {
      if (statSync(file).size > DYNAMIC_SECURITY_FILE_BYTES_MAX) {
        return `${file}: longer than ${DYNAMIC_SECURITY_FILE_BYTES_MAX} bytes`;
      }
      return readDynamicSecurity(readFileSync(file, "utf8"), (sentence) =>
        this.#log.warn(`${file}: ${sentence}`),
      );
    } catch (error) {
      if (error instanceof DynamicSecurityFault) return `${file}: ${error.message}`;
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
      return `cannot read ${file}: ${reasonOf(error)}`;
    }
  }

  #initial(): DynamicSecurityModel {
    const { file, initialPasswordFile } = this.#options;
    const { model, passwordsAt } = initialModel({
      file,
      passwordFile: initialPasswordFile,
      environmentPassword: process.env["MOSQUITTO_DYNSEC_PASSWORD"],
      hash: hashAtStart,
    });
    this.#log.notice(
      `Dynamic security: ${file} is not there; it is made, with the password of ${passwordsAt}`,
    );
    this.#isUnsaved = true;
    return model;
  }

  /** From now on those whom changes concern are told. */
  connect(connections: ConcernedConnections): void {
    this.#connections = connections;
  }

  authenticate(request: ConnectRequest): Verdict | Promise<Verdict> | null {
    const { password, userName } = request;
    if (userName === null || password === null) return null;
    const client = this.#model.clients.get(userName);
    if (client === undefined) return null;
    const refused = refusalOf(client, request);
    if (refused !== null) return refused;
    if (client.password === null) return null;
    const { stored } = client.password;
    const checked = checkPassword(this.#options.hasher, stored, request);
    if (!(checked instanceof Promise)) return verdictOf(checked, request);
    return checked.then((settled) => {
      // Meanwhile it may have been disabled, or been given another password.
      const now = this.#model.clients.get(userName);
      if (now === undefined || now.password?.stored !== stored) return verdictOf(false, request);
      return refusalOf(now, request) ?? verdictOf(settled, request);
    });
  }

  decoy(): StoredPassword | null {
    for (const { password } of this.#model.clients.values()) {
      if (password !== null) return password.stored;
    }
    return null;
  }

  decides({ clientId, userName }: Pick<Identity, "clientId" | "userName">): boolean {
    const client = this.#model.clients.get(userName);
    if (client === undefined) return false;
    const isOther = client.clientId !== null && client.clientId !== clientId;
    return client.isDisabled || client.password !== null || isOther;
  }

  /** Whether it is for dynamic security to say what a client may do. */
  knows({ userName }: Identity): boolean {
    return userName === "" || this.#model.clients.has(userName);
  }

  rulesOf(identity: Identity): AccessRules {
    return this.#rules.rulesOf(identity);
  }

  ask(request: Uint8Array, from: Requester, reply: ControlReply): void {
    const isFull = this.#waitingBytes + request.length > CONTROL_WAITING_BYTES_MAX;
    if (isFull || this.#waiting.length >= CONTROL_WAITING_MAX) {
      const answer = new ControlAnswer();
      const name = "Unknown command";
      answer.add(responseTo({ name, correlationData: null }, { error: "Too many requests" }));
      reply(answer.text, false);
      return;
    }
    this.#waiting.push({ request: Buffer.from(request), from, reply });
    this.#waitingBytes += request.length;
    this.#work();
  }

  /**
   * Reads the file again; what is in it is as if it had been changed by commands.
   *
   * @returns why it cannot be used, for the log; what was there stays then
   */
  reload(): string | null {
    if (this.#isWorking || this.#isUnsaved) {
      // What is in memory is newer than the file, and about to be written.
      this.#isReloadWanted = true;
      return null;
    }
    const model = this.#read();
    if (typeof model === "string") return model;
    if (model === null) return `${this.#options.file} is not there`;
    const concerned = concernedBy(this.#model, model);
    this.#model = model;
    this.#changed(concerned, null);
    return null;
  }

  /** Settles when what was asked so far is done and written, or cannot be. */
  settled(): Promise<void> {
    if (!this.#isWorking) return Promise.resolve();
    return new Promise((resolve) => this.#settled.push(resolve));
  }

  #work(): void {
    if (this.#isWorking) return;
    this.#isWorking = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    void this.#workAll();
  }

  async #workAll(): Promise<void> {
    do {
      const answered = await this.#answerSome();
      if (this.#isUnsaved) await this.#save(answered);
      for (const { answer, concerned, waiting } of answered) {
        waiting.reply(answer.text, isConcerned(concerned, waiting.from));
      }
    } while (this.#waiting.length > 0);
    this.#isWorking = false;
    if (this.#isUnsaved) {
      this.#retry = setTimeout(() => this.#work(), RETRY_MILLISECONDS).unref();
    } else if (this.#isReloadWanted) {
      this.#isReloadWanted = false;
      const fault = this.reload();
      if (fault !== null) this.#log.error(`${fault}; what was there before stays`);
    }
    for (const settle of this.#settled.splice(0)) settle();
  }

  /** Works on requests while their answers are not too much to keep. */
  async #answerSome(): Promise<Answered[]> {
    const answered: Answered[] = [];
    let byteCount = 0;
    while (byteCount < CONTROL_ANSWER_BYTES_MAX) {
      const waiting = this.#waiting.shift();
      if (waiting === undefined) break;
      this.#waitingBytes -= waiting.request.length;
      const { answer, concerned } = await this.#answer(waiting);
      byteCount += answer.byteCount;
      answered.push({ waiting, answer, concerned });
    }
    return answered;
  }

  async #answer({ from, request }: Waiting): Promise<Pick<Answered, "answer" | "concerned">> {
    const answer = new ControlAnswer();
    const concerned = new Concerned();
    let isChange = false;
    let sliceMs = performance.now();
    for (const item of readRequest(request)) {
      if ("response" in item) {
        answer.add(item.response);
        continue;
      }
      const underway = await this.#do(item.command, from, answer);
      if (underway?.isChange) {
        isChange = true;
        concerned.addAll(underway.concerned);
      }
      if (performance.now() - sliceMs < SLICE_MILLISECONDS_MAX) continue;
      await nextTurn();
      sliceMs = performance.now();
    }
    if (isChange) {
      this.#isUnsaved = true;
      this.#changed(concerned, from);
    }
    return { answer, concerned };
  }

  async #do(
    command: ControlCommand,
    from: Requester,
    answer: ControlAnswer,
  ): Promise<CommandUnderway | null> {
    const known = commandOf(command.name);
    if (known === undefined) {
      answer.add(responseTo(command, { error: "Unknown command" }));
      return null;
    }
    const named = { ...command, name: known.name };
    const parts = {
      hash: hashOf,
      addresses: () => this.#connections?.addresses() ?? new Map<string, readonly string[]>(),
    };
    const underway = new CommandUnderway(this.#model, named, parts);
    try {
      if (this.#isFull && /^(?:create|add|modify)/.test(known.name)) {
        throw new CommandRefused("The file is as long as it may be");
      }
      const data = await known.work(underway);
      answer.add(responseTo(named, data === null ? {} : { data }), underway.isChange);
      this.#logDone(named, from);
    } catch (error) {
      // A fault of ours ends neither the broker nor what was asked besides.
      const isRefused = error instanceof CommandRefused;
      if (!isRefused) this.#log.error(`Dynamic security: ${known.name}: ${reasonOf(error)}`);
      answer.add(responseTo(named, { error: isRefused ? error.message : "Internal error" }));
    }
    return underway;
  }

  /** A line in mosquitto's form; no password is in it. */
  #logDone({ fields, name }: ControlCommand, { clientId, userName }: Requester): void {
    if (!this.#log.has("information")) return;
    const shown = ["groupname", "username", "rolename", "acltype", "topic", "priority", "allow"];
    const parts = shown.flatMap((key) => {
      const value = field(fields, key);
      // Whoever asks may send anything: an object may refuse to be a text.
      const text = typeof value === "string" ? value : JSON.stringify(value);
      return value === undefined ? [] : [` | ${key}=${clipped(text)}`];
    });
    const who = `${clipped(clientId)}/${clipped(userName)}`;
    this.#log.info(`dynsec: ${who} | ${name}${parts.join("")}`);
  }

  /** The new rights and logins hold from here on. */
  #changed(concerned: Concerned, spared: Requester | null): void {
    this.#rules = new DynamicSecurityRules(this.#model);
    this.#connections?.renew();
    if (!concerned.isEmpty) this.#connections?.disconnect(concerned, spared);
  }

  async #save(answered: readonly Answered[]): Promise<void> {
    const { file } = this.#options;
    try {
      const text = writeDynamicSecurity(this.#model);
      this.#isFull = text.length >= DYNAMIC_SECURITY_FILE_BYTES_MAX / 2;
      await replaceFile(file, text, "broker");
      this.#isUnsaved = false;
    } catch (error) {
      const reason = reasonOf(error);
      this.#log.error(
        `Dynamic security: ${file} cannot be written: ${reason}; what was changed holds until ` +
          "the broker ends, and is tried again",
      );
      for (const { answer } of answered) answer.spoil(`Done, but not saved: ${reason}`);
    }
  }
}

function refusalOf(client: Client, request: ConnectRequest): Verdict | null {
  if (client.isDisabled) return { refused: NOT_AUTHORIZED, reason: "the client is disabled" };
  const clientId = request.takesUserName ? request.userName : request.clientId;
  if (client.clientId === null || client.clientId === clientId) return null;
  return { refused: NOT_AUTHORIZED, reason: "another Client Identifier is set for the user" };
}

function isConcerned(concerned: Concerned, { userName }: Requester): boolean {
  return userName === "" ? concerned.anonymous : concerned.userNames.has(userName);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function clipped(text: string): string {
  if (text.length <= LOGGED_NAME_CHARACTERS_MAX) return text;
  return `${text.slice(0, LOGGED_NAME_CHARACTERS_MAX)}…`;
}

async function hashOf(password: string): Promise<ClientPassword> {
  const stored = await hashPassword(Buffer.from(password), "sha512-pbkdf2");
  return { stored, isOneField: false };
}

function hashAtStart(password: string): ClientPassword {
  const salt = randomBytes(SALT_BYTES);
  const hash = pbkdf2Sync(password, salt, ITERATIONS_DEFAULT, HASH_BYTES, "sha512");
  const iterations = ITERATIONS_DEFAULT;
  const stored = passwordHashText({ kind: "pbkdf2", digest: "sha512", iterations, salt, hash });
  return { stored, isOneField: false };
}
