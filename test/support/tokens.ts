/** JSON Web Tokens for tests, the keys that sign them, and a server of key sets. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, exportSPKI, generateKeyPair, type JWTPayload, SignJWT } from "jose";

export const SECRET = "a secret of more than thirty-two bytes, Xs1";

export type Algorithm = "RS256" | "ES256" | "PS256" | "EdDSA";

/** A key pair with what brokers are given of it. */
export async function keyPair(algorithm: Algorithm, keyId: string) {
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid: keyId, alg: algorithm, use: "sig" };
  return { privateKey, pem: await exportSPKI(publicKey), jwk, algorithm, keyId };
}

export type Signer = Awaited<ReturnType<typeof keyPair>>;

/** @param seconds  until it expires; null: never */
export function token(
  signer: Signer | string,
  claims: JWTPayload,
  seconds: number | null = 60,
): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const payload = seconds === null ? claims : { exp: now + seconds, ...claims };
  const jwt = new SignJWT(payload);
  if (typeof signer === "string") {
    return jwt.setProtectedHeader({ alg: "HS256" }).sign(Buffer.from(signer));
  }
  const { algorithm: alg, keyId: kid, privateKey } = signer;
  return jwt.setProtectedHeader({ alg, kid }).sign(privateKey);
}

/** An unsigned token, which nobody may accept. */
export function unsigned(claims: JWTPayload): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "none", typ: "JWT" })}.${part(claims)}.`;
}

/** A server of key sets: what it answers can be changed. */
export async function keySetServer(keys: readonly Signer[]) {
  const state = { keys: [...keys], status: 200, asked: 0 };
  const server = createServer((_request, response) => {
    state.asked++;
    response.statusCode = state.status;
    response.end(JSON.stringify({ keys: state.keys.map(({ jwk }) => jwk) }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return { state, url: `http://127.0.0.1:${port}/keys`, close };
}
