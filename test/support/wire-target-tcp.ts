/**
 * A broker that listens on TCP as a target of the wire pages.
 */
import { once } from "node:events";
import { createConnection } from "node:net";
import type { WireConnection, WireTarget } from "./wire-target.ts";

/** Lets one chunk leave before the next is written, or the kernel may join the two. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export function tcpTarget(name: string, port: number, host = "127.0.0.1"): WireTarget {
  return { name, open: () => openConnection(port, host) };
}

async function openConnection(port: number, host: string): Promise<WireConnection> {
  const socket = createConnection({ port, host, noDelay: true });
  await once(socket, "connect");
  const chunks: Uint8Array[] = [];
  let ended = false;
  let wake = () => {};
  socket.on("data", (chunk) => {
    chunks.push(chunk);
    wake();
  });
  // A broker may reset a connection on which it left bytes unread: that is a close as well.
  socket.on("error", () => {});
  for (const event of ["end", "close"]) {
    socket.on(event, () => {
      ended = true;
      wake();
    });
  }
  return {
    send: async (bytes) => {
      if (!ended && socket.writable) socket.write(bytes);
      await nextTurn();
    },
    receive: async () => {
      while (chunks.length === 0 && !ended) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      return chunks.shift() ?? null;
    },
    close: async () => {
      socket.destroy();
      if (!socket.closed) await once(socket, "close");
    },
  };
}
