/** Topic Filters of clients below a mount point. */
import * as abi from "#assembly/abi";
import type { Engine } from "../engine/engine.ts";

/** Longest string of a packet, in bytes of UTF-8.                                     [§1.5.4] */
export const STRING_BYTES_MAX = 65_535;

/** The part of a shared subscription that stands before its Topic Filter, §4.8.2. */
const SHARED = /^\$share\/[^/]*\//;

/**
 * Where the Topic Filter at hand (nextFilter) is, with the mount point of its client before it: of
 * a shared subscription behind its name.
 *
 * @returns its address, in SCRATCH where something stands before it; bytes, which may be too many
 */
export function mountedFilter(
  engine: Engine,
  mountPoint: string,
): { readonly at: number; readonly byteCount: number } {
  const at = engine.decoded(abi.D_FILTER_AT);
  const byteCount = engine.decoded(abi.D_FILTER_BYTES);
  if (mountPoint === "") return { at, byteCount };
  const filter = engine.text(at, byteCount);
  const shared = SHARED.exec(filter)?.[0] ?? "";
  const mounted = `${shared}${mountPoint}${filter.slice(shared.length)}`;
  return { at: abi.SCRATCH, byteCount: engine.scratch.write(mounted) };
}
