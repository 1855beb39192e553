/** The header of a proxy, versions 1 and 2, whole, cut anywhere, and wrong in every way. */
import { describe, expect, test } from "vitest";
import { PROXY_HEADER_BYTES_MAX } from "../../src/base/limits.ts";
import { readProxyHeader } from "../../src/transport/proxy-header.ts";
import { PP2_TYPE_NETNS, proxyV1, proxyV2, tlsValue, value } from "../support/proxy-headers.ts";

const REST = Buffer.from("10");
const NOTHING_KNOWN = { remote: null, hasTls: false, peer: null };

describe("version 1", () => {
  test.each([
    ["TCP4 192.0.2.7 198.51.100.1 50123 8883", "192.0.2.7:50123"],
    ["TCP6 2001:db8::7 2001:db8::1 1 65535", "2001:db8::7:1"],
    ["TCP6 ::ffff:192.0.2.7 ::1 1 2", "192.0.2.7:1"],
    ["UNKNOWN", null],
    ["UNKNOWN ffff:: what ever", null],
  ])("%s", (text, remote) => {
    const header = proxyV1(text);
    const bytes = Buffer.concat([header, REST]);
    expect(readProxyHeader(1, bytes)).toEqual({
      ...NOTHING_KNOWN,
      byteCount: header.length,
      remote,
    });
    for (let end = 0; end < header.length; end++) {
      expect(readProxyHeader(1, bytes.subarray(0, end))).toBe("more");
    }
  });

  test.each([
    "TCP4 192.0.2.7 198.51.100.1 50123",
    "TCP4 192.0.2.7 198.51.100.1 50123 8883 1",
    "TCP4 192.0.2.7 198.51.100.1 50123 65536",
    "TCP4 192.0.2.7 198.51.100.1 050123 1",
    "TCP4 192.0.2.7 198.51.100.1 -1 1",
    "TCP4 192.0.2.256 198.51.100.1 1 1",
    "TCP4 2001:db8::7 2001:db8::1 1 1",
    "TCP6 192.0.2.7 198.51.100.1 1 1",
    "UDP4 192.0.2.7 198.51.100.1 1 1",
    "tcp4 192.0.2.7 198.51.100.1 1 1",
  ])("%s is none", (text) => {
    expect(readProxyHeader(1, proxyV1(text))).toBe("malformed");
  });

  test("neither are 107 bytes without an end, MQTT, and version 2", () => {
    const endless = Buffer.from(`PROXY UNKNOWN ${"x".repeat(200)}`);
    expect(readProxyHeader(1, endless.subarray(0, 106))).toBe("more");
    expect(readProxyHeader(1, endless.subarray(0, 107))).toBe("malformed");
    expect(readProxyHeader(1, Buffer.from("100c", "hex"))).toBe("malformed");
    expect(readProxyHeader(1, proxyV2({}))).toBe("malformed");
  });
});

describe("version 2", () => {
  test.each([
    [{ source: "192.0.2.7", port: 50123 }, { remote: "192.0.2.7:50123" }],
    [{ source: "2001:db8::7", port: 1 }, { remote: "2001:db8::7:1" }],
    [{ source: "::ffff:192.0.2.7", port: 1 }, { remote: "192.0.2.7:1" }],
    [{ command: 0 }, {}],
    [{ family: 0x00 }, {}],
    [{ family: 0x31, addresses: Buffer.alloc(216) }, {}],
    [{ values: [value(PP2_TYPE_NETNS, "x")] }, { remote: "192.0.2.1:1000" }],
    [{ values: [tlsValue({ commonName: "" })] }, { remote: "192.0.2.1:1000", hasTls: true }],
    [
      { values: [value(PP2_TYPE_NETNS, "x"), tlsValue({ commonName: "device" })] },
      {
        remote: "192.0.2.1:1000",
        hasTls: true,
        peer: { commonName: "device", subject: "CN=device", pskIdentity: null },
      },
    ],
    // A certificate that the proxy could not verify proves nothing; neither does one without TLS.
    [
      { values: [tlsValue({ commonName: "device", verify: 1 })] },
      { remote: "192.0.2.1:1000", hasTls: true },
    ],
    [
      { values: [tlsValue({ commonName: "device", client: 0x01 })] },
      { remote: "192.0.2.1:1000", hasTls: true },
    ],
    [{ values: [tlsValue({ commonName: "device", client: 0x02 })] }, { remote: "192.0.2.1:1000" }],
    [
      { values: [tlsValue({ commonName: "admin\0device" })] },
      { remote: "192.0.2.1:1000", hasTls: true },
    ],
  ])("%j", (options, expected) => {
    const header = proxyV2(options);
    const bytes = Buffer.concat([header, REST]);
    const byteCount = header.length;
    expect(readProxyHeader(2, bytes)).toEqual({ ...NOTHING_KNOWN, byteCount, ...expected });
    for (let end = 0; end < header.length; end++) {
      expect(readProxyHeader(2, bytes.subarray(0, end))).toBe("more");
    }
  });

  test.each([
    ["a byte of the signature is another", { signature: "0d0a0d0a000d0a515549540b" }],
    ["version 1", { version: 1 }],
    ["a command that there is not", { command: 2 }],
    ["addresses are cut short", { addresses: Buffer.alloc(11) }],
    ["a value is cut short", { values: [Buffer.from("200005aa", "hex")] }],
    ["the head of a value is cut short", { values: [Buffer.from("2000", "hex")] }],
    ["the value of TLS is cut short", { values: [value(0x20, "\x01\0\0")] }],
    [
      "a name in the value of TLS is cut short",
      { values: [value(0x20, "\x07\0\0\0\0\x22\0\x09a")] },
    ],
    ["it is too long", { values: [value(PP2_TYPE_NETNS, "x".repeat(PROXY_HEADER_BYTES_MAX))] }],
  ])("malformed: %s", (_title, options) => {
    expect(readProxyHeader(2, proxyV2(options))).toBe("malformed");
  });

  test("the longest is taken", () => {
    const free = PROXY_HEADER_BYTES_MAX - 16 - 12 - 3;
    const header = proxyV2({ values: [value(PP2_TYPE_NETNS, "x".repeat(free))] });
    expect(header).toHaveLength(PROXY_HEADER_BYTES_MAX);
    expect(readProxyHeader(2, header)).toMatchObject({ byteCount: PROXY_HEADER_BYTES_MAX });
  });
});
