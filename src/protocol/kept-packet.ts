/** Packets that waited, outside the engine's heap, for what has to be known before they count. */
import { QUOTA_EXCEEDED } from "#assembly/spec";
import { ProtocolError } from "../base/errors.ts";
import type { Engine } from "../engine/engine.ts";

/**
 * Puts a packet into DECODED again, as it was when it came, and acts on it.
 *
 * @param version  of its connection; 0: it is a CONNECT
 * @throws ProtocolError 0x97 where there is no memory for it, and what `act` throws
 */
export function decodedAgain<Result>(
  engine: Engine,
  packet: Buffer,
  version: number,
  act: () => Result,
): Result {
  const at = engine.keep(packet);
  if (at === 0) {
    const what = version === 0 ? "the CONNECT" : "a packet that waited";
    throw new ProtocolError(QUOTA_EXCEEDED, `no memory for ${what}`);
  }
  try {
    engine.calls.decodePacket(version, at, at + packet.length);
    return act();
  } finally {
    engine.calls.freeBlock(at);
  }
}
