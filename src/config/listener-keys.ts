/**
 * Numbers under which Sessions remember by which listener their client came, over restarts: the
 * port, where that names one listener; for others a hash of their place.
 */
import { createHash } from "node:crypto";

/** Greater ones, and 0, mean something else: src/protocol/authorization.ts. */
const KEY_MAX = 65_534;

/** Where a listener listens. */
interface Place {
  readonly port: number;
  /** Different for each listener. */
  readonly name: string;
}

/** @returns a key for each, 1 … 65534, in their order: no two have the same */
export function listenerKeys(places: readonly Place[]): number[] {
  const taken = new Set<number>();
  const keys = places.map(({ port }) => {
    if (port === 0 || port > KEY_MAX || taken.has(port)) return 0;
    taken.add(port);
    return port;
  });
  return keys.map((own, index) => {
    if (own !== 0) return own;
    const hash = createHash("sha256").update(places[index]?.name ?? "");
    let key = 1 + (hash.digest().readUInt32LE() % KEY_MAX);
    while (taken.has(key)) key = 1 + (key % KEY_MAX);
    taken.add(key);
    return key;
  });
}
