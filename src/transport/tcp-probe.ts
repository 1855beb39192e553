/**
 * Proves that Node's stream handles work as tcp-raw.ts expects: bytes sent over loopback must
 * arrive in engine memory, and bytes of engine memory must come back.
 */
import { connect, createServer, type Server } from "node:net";
import type { Engine } from "../engine/engine.ts";
import type { Turn } from "../session/turn.ts";
import { RawStreams, type StreamHandle, serverHandle, streamBinding } from "./tcp-raw.ts";

const QUESTION = Buffer.from("holdfast?");
const PROBE_MILLISECONDS_MAX = 2_000;

/** Echoes what the first connection sends, from READ. */
function echoOnce(server: Server, streams: RawStreams): boolean {
  const listening = serverHandle(server);
  if (listening === null) return false;
  listening.onconnection = (error, handle) => {
    if (error !== 0 || handle === undefined) return;
    handle.setNoDelay?.(true);
    handle.useUserBuffer(streams.engine.readRegion);
    handle.onread = function (this: StreamHandle) {
      const byteCount = streams.bytesRead;
      if (byteCount > 0) streams.write(this, [streams.engine.readRegion.byteOffset, byteCount]);
      else this.close();
    };
    handle.readStart();
  };
  return true;
}

/** @returns the raw streams, or null where this Node.js does not have them */
export async function probeRawStreams(engine: Engine, turn: Turn): Promise<RawStreams | null> {
  const binding = streamBinding();
  if (binding === null) return null;
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, "127.0.0.1", resolve);
    });
    const streams = new RawStreams(engine, turn, binding);
    if (!echoOnce(server, streams)) return null;
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    return (await isEchoed(port)) ? streams : null;
  } catch {
    // Whatever these internals do instead: the public path works.
    return null;
  } finally {
    server.close();
  }
}

function isEchoed(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    let echoed = Buffer.alloc(0);
    const finish = (isEqual: boolean): void => {
      socket.destroy();
      resolve(isEqual);
    };
    socket.setTimeout(PROBE_MILLISECONDS_MAX, () => finish(false));
    socket.on("error", () => finish(false));
    socket.on("data", (chunk) => {
      echoed = Buffer.concat([echoed, chunk]);
      if (echoed.length >= QUESTION.length) finish(echoed.equals(QUESTION));
    });
    socket.on("connect", () => socket.write(QUESTION));
  });
}
