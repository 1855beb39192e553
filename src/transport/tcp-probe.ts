/**
 * Proves that Node's stream handles work as tcp-raw.ts expects, those of TCP and those of TLS:
 * bytes sent over loopback must arrive in engine memory, and bytes of engine memory must come back.
 */
import { connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectSecure, createServer as createSecureServer } from "node:tls";
import type { Engine } from "../engine/engine.ts";
import type { Turn } from "../session/turn.ts";
import { RawStreams, type StreamHandle, serverHandle, streamBinding } from "./tcp-raw.ts";

const QUESTION = Buffer.from("holdfast?");
const PROBE_MILLISECONDS_MAX = 2_000;

/** For a write that is so short that it ends within its call. */
const NOBODY = { writeEnded: () => undefined };

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
      if (byteCount <= 0) this.close();
      else streams.write(this, [streams.engine.readRegion.byteOffset, byteCount], NOBODY);
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
    return (await isEchoed(connect(port, "127.0.0.1"))) ? streams : null;
  } catch {
    // Whatever these internals do instead: the public path works.
    return null;
  } finally {
    server.close();
  }
}

/** What both ends of the probe know; a handshake with it needs no certificate. */
const SHARED_KEY = Buffer.alloc(32, 1);

/**
 * Proves the same of the handles of node:tls, and that each of their writes ends with a call, which
 * SecureOutput of tcp-raw.ts waits for.
 */
export async function probeSecureStreams(streams: RawStreams): Promise<boolean> {
  let complete: (isComplete: boolean) => void = () => undefined;
  const completed = new Promise<boolean>((resolve) => {
    complete = resolve;
  });
  const server = createSecureServer({
    ciphers: "PSK",
    pskCallback: () => SHARED_KEY,
    pskIdentityHint: "probe",
  });
  server.on("secureConnection", (socket) => {
    const { _handle: handle } = socket as unknown as { _handle: StreamHandle };
    socket.on("error", () => undefined);
    if (typeof handle?._parent?.writeQueueSize !== "number") return;
    handle.useUserBuffer(streams.engine.readRegion);
    handle.onread = function (this: StreamHandle) {
      const byteCount = streams.bytesRead;
      if (byteCount <= 0) {
        socket.destroy();
        return;
      }
      const at = streams.engine.readRegion.byteOffset;
      streams.write(this, [at, byteCount], { writeEnded: (status) => complete(status === 0) });
    };
  });
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, "127.0.0.1", resolve);
    });
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const pskCallback = () => ({ psk: SHARED_KEY, identity: "probe" });
    const checkServerIdentity = () => undefined;
    const options = { ciphers: "PSK", pskCallback, checkServerIdentity, host: "127.0.0.1", port };
    // The echo may be here before the write's end is told.
    const late = sleep(PROBE_MILLISECONDS_MAX, false, { ref: false });
    return (await isEchoed(connectSecure(options))) && (await Promise.race([completed, late]));
  } catch {
    return false;
  } finally {
    server.close();
  }
}

function isEchoed(socket: Socket): Promise<boolean> {
  return new Promise((resolve) => {
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
    // Of TLS it leaves when the handshake is done.
    socket.write(QUESTION);
  });
}
