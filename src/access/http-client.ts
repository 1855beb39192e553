/**
 * Questions to the HTTP backend of mosquitto-go-auth, over connections that stay open.
 *
 *   POST /uri  {"username":…,"password":…,"clientid":…,"topic":…,"acc":…}    or as a form
 *   200                                          yes, with response_mode `status`
 *   200 ok                                       yes, with `text`
 *   200 {"ok":true}                              yes, with `json`
 *   4xx, and any other answer of 200             no
 *   5xx, nothing in time, nobody there           unavailable: nobody is let in for it
 */
import http, { type IncomingMessage, type RequestOptions } from "node:http";
import https from "node:https";
import type { HttpAccessSettings } from "../config/settings.ts";
import { HTTP_ANSWER_BYTES_MAX, HTTP_UNDERWAY_MAX } from "./limits.ts";

/** What is asked; numbers are numbers in JSON. */
export type HttpFields = Readonly<Record<string, string | number>>;

/** Why there is no answer, in a sentence for the log. */
export class HttpUnavailable extends Error {
  override readonly name = "HttpUnavailable";
}

export class HttpClient {
  readonly #settings: HttpAccessSettings;
  readonly #agent: http.Agent | https.Agent;

  constructor(settings: HttpAccessSettings) {
    this.#settings = settings;
    const kept = { keepAlive: true, maxSockets: HTTP_UNDERWAY_MAX };
    this.#agent = settings.origin.startsWith("https:")
      ? new https.Agent({ ...kept, rejectUnauthorized: settings.verifiesPeer })
      : new http.Agent(kept);
  }

  /**
   * Asks once; where a connection that was kept turns out to be closed, once more.
   *
   * @throws HttpUnavailable where there is no answer
   */
  async ask(uri: string, fields: HttpFields): Promise<boolean> {
    const { timeoutSeconds } = this.#settings;
    const signal = AbortSignal.timeout(timeoutSeconds * 1000);
    try {
      return await this.#once(uri, fields, signal);
    } catch (error) {
      if (error instanceof StaleConnection) {
        return await this.#once(uri, fields, signal).catch((again: unknown) => {
          throw this.#unavailable(again, signal);
        });
      }
      throw this.#unavailable(error, signal);
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  #unavailable(error: unknown, signal: AbortSignal): HttpUnavailable {
    if (error instanceof HttpUnavailable) return error;
    const { timeoutSeconds } = this.#settings;
    if (signal.aborted) return new HttpUnavailable(`no answer within ${timeoutSeconds} s`);
    return new HttpUnavailable(error instanceof Error ? error.message : String(error));
  }

  async #once(uri: string, fields: HttpFields, signal: AbortSignal): Promise<boolean> {
    const { method, origin, paramsMode, userAgent } = this.#settings;
    const isForm = paramsMode === "form";
    const body = Buffer.from(
      isForm ? new URLSearchParams(asText(fields)).toString() : JSON.stringify(fields),
    );
    const response = await request(`${origin}${uri}`, body, {
      // A form has to be posted.
      method: isForm && method === "GET" ? "POST" : method,
      agent: this.#agent,
      signal,
      headers: {
        "content-type": isForm ? "application/x-www-form-urlencoded" : "application/json",
        "content-length": body.length,
        "user-agent": userAgent,
      },
    });
    return this.#judge(response.statusCode ?? 0, await bodyOf(response));
  }

  #judge(status: number, body: string): boolean {
    if (status >= 500) throw new HttpUnavailable(`status ${status}`);
    if (status < 200 || status >= 300) return false;
    const { responseMode } = this.#settings;
    if (responseMode === "text") return body === "ok";
    return responseMode === "status" || isOk(body);
  }
}

/** A connection of before was closed by the other side, with nothing read. */
class StaleConnection extends Error {
  override readonly name = "StaleConnection";
}

function request(url: string, body: Buffer, options: RequestOptions): Promise<IncomingMessage> {
  const { request: ask } = url.startsWith("https:") ? https : http;
  return new Promise((resolve, reject) => {
    const asked = ask(url, options, resolve);
    asked.once("error", (error: NodeJS.ErrnoException) => {
      const isStale = asked.reusedSocket && error.code === "ECONNRESET";
      reject(isStale ? new StaleConnection() : error);
    });
    asked.end(body);
  });
}

async function bodyOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > HTTP_ANSWER_BYTES_MAX) {
      response.destroy();
      throw new HttpUnavailable(`an answer of more than ${HTTP_ANSWER_BYTES_MAX} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function asText(fields: HttpFields): Record<string, string> {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, `${value}`]));
}

/** Whether a body is `{"ok":true}`. @throws HttpUnavailable where it is no JSON */
function isOk(body: string): boolean {
  try {
    const read: unknown = JSON.parse(body);
    return typeof read === "object" && read !== null && "ok" in read && read.ok === true;
  } catch {
    throw new HttpUnavailable("an answer that is no JSON");
  }
}
