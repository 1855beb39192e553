/**
 * Chapter 9: MQTT over WebSocket. MQTT 5.0 §6.
 */
import { describe, expect, test } from "vitest";
import { concat, cutPackets, rawConnect, rawPacket, text } from "../support/client-bytes.ts";
import { OPCODE, RawWebSocket } from "../support/client-web-socket.ts";
import { startChapter } from "./chapter.ts";

const chapter = startChapter();
const { connect } = chapter;

async function openRaw(protocols = "mqtt"): Promise<RawWebSocket> {
  return await RawWebSocket.open(chapter.broker().webSocketPort, protocols);
}

/** Collects binary frames until this many packets came. */
async function packets(webSocket: RawWebSocket, count: number): Promise<Buffer[]> {
  let bytes = Buffer.alloc(0);
  for (;;) {
    const cut = cutPackets(bytes);
    if (cut.packets.length >= count) return cut.packets;
    const frame = await webSocket.nextFrame();
    expect(frame.opcode).toBe(OPCODE.binary);
    bytes = Buffer.concat([bytes, frame.payload]);
  }
}

describe("the handshake", () => {
  test("the subprotocol mqtt is selected and returned [MQTT-6.0.0-3] [MQTT-6.0.0-4]", async () => {
    const webSocket = await openRaw();
    expect(webSocket.responseHeaders.get("sec-websocket-protocol")).toBe("mqtt");
    webSocket.destroy();
  });

  test("it is found among others [MQTT-6.0.0-4]", async () => {
    const webSocket = await openRaw("other, mqtt");
    expect(webSocket.responseHeaders.get("sec-websocket-protocol")).toBe("mqtt");
    webSocket.destroy();
  });
});

describe("frames", () => {
  test.for([4, 5] as const)("version %i: a session over it, each QoS", async (version) => {
    const client = await connect({ transport: "webSocket", version });
    await client.subscribe(`ws/${version}`, { qos: 2 });
    for (const qos of [0, 1, 2] as const) {
      await client.publish(`ws/${version}`, `${qos}`, { qos });
      await client.receive({ payload: `${qos}`, qos });
    }
    await client.expectNothing();
    await client.disconnect();
  });

  test("TCP and WebSocket meet in one broker", async () => {
    const overTcp = await connect();
    const overWebSocket = await connect({ transport: "webSocket" });
    await overTcp.subscribe("meet/tcp", { qos: 1 });
    await overWebSocket.subscribe("meet/ws", { qos: 1 });
    await overTcp.publish("meet/ws", "to ws", { qos: 1 });
    await overWebSocket.publish("meet/tcp", "to tcp", { qos: 1 });
    await overTcp.receive({ payload: "to tcp" });
    await overWebSocket.receive({ payload: "to ws" });
  });

  test("a packet may span frames [MQTT-6.0.0-2]", async () => {
    const webSocket = await openRaw();
    const stream = concat(rawConnect({ payload: [text("spanning")] }), rawPacket(0xc0));
    for (const byte of stream) webSocket.send(OPCODE.binary, Buffer.of(byte));
    const [connack, pingresp] = await packets(webSocket, 2);
    expect(connack?.[0]).toBe(0x20);
    expect(pingresp?.[0]).toBe(0xd0);
    webSocket.destroy();
  });

  test("many packets may share a frame [MQTT-6.0.0-2]", async () => {
    const webSocket = await openRaw();
    const pings = Array.from({ length: 100 }, () => rawPacket(0xc0));
    webSocket.send(OPCODE.binary, concat(rawConnect({ payload: [text("sharing")] }), ...pings));
    const received = await packets(webSocket, 101);
    expect(received.slice(1).every((packet) => packet[0] === 0xd0)).toBe(true);
    webSocket.destroy();
  });

  test("a message may come in fragments [MQTT-6.0.0-2]", async () => {
    const webSocket = await openRaw();
    const bytes = concat(rawConnect({ payload: [text("fragments")] }), rawPacket(0xc0));
    webSocket.send(OPCODE.binary, bytes.subarray(0, 5), { isFinal: false });
    webSocket.send(OPCODE.continuation, bytes.subarray(5, 6), { isFinal: false });
    webSocket.send(OPCODE.continuation, bytes.subarray(6));
    expect(await packets(webSocket, 2)).toHaveLength(2);
    webSocket.destroy();
  });

  test("a text frame ends the connection [MQTT-6.0.0-1] [MQTT-6.0.0-1 @3.1.1]", async () => {
    const webSocket = await openRaw();
    webSocket.send(OPCODE.binary, rawConnect({ payload: [text("texting")] }));
    await packets(webSocket, 1);
    webSocket.send(OPCODE.text, Buffer.from("hello"));
    await webSocket.closed();
  });

  test("WebSocket's own ping is answered", async () => {
    const webSocket = await openRaw();
    webSocket.send(OPCODE.ping, Buffer.from("are you there"));
    const frame = await webSocket.nextFrame();
    expect(frame.opcode).toBe(OPCODE.pong);
    expect(frame.payload.toString()).toBe("are you there");
    webSocket.destroy();
  });

  test("a large packet goes through, both ways", async () => {
    const client = await connect({ transport: "webSocket" });
    await client.subscribe("ws/large", { qos: 1 });
    for (const byteCount of [65_000, 66_000, 1_900_000]) {
      const payload = Buffer.alloc(byteCount, "large ");
      await client.publish("ws/large", payload, { qos: 1 });
      const delivery = await client.receive({ qos: 1 });
      expect(delivery.payloadBytes.equals(payload)).toBe(true);
    }
  });

  test("many messages keep their order", async () => {
    const client = await connect({ transport: "webSocket" });
    await client.subscribe("ws/order", { qos: 1 });
    for (let i = 0; i < 1000; i++) client.sendPublish("ws/order", `${i}`, { qos: 1 });
    for (let i = 0; i < 1000; i++) await client.receive({ payload: `${i}` });
  });
});

describe("the end", () => {
  test("closing without DISCONNECT publishes the will [MQTT-3.1.2-8]", async () => {
    const observer = await connect();
    await observer.subscribe("ws/will");
    const mortal = await connect({
      transport: "webSocket",
      will: { topic: "ws/will", payload: Buffer.from("gone") },
    });
    await mortal.drop();
    await observer.expectPublish({ payload: "gone" });
  });

  test("a Session is resumed across transports [MQTT-3.1.3-2]", async () => {
    const keeper = { clientId: "moving", clean: false, properties: { sessionExpiryInterval: 60 } };
    const first = await connect({ ...keeper, transport: "webSocket" });
    await first.subscribe("ws/moving", { qos: 1 });
    await first.publish("ws/moving", "x", { qos: 1 });
    const { packetIdentifier } = await first.expectPublish({ payload: "x" });
    await first.drop();
    const second = await connect(keeper);
    await second.receive({ payload: "x", dup: true, packetIdentifier });
  });

  test("takeover reaches a WebSocket too [MQTT-3.1.4-3]", async () => {
    const older = await connect({ clientId: "ws-takeover", transport: "webSocket" });
    await connect({ clientId: "ws-takeover" });
    await older.expectDisconnect(0x8e);
  });

  test("a malformed packet ends it with its code [MQTT-4.13.1-1]", async () => {
    const client = await connect({ transport: "webSocket" });
    client.sendBytes(Buffer.from("0000", "hex"));
    await client.expectDisconnect(0x81);
  });
});
