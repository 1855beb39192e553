/**
 * A WebSocket's wire, on a library that is played: what real sockets do not show.
 */
import { expect, test } from "vitest";
import { createLog } from "../../src/base/log.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { NetworkConnection } from "../../src/session/network-connection.ts";
import type { Turn } from "../../src/session/turn.ts";
import { UnprovenPeers } from "../../src/transport/unproven.ts";
import {
  type HeldWebSocket,
  WebSocketStreams,
  WebSocketWire,
} from "../../src/transport/websocket-wire.ts";
import { until } from "../support/await.ts";
import { LISTENER_RULES } from "../support/listener-rules.ts";

/** A wire on a WebSocket at `address` whose send() answers `status`. */
function play(address: string, status: number) {
  const events: string[] = [];
  const webSocket = {
    getRemoteAddressAsText: () => new TextEncoder().encode(address).buffer,
    getBufferedAmount: () => 0,
    cork: (corked: () => void) => corked(),
    send: (bytes: Uint8Array) => {
      events.push(`send ${bytes.byteOffset} ${bytes.length}`);
      return status;
    },
    close: () => {
      events.push("close");
      wire.onClose(1006, "");
    },
  };
  const engine = { readRegion: Buffer.alloc(0), memory: { buffer: new ArrayBuffer(100) } };
  const turn = { written: () => events.push("written") };
  const handlers = {
    onOpen: () => new NetworkConnection(1, wire, LISTENER_RULES),
    onEnd: (_connection: NetworkConnection, reason: string) => events.push(reason),
  };
  const log = createLog({
    destinations: [],
    types: new Set(),
    timestamp: false,
    timestampFormat: "",
    format: "text",
  });
  const streams = new WebSocketStreams(
    engine as unknown as Engine,
    turn as unknown as Turn,
    { ...handlers, onEnd: (connection, reason) => void handlers.onEnd(connection, reason) },
    log,
  );
  const wire: WebSocketWire = new WebSocketWire(streams, webSocket as unknown as HeldWebSocket);
  wire.open(new UnprovenPeers(0, 1), 0);
  return { wire, events };
}

test("pieces of one write are sent in order", () => {
  const { wire, events } = play("127.0.0.1", 1);
  expect(wire.write([10, 5, 50, 7])).toBe(true);
  expect(events).toEqual(["send 10 5", "send 50 7"]);
});

test.for([[[10, 5]], [[10, 5, 50, 7]]])(
  "dropped output is a fault: it closes, but not within the write",
  async ([pieces]) => {
    const { wire, events } = play("127.0.0.1", 2);
    expect(wire.write(pieces as number[])).toBe(false);
    expect(events).not.toContain("close");
    await until("its end", () => events.includes("dropped output"));
    expect(events.slice(-3)).toEqual(["close", "written", "dropped output"]);
    expect(wire.write([10, 5])).toBe(true);
  },
);

test.for([
  ["192.0.2.1", "192.0.2.1"],
  ["0000:0000:0000:0000:0000:ffff:c000:0201", "192.0.2.1"],
  ["2001:0db8:0000:0000:0000:0000:0000:0001", "[2001:db8::1]"],
] as const)("the peer at %s is shown as %s", ([address, shown]) => {
  expect(play(address, 1).wire.remote).toBe(shown);
});
