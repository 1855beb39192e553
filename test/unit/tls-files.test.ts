/** Files of TLS that cannot be used, and what is said about them. */
import { mkdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { StartError } from "../../src/base/errors.ts";
import type { TlsSettings } from "../../src/config/settings.ts";
import { subjectOf } from "../../src/transport/peer-identity.ts";
import { borrowsAuthority, readTlsMaterial } from "../../src/transport/tls-files.ts";
import { contextOptionsOf } from "../../src/transport/tls-options.ts";
import { parsePskFile } from "../../src/transport/tls-psk.ts";
import { Certificates } from "../support/certificates.ts";

let certificates: Certificates;
let settings: TlsSettings;

beforeAll(() => {
  certificates = new Certificates();
  certificates.sign("server", { subject: "/CN=localhost" });
  certificates.sign("other", { subject: "/CN=other" });
  certificates.sign("middle", { subject: "/CN=middle", isAuthority: true });
  certificates.openssl(
    "ec",
    "-in",
    "server.key",
    "-aes256",
    "-passout",
    "pass:x",
    "-out",
    "locked.key",
  );
  certificates.openssl("x509", "-in", "server.pem", "-outform", "der", "-out", "server.der");
  certificates.write("rubbish", "rubbish");
  certificates.write(
    "broken.pem",
    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
  );
  mkdirSync(certificates.path("empty"));
  mkdirSync(certificates.path("authorities"));
  certificates.write("authorities/ca.pem", certificates.read("ca.pem"));
  certificates.write("authorities/again.crt", certificates.read("ca.pem"));
  certificates.write("authorities/notes.txt", "notes");
  settings = {
    certificateFile: certificates.path("server.pem"),
    keyFile: certificates.path("server.key"),
    caFile: null,
    caPath: null,
    crlFile: null,
    requireCertificate: false,
    checksCertificateDates: true,
    version: null,
    ciphers: "",
    ciphersTls13: "",
    dhParamFile: null,
    pskFile: null,
    pskHint: "",
    alpn: [],
    keyLogFile: null,
  };
});

afterAll(() => certificates.remove());

/** Settings with other files, by their names. */
function changed(changes: Partial<TlsSettings>): TlsSettings {
  const paths = Object.entries(changes).map(([name, value]) => [
    name,
    /File$|Path$/.test(name) && value !== null ? certificates.path(`${value}`) : value,
  ]);
  return { ...settings, ...Object.fromEntries(paths) };
}

function open(changes: Partial<TlsSettings>): void {
  const all = changed(changes);
  contextOptionsOf(
    all,
    readTlsMaterial(all, () => undefined),
  );
}

const FAULTS: readonly (readonly [changes: Partial<TlsSettings>, text: RegExp])[] = [
  [
    { certificateFile: "nowhere.pem" },
    /^certfile .*nowhere\.pem cannot be read: ENOENT: no such file/,
  ],
  [{ certificateFile: "rubbish" }, /^certfile .*rubbish holds no certificate in PEM form/],
  [{ certificateFile: "server.der" }, /openssl x509 -inform der/],
  [{ certificateFile: "broken.pem" }, /^certfile .*broken\.pem: certificate 1 cannot be read/],
  [{ keyFile: "nowhere.key" }, /^keyfile .*nowhere\.key cannot be read/],
  [{ keyFile: "rubbish" }, /^keyfile .*rubbish holds no private key in PEM form/],
  [{ keyFile: "locked.key" }, /has a password, .*openssl pkey -in .*locked\.key -out FILE/],
  [{ keyFile: "other.key" }, /^keyfile .*other\.key does not belong to certfile .*server\.pem/],
  [{ caFile: "rubbish" }, /^cafile .*rubbish holds no certificate/],
  [{ caPath: "nowhere" }, /^capath .*nowhere cannot be read/],
  [{ caPath: "empty" }, /^capath .*empty holds no file with a certificate/],
  [{ crlFile: "ca.pem" }, /^crlfile .*ca\.pem holds no revocation list/],
  [{ requireCertificate: true }, /^require_certificate needs cafile or capath/],
  [{ dhParamFile: "rubbish" }, /^dhparamfile .*rubbish holds no parameters/],
  [{ ciphers: "NONESUCH" }, /^ciphers NONESUCH: OpenSSL knows none of them/],
  [{ pskFile: "rubbish" }, /^psk_file .*rubbish, line 1: a line is "identity:key"/],
];

test.each(FAULTS)("%j", (changes, text) => {
  let fault: unknown;
  try {
    open(changes);
  } catch (error) {
    fault = error;
  }
  expect(fault).toBeInstanceOf(StartError);
  expect((fault as StartError).message).toMatch(text);
});

test("a directory of authorities: each counts once, other files not at all", () => {
  const { authorities } = readTlsMaterial(changed({ caPath: "authorities" }), () => undefined);
  expect(authorities).toHaveLength(1);
});

test("a certificate that is over is warned of", () => {
  certificates.sign("over", { subject: "/CN=over", days: -1 });
  const warnings: string[] = [];
  const over = changed({ certificateFile: "over.pem", keyFile: "over.key" });
  readTlsMaterial(over, (sentence) => warnings.push(sentence));
  expect(warnings).toEqual([expect.stringMatching(/^certfile .*over\.pem expired on /)]);
});

test("an authority that stands between, in cafile only, is seen", () => {
  const read = (changes: Partial<TlsSettings>) =>
    readTlsMaterial(changed(changes), () => undefined);
  expect(borrowsAuthority(read({ caFile: "ca.pem" }))).toBe(false);
  const [middle, key] = [certificates.path("middle.pem"), certificates.path("middle.key")];
  certificates.openssl(
    ...["x509", "-req", "-in", "server.csr", "-CA", middle, "-CAkey", key, "-CAcreateserial"],
    ...["-days", "5", "-out", "below.pem"],
  );
  certificates.write("chain.pem", certificates.read("middle.pem") + certificates.read("ca.pem"));
  expect(borrowsAuthority(read({ certificateFile: "below.pem", caFile: "chain.pem" }))).toBe(true);
});

describe("Pre-Shared Keys", () => {
  test("identity and key, comments and empty lines", () => {
    const keys = parsePskFile("keys", "# of devices\n\ndev1:00ff\r\na b:AB\n");
    expect([...keys]).toEqual([
      ["dev1", Buffer.from([0, 0xff])],
      ["a b", Buffer.from([0xab])],
    ]);
  });

  test.each([
    ["dev1", 'a line is "identity:key"'],
    [":00", 'a line is "identity:key"'],
    ["dev1:0", "not an even number of hexadecimal digits"],
    ["dev1:", "not an even number of hexadecimal digits"],
    ["dev1:xx", "not an even number of hexadecimal digits"],
    [`dev1:${"00".repeat(65)}`, "a key has at most 64 bytes"],
    [`${"d".repeat(129)}:00`, "an identity has at most 128 bytes"],
    ["dev0:11", "was given before"],
  ])("%s is refused, without its key in the message", (line, text) => {
    const parse = () => parsePskFile("keys", `dev0:00\n${line}\n`);
    expect(parse).toThrow(`psk_file keys, line 2: `);
    expect(parse).toThrow(text);
  });
});

test.each([
  ["CN=a", "CN=a"],
  [
    "C=DE\nO=Maker\\, Inc\nL=X + OU=Plant\nCN=d\u00e9vice 1\\+2",
    "CN=d\\C3\\A9vice 1\\+2,OU=Plant+L=X,O=Maker\\, Inc,C=DE",
  ],
])("the subject %j as RFC 2253 writes it", (multiline, text) => {
  expect(subjectOf(multiline)).toBe(text);
});
