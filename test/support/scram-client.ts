/**
 * A client's side of SCRAM-SHA-256, written from RFC 5802 a second time, and the packets that carry
 * it.
 */
import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import type { TestClient } from "./client.ts";
import { type Part, propertyList, rawConnect, rawPacket, text } from "./client-bytes.ts";

export const METHOD = "SCRAM-SHA-256";

function hmac(key: Buffer, value: string): Buffer {
  return createHmac("sha256", key).update(value).digest();
}

/** What a client of SCRAM knows and says. */
export class ScramClient {
  readonly user: string;
  readonly password: string;
  readonly nonce: string;
  readonly header: string;
  #serverFirst = "";
  #signature = "";

  constructor(user: string, password: string, nonce = "fyko+d2lbbFgONRv9qkxdawL", header = "n,,") {
    this.user = user;
    this.password = password;
    this.nonce = nonce;
    this.header = header;
  }

  #bare(): string {
    const name = this.user.replaceAll("=", "=3D").replaceAll(",", "=2C");
    return `n=${name},r=${this.nonce}`;
  }

  first(): string {
    return this.header + this.#bare();
  }

  /** The attributes of server-first. */
  read(serverFirst: string): { readonly salt: Buffer; readonly iterations: number } {
    this.#serverFirst = serverFirst;
    const [, salt = "", iterations = ""] = /,s=([^,]*),i=([0-9]+)$/.exec(serverFirst) ?? [];
    return { salt: Buffer.from(salt, "base64"), iterations: Number(iterations) };
  }

  /** client-final, the answer to server-first. */
  final(serverFirst: string, changes: { readonly nonce?: string; readonly binding?: string } = {}) {
    const { salt, iterations } = this.read(serverFirst);
    const [, nonce = ""] = /^r=([^,]*)/.exec(serverFirst) ?? [];
    const binding = changes.binding ?? Buffer.from(this.header).toString("base64");
    const withoutProof = `c=${binding},r=${changes.nonce ?? nonce}`;
    const message = `${this.#bare()},${this.#serverFirst},${withoutProof}`;
    const salted = pbkdf2Sync(this.password, salt, iterations, 32, "sha256");
    const clientKey = hmac(salted, "Client Key");
    const signature = hmac(createHash("sha256").update(clientKey).digest(), message);
    const proof = clientKey.map((byte, index) => byte ^ (signature[index] ?? 0));
    this.#signature = hmac(hmac(salted, "Server Key"), message).toString("base64");
    return `${withoutProof},p=${Buffer.from(proof).toString("base64")}`;
  }

  /** server-final as it must be. */
  get verifier(): string {
    return `v=${this.#signature}`;
  }
}

/** The properties Authentication Method and Authentication Data. */
export function authProperties(data: string | Buffer | null, method = METHOD): Part[] {
  const methodPart = [0x15, ...text(method)];
  return data === null ? [methodPart] : [methodPart, [0x16, ...text(data)]];
}

/** An AUTH from a client. */
export function authPacket(reasonCode: number, data: string | Buffer | null, method = METHOD) {
  return rawPacket(0xf0, reasonCode, propertyList(...authProperties(data, method)));
}

/** A CONNECT that names the method. */
export function authConnect(
  clientId: string,
  data: string | Buffer | null,
  more: { readonly method?: string; readonly flags?: number; readonly properties?: Part[] } = {},
): Buffer {
  const properties = [...authProperties(data, more.method), ...(more.properties ?? [])];
  return rawConnect({
    ...(more.flags !== undefined && { flags: more.flags }),
    properties,
    payload: [text(clientId)],
  });
}

/** The next AUTH, with this code and the method; its data. */
export async function nextAuth(client: TestClient, reasonCode: number): Promise<string> {
  const packet = await client.expect("auth");
  if (packet.reasonCode !== reasonCode) throw new Error(`AUTH ${packet.reasonCode}`);
  if (packet.properties?.authenticationMethod !== METHOD) throw new Error("another method");
  return packet.properties.authenticationData?.toString() ?? "";
}
