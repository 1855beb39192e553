/**
 * Users that somebody else knows: the backend `http` of mosquitto-go-auth is asked who may connect,
 * who is a superuser, and what each may do. Answers are kept for a while; no answer lets nobody in.
 */
import { NOT_AUTHORIZED, QUOTA_EXCEEDED, SERVER_UNAVAILABLE } from "#assembly/spec";
import type { Log } from "../base/log.ts";
import type { HttpAccessSettings } from "../config/settings.ts";
import { type AccessRules, READ, SUBSCRIBE, UNSUBSCRIBE, WRITE } from "./access-rules.ts";
import { addressKey } from "./address-key.ts";
import { AnswerCache } from "./answer-cache.ts";
import { BUSY, FairWork, type IsGone } from "./fair-queue.ts";
import { HttpClient, type HttpFields, HttpUnavailable } from "./http-client.ts";
import {
  type Authenticator,
  type ConnectRequest,
  hasWildcardInNames,
  type Identity,
  type Verdict,
} from "./identity.ts";
import { HTTP_ANSWERS_KEPT_MAX, HTTP_QUEUED_MAX, HTTP_UNDERWAY_MAX } from "./limits.ts";

/** What a superuser may do. */
const EVERYTHING: AccessRules = { rules: [], defaults: READ | WRITE | SUBSCRIBE | UNSUBSCRIBE };

/** What was answered: yes, no, or nothing, for one of two reasons. */
type Answer = boolean | typeof BUSY | "unavailable";

/** A question, and how long its answer counts. */
interface Question {
  readonly uri: string;
  readonly fields: HttpFields;
  /** The lane in which it waits. */
  readonly address: string;
  readonly cacheSeconds: number;
  readonly isGone?: IsGone;
}

export class HttpBackend implements Authenticator {
  readonly #settings: HttpAccessSettings;
  readonly #log: Log;
  readonly #client: HttpClient;
  readonly #cache = new AnswerCache(HTTP_ANSWERS_KEPT_MAX);
  readonly #work = new FairWork(HTTP_QUEUED_MAX, HTTP_UNDERWAY_MAX);
  #isDown = false;

  constructor(settings: HttpAccessSettings, log: Log) {
    this.#settings = settings;
    this.#log = log;
    this.#client = new HttpClient(settings);
    if (settings.origin.startsWith("https:") && !settings.verifiesPeer) {
      log.warn(
        `${settings.origin}: its certificate is not looked at, and anybody in between could ` +
          "answer in its place; auth_opt_http_verify_peer true looks at it",
      );
    }
  }

  authenticate(request: ConnectRequest): Verdict | Promise<Verdict> | null {
    const { userName, password } = request;
    if (userName === null) return null;
    // As go-auth: a server that looks at the name alone is not asked. An empty password is one.
    if (password === null) return withoutPassword(userName);
    return this.#login(userName, password, request);
  }

  async #login(
    username: string,
    password: Uint8Array,
    { clientId: clientid, remoteAddress, isGone }: ConnectRequest,
  ): Promise<Verdict> {
    const { authCacheSeconds, deniesWildcardNames, superuserUri, userUri } = this.#settings;
    const address = addressKey(remoteAddress);
    const ask = (uri: string, fields: HttpFields): Promise<Answer> =>
      this.#ask({
        ...{ uri, fields, address, cacheSeconds: authCacheSeconds },
        ...(isGone && { isGone }),
      });
    // As go-auth: a password that is no UTF-8 goes out with what stands for it.
    const secret = Buffer.from(password).toString("utf8");
    const isUser = await ask(userUri, { username, password: secret, clientid });
    if (isUser !== true) return refusal(isUser, username);
    const isSuperuser = superuserUri === "" ? false : await ask(superuserUri, { username });
    if (typeof isSuperuser !== "boolean") return refusal(isSuperuser, username);
    const granted = { clientId: clientid, userName: username, rules: null };
    if (!isSuperuser || (deniesWildcardNames && hasWildcardInNames(granted))) return { granted };
    return { granted: { ...granted, rules: EVERYTHING } };
  }

  /**
   * Whether a client may do something with a topic; who cannot be asked allows nothing.
   *
   * @param access  1 read, 2 write, 4 subscribe
   */
  checkAccess({ clientId, userName }: Identity, topic: string, access: number): Promise<boolean> {
    const { aclCacheSeconds, aclUri } = this.#settings;
    const fields = { username: userName, clientid: clientId, topic, acc: access };
    const question = { uri: aclUri, fields, address: clientId, cacheSeconds: aclCacheSeconds };
    return this.#ask(question).then((answer) => answer === true);
  }

  /** No answer is kept any more. */
  forget(): void {
    this.#cache.forget();
  }

  close(): void {
    this.#client.close();
  }

  async #ask({ uri, fields, address, cacheSeconds, isGone }: Question): Promise<Answer> {
    const digest = this.#cache.digest([uri, ...Object.values(fields).map((value) => `${value}`)]);
    const kept = this.#cache.find(digest, performance.now());
    if (kept !== null) return kept;
    try {
      const answer = await this.#work.run(address, () => this.#client.ask(uri, fields), isGone);
      if (answer === BUSY) return BUSY;
      this.#isUp();
      if (cacheSeconds > 0) this.#cache.keep(digest, answer, this.#until(cacheSeconds));
      return answer;
    } catch (error) {
      if (!(error instanceof HttpUnavailable)) throw error;
      this.#down(error.message);
      return "unavailable";
    }
  }

  /** Answers of one moment are not to be asked for again in one moment. */
  #until(cacheSeconds: number): number {
    const jitter = (2 * Math.random() - 1) * this.#settings.cacheJitterSeconds;
    return performance.now() + Math.max(cacheSeconds + jitter, 0) * 1000;
  }

  #down(reason: string): void {
    if (this.#isDown) return;
    this.#isDown = true;
    this.#log.error(
      `${this.#settings.origin} cannot be asked who may connect: ${reason}; ` +
        "nobody that it would have to be asked for comes in",
    );
  }

  #isUp(): void {
    if (!this.#isDown) return;
    this.#isDown = false;
    this.#log.notice(`${this.#settings.origin} answers again`);
  }
}

function withoutPassword(userName: string): Verdict {
  return { refused: NOT_AUTHORIZED, reason: `no password of user ${userName}` };
}

function refusal(answer: Answer, userName: string): Verdict {
  if (answer === BUSY) return { refused: QUOTA_EXCEEDED, reason: "too many questions wait" };
  if (answer === "unavailable") {
    return { refused: SERVER_UNAVAILABLE, reason: "who it is cannot be asked" };
  }
  return { refused: NOT_AUTHORIZED, reason: `the HTTP backend refuses user ${userName}` };
}
