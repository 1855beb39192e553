/** Who may connect: global or per listener, and what mosquitto's plugins stand for. */
import { expect, test } from "vitest";
import { configure } from "../../src/config/configuration.ts";
import { NO_FLAGS } from "../../src/config/settings.ts";

function read(content: string) {
  const { settings, errors, warnings } = configure({ name: "m.conf", content }, NO_FLAGS);
  return { listeners: settings.listeners, access: settings.listeners[0]?.access, errors, warnings };
}

function accepted(content: string) {
  const found = read(content);
  expect(found.errors).toEqual([]);
  return found;
}

const LISTENER = "listener 1884\n";

test("without per_listener_settings all listeners have one domain, of lines anywhere", () => {
  const { listeners } = accepted(
    "listener 1\npassword_file /p\nlistener 2\nacl_file /a\nallow_anonymous true\n",
  );
  const [first, second] = listeners;
  expect(first?.access).toBe(second?.access);
  expect(first?.access).toMatchObject({
    allowAnonymous: true,
    passwordFile: "/p",
    aclFile: "/a",
    scramFile: null,
  });
});

test("with it each listener has its own, and nothing of another's", () => {
  const { listeners } = accepted(
    "per_listener_settings true\n" +
      "listener 1\npassword_file /one\nauto_id_prefix one-\nallow_zero_length_clientid false\n" +
      "listener 2\nallow_anonymous true\nacl_file /two\n",
  );
  expect(listeners).toMatchObject([
    {
      allowAnonymous: false,
      clientIdPrefix: "one-",
      emptyClientIdAllowed: false,
      access: { passwordFile: "/one", aclFile: null },
    },
    {
      allowAnonymous: true,
      clientIdPrefix: "auto-",
      emptyClientIdAllowed: true,
      access: { passwordFile: null, aclFile: "/two" },
    },
  ]);
});

test("per_listener_settings counts wherever it stands", () => {
  const { listeners } = accepted(
    "listener 1\npassword_file /one\nlistener 2\nallow_anonymous true\n" +
      "per_listener_settings true\n",
  );
  expect(listeners.map(({ access }) => access.passwordFile)).toEqual(["/one", null]);
});

test("options of two listeners are no repeats, two of one are", () => {
  const two = "per_listener_settings true\nlistener 1\nacl_file /a\nlistener 2\nacl_file /b\n";
  const warned = (content: string) => accepted(content).warnings.filter((w) => /second/.test(w));
  expect(warned(two)).toEqual([]);
  expect(warned(two.replace("true", "false"))).toHaveLength(1);
});

test.each([
  ["mosquitto_password_file.so", "password_file", { passwordFile: "/x" }],
  ["mosquitto_acl_file.so", "acl_file", { aclFile: "/x" }],
  ["mosquitto_dynamic_security.so", "config_file", { dynamicSecurityFile: "/x" }],
])("%s with %s", (plugin, option, expected) => {
  for (const [line, prefix] of [
    ["plugin", "plugin_opt_"],
    ["auth_plugin", "auth_opt_"],
    ["global_plugin", "plugin_opt_"],
  ]) {
    const { access } = accepted(`${LISTENER}${line} /usr/lib/${plugin}\n${prefix}${option} /x\n`);
    expect(access).toMatchObject(expected);
  }
  const { errors } = read(`${LISTENER}plugin /usr/lib/${plugin}\n`);
  expect(errors).toEqual([`m.conf:2: ${plugin} needs plugin_opt_${option} PATH below it`]);
});

test("dynamic security: the file of the first password, and an option that is not obeyed", () => {
  const { access, warnings } = accepted(
    `${LISTENER}plugin mosquitto_dynamic_security.so\nplugin_opt_config_file /x\n` +
      "plugin_opt_password_init_file /first\nplugin_opt_other 5\n",
  );
  expect(access?.dynamicSecurityInitialPasswordFile).toBe("/first");
  expect(warnings).toEqual([
    "m.conf:5: the option other of mosquitto_dynamic_security.so is not obeyed",
  ]);
});

test("the store of mosquitto 2.1 is needless", () => {
  const { warnings } = accepted(
    `${LISTENER}allow_anonymous true\nplugin mosquitto_persist_sqlite.so\nplugin_opt_sync full\n`,
  );
  expect(warnings).toEqual([
    expect.stringMatching(/^m\.conf:3: mosquitto_persist_sqlite\.so is needless: .*location/),
  ]);
});

test("plugin_load and plugin_use: of the listener that uses it", () => {
  const { listeners } = accepted(
    "per_listener_settings true\n" +
      "plugin_load users /usr/lib/mosquitto_password_file.so\nplugin_opt_password_file /x\n" +
      "listener 1\nplugin_use users\nlistener 2\nallow_anonymous true\n",
  );
  expect(listeners.map(({ access }) => access.passwordFile)).toEqual(["/x", null]);
  expect(read(`${LISTENER}plugin_use other\n`).errors).toEqual([
    "m.conf:2: plugin_use: no plugin_load line names other",
  ]);
});

test("global_plugin counts for every listener", () => {
  const { listeners } = accepted(
    "per_listener_settings true\nlistener 1\n" +
      "global_plugin mosquitto_acl_file.so\nplugin_opt_acl_file /x\nlistener 2\n",
  );
  expect(listeners.map(({ access }) => access.aclFile)).toEqual(["/x", "/x"]);
});

test.each([
  [
    "plugin /usr/lib/mosquitto_acl_fil.so",
    /^m\.conf:2: the plugin .* \(did you mean mosquitto_acl/,
  ],
  [
    "plugin /usr/lib/mine.so",
    /^m\.conf:2: the plugin mine\.so is not understood; what is built in/,
  ],
  ["plugin_opt_x 1", /^m\.conf:2: no plugin stands above x/],
  ["password_file /a\nplugin mosquitto_password_file.so\nplugin_opt_password_file /b", /two files/],
  ["jwt_issuer me", /^m\.conf:2: jwt_issuer needs jwt_key_file or jwt_jwks/],
  ["auth_plugin go-auth.so", /^m\.conf:2: the backends need auth_opt_backends below it/],
  ["auth_plugin go-auth.so\nauth_opt_backends files", /need auth_opt_files_password_path/],
  ["auth_plugin go-auth.so\nauth_opt_backends jwt", /jwt_key_file or jwt_jwks/],
  [
    "auth_plugin go-auth.so\nauth_opt_backends redis\n",
    /^m\.conf:2: auth_opt_backends: redis is not supported; what is: files, http, jwt$/,
  ],
])("%j is refused", (lines, error) => {
  const { errors } = read(`${LISTENER}${lines}\n`);
  expect(errors.length).toBeGreaterThan(0);
  expect(errors[0]).toMatch(error);
});

const GO_AUTH =
  `${LISTENER}auth_plugin /mosquitto/go-auth.so\nauth_opt_backends files, http\n` +
  "auth_opt_files_password_path /pw\nauth_opt_files_acl_path /acl\nauth_opt_http_host a.example\n" +
  "auth_opt_http_getuser_uri /user\nauth_opt_http_aclcheck_uri /acl\n";

test("go-auth: files and http, with its defaults", () => {
  const { access, warnings } = accepted(GO_AUTH);
  expect(warnings).toEqual([]);
  expect(access).toMatchObject({ passwordFile: "/pw", aclFile: "/acl" });
  expect(access?.http).toEqual({
    origin: "http://a.example:80",
    userUri: "/user",
    superuserUri: "",
    aclUri: "/acl",
    deniesWildcardNames: true,
    verifiesPeer: false,
    method: "POST",
    paramsMode: "json",
    responseMode: "status",
    timeoutSeconds: 5,
    userAgent: "mosquitto",
    authCacheSeconds: 0,
    aclCacheSeconds: 0,
    cacheJitterSeconds: 0,
  });
});

test("go-auth: all that the HTTP backend knows", () => {
  const { access, warnings } = accepted(
    `${GO_AUTH}auth_opt_http_with_tls true\nauth_opt_http_port 8443\nauth_opt_http_method GET\n` +
      "auth_opt_http_params_mode form\nauth_opt_http_response_mode text\n" +
      "auth_opt_http_superuser_uri /root\nauth_opt_http_verify_peer true\n" +
      "auth_opt_http_timeout 2\nauth_opt_http_user_agent me\nauth_opt_cache true\n" +
      "auth_opt_auth_cache_seconds 300\nauth_opt_acl_jitter_seconds 7\n",
  );
  expect(warnings).toEqual([]);
  expect(access?.http).toMatchObject({
    origin: "https://a.example:8443",
    superuserUri: "/root",
    verifiesPeer: true,
    method: "GET",
    paramsMode: "form",
    responseMode: "text",
    timeoutSeconds: 2,
    userAgent: "me",
    authCacheSeconds: 300,
    aclCacheSeconds: 30,
    cacheJitterSeconds: 7,
  });
});

test("go-auth: a time-out of 0 is none there, and the longest here", () => {
  const { access } = accepted(`${GO_AUTH}auth_opt_http_timeout 0\n`);
  expect(access?.http?.timeoutSeconds).toBe(86_400);
});

test("go-auth: names with wildcards may do nothing, unless they are not to be looked at", () => {
  expect(accepted(GO_AUTH).access).toMatchObject({ usesGoAuth: true, deniesWildcardNames: true });
  const { access, warnings } = accepted(`${GO_AUTH}auth_plugin_deny_special_chars false\n`);
  expect(access).toMatchObject({
    deniesWildcardNames: false,
    http: { deniesWildcardNames: false },
  });
  expect(warnings).toEqual([]);
  expect(accepted(`${LISTENER}password_file /p\n`).access?.usesGoAuth).toBe(false);
});

test("go-auth: its ACL file is no other's", () => {
  expect(accepted(GO_AUTH).access?.aclIsGoAuths).toBe(true);
  expect(accepted(`${LISTENER}acl_file /acl\n`).access?.aclIsGoAuths).toBe(false);
  const plugin = "plugin mosquitto_acl_file.so\nplugin_opt_acl_file /acl\n";
  for (const [content, fault] of [
    [`${GO_AUTH}acl_file /acl\n`, /^m\.conf:9: acl_file and auth_opt_files_acl_path are read in/],
    [`${GO_AUTH}acl_file /other\n`, /^m\.conf:9: acl_file and a plugin name two files/],
    [`${GO_AUTH}${plugin}`, /^m\.conf:9: two plugins read ACL files, each in its way/],
  ] as const) {
    expect(read(content).errors).toEqual([expect.stringMatching(fault)]);
  }
});

test("go-auth: tokens as user names, and the claim that names the user", () => {
  const jwt = `${LISTENER}auth_plugin go-auth.so\nauth_opt_backends jwt\njwt_key_file /key\n`;
  const jwtOf = (content: string) => accepted(content).access?.jwt;
  expect(jwtOf(jwt)).toMatchObject({ takenAsUserName: true, userClaim: "sub" });
  const named = `${jwt}auth_opt_jwt_userfield Username\n`;
  expect(accepted(named).warnings).toEqual([]);
  expect(jwtOf(named)).toMatchObject({ userClaim: "username" });
  expect(jwtOf(`${named}jwt_user_claim sub\n`)).toMatchObject({ userClaim: "sub" });
  expect(jwtOf(`${LISTENER}jwt_key_file /key\n`)).toMatchObject({ takenAsUserName: false });
});

test("go-auth: what changes nothing is told, and what is wrong is refused", () => {
  const { warnings } = accepted(`${GO_AUTH}auth_opt_log_level debug\nauth_opt_hasher bcrypt\n`);
  expect(warnings).toEqual([
    expect.stringMatching(/auth_opt_log_level is not obeyed: holdfast has one log/),
    expect.stringMatching(/auth_opt_hasher is not obeyed: each hash/),
  ]);
  const wrong = read(`${GO_AUTH}auth_opt_http_method PATCH\nauth_opt_http_timeout soon\n`);
  expect(wrong.errors).toEqual([
    'm.conf:9: auth_opt_http_method: "PATCH" is not accepted; expected GET or POST or PUT',
    'm.conf:10: auth_opt_http_timeout: "soon" is not accepted; expected seconds, 0 to 86400',
  ]);
});

test("a bridge is told once, and no password of it", () => {
  const { warnings } = accepted(
    `${LISTENER}allow_anonymous true\nconnection cloud\naddress a:1\nremote_password hush\n` +
      "topic a/# out\nconnection other\naddress b:1\n",
  );
  expect(warnings).toEqual([
    expect.stringMatching(/^m\.conf:3: the bridge cloud is not set up.*; 3 lines below it/),
    expect.stringMatching(/^m\.conf:7: the bridge other is not set up.*; 1 lines below it/),
  ]);
  expect(warnings.join()).not.toContain("hush");
});
