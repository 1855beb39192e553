/**
 * The file of dynamic security where there is none yet: roles to begin with, and an administrator
 * whose password comes from a file, from MOSQUITTO_DYNSEC_PASSWORD, or is made up and put into a
 * file beside it.
 */
import { randomInt } from "node:crypto";
import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from "node:fs";
import { StartError } from "../base/errors.ts";
import {
  type Acl,
  type AclType,
  type Client,
  type ClientPassword,
  DynamicSecurityModel,
  NO_PRIORITY,
} from "./dynamic-security-model.ts";

/** The environment's password must have so many characters, as in mosquitto. */
const ENVIRONMENT_CHARACTERS_MIN = 12;
const MADE_UP_CHARACTERS = 20;
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-=_+[]{}@#~,./<>?";

const EVERYTHING: readonly AclType[] = [
  "publishClientSend",
  "publishClientReceive",
  "subscribePattern",
  "unsubscribePattern",
];

/** Roles of a new file: name, description, topic, what is allowed of it. */
const ROLES: readonly (readonly [string, string, string, readonly AclType[]])[] = [
  ["client", "Reads and writes all topics of applications.", "#", EVERYTHING],
  ["broker-admin", "Asks the broker for its settings.", "$CONTROL/broker/#", EVERYTHING],
  [
    "dynsec-admin",
    "Administers clients, groups and roles.",
    "$CONTROL/dynamic-security/#",
    EVERYTHING,
  ],
  ["super-admin", "Administers all there is to administer.", "$CONTROL/#", EVERYTHING],
  [
    "sys-notify",
    "Lets a bridge say whether it is connected.",
    "$SYS/broker/connection/%c/state",
    ["publishClientSend"],
  ],
  [
    "sys-observe",
    "Reads what the broker says of itself.",
    "$SYS/#",
    ["publishClientReceive", "subscribePattern"],
  ],
  [
    "topic-observe",
    "Reads all topics of applications.",
    "#",
    ["publishClientReceive", "subscribePattern", "unsubscribePattern"],
  ],
];

const ADMIN_ROLES = ["super-admin", "sys-observe", "topic-observe"];
const ANONYMOUS_GROUP = "unauthenticated";

export interface InitialOptions {
  readonly file: string;
  /** `plugin_opt_password_init_file`. */
  readonly passwordFile: string | null;
  readonly environmentPassword: string | undefined;
  hash(password: string): ClientPassword;
}

/** A new model, and where its passwords are, in words. */
export interface Initial {
  readonly model: DynamicSecurityModel;
  readonly passwordsAt: string;
}

/**
 * Makes what a new file holds. Passwords that are made up are in `FILE.pw` when this returns.
 *
 * @throws StartError where a password is to be taken from somewhere and is not there
 */
export function initialModel(options: InitialOptions): Initial {
  const given = givenPassword(options);
  if (given !== null) {
    const model = modelFor(new Map([["admin", options.hash(given.password)]]));
    return { model, passwordsAt: given.place };
  }
  const passwords = new Map(["admin", "democlient"].map((name) => [name, madeUpPassword()]));
  const place = `${options.file}.pw`;
  writePasswords(place, passwords);
  const hashes = [...passwords].map(([name, text]) => [name, options.hash(text)] as const);
  return { model: modelFor(new Map(hashes)), passwordsAt: place };
}

function givenPassword({
  environmentPassword,
  passwordFile,
}: InitialOptions): { readonly password: string; readonly place: string } | null {
  if (passwordFile !== null) {
    let password: string;
    try {
      password = readFileSync(passwordFile, "utf8").split("\n")[0]?.trimEnd() ?? "";
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new StartError(`plugin_opt_password_init_file: ${reason}`);
    }
    if (password !== "") return { password, place: passwordFile };
    throw new StartError(
      `plugin_opt_password_init_file ${passwordFile}: the first line must be a password`,
    );
  }
  if (environmentPassword === undefined) return null;
  if (environmentPassword.length >= ENVIRONMENT_CHARACTERS_MIN) {
    return { password: environmentPassword, place: "MOSQUITTO_DYNSEC_PASSWORD" };
  }
  throw new StartError(
    `MOSQUITTO_DYNSEC_PASSWORD must have at least ${ENVIRONMENT_CHARACTERS_MIN} characters`,
  );
}

function madeUpPassword(): string {
  const characters = Array.from({ length: MADE_UP_CHARACTERS }, () =>
    ALPHABET.charAt(randomInt(ALPHABET.length)),
  );
  return characters.join("");
}

function writePasswords(place: string, passwords: ReadonlyMap<string, string>): void {
  try {
    const descriptor = openSync(place, "w", 0o600);
    writeSync(descriptor, [...passwords].map((pair) => `${pair.join(" ")}\n`).join(""));
    fsyncSync(descriptor);
    closeSync(descriptor);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StartError(`cannot write the first passwords of dynamic security: ${reason}`);
  }
}

function modelFor(passwords: ReadonlyMap<string, ClientPassword>): DynamicSecurityModel {
  const model = new DynamicSecurityModel();
  model.defaults.set("publishClientReceive", true);
  model.defaults.set("unsubscribe", true);
  for (const [name, textDescription, topic, types] of ROLES) {
    const acls = types.map((type): Acl => ({ type, topic, priority: 0, allows: true }));
    const role = { name, textName: null, textDescription, allowsWildcards: true, acls, others: [] };
    model.roles.add(name, role);
  }
  for (const [userName, password] of passwords) {
    const isAdmin = userName === "admin";
    const client: Client = {
      userName,
      clientId: null,
      textName: isAdmin ? "Administrator" : "Reads and writes all topics of applications",
      textDescription: null,
      isDisabled: false,
      password,
      roles: (isAdmin ? ADMIN_ROLES : ["client"]).map((name) => ({ name, priority: NO_PRIORITY })),
      groups: [],
      others: [],
    };
    model.clients.add(userName, client);
  }
  model.groups.add(ANONYMOUS_GROUP, {
    name: ANONYMOUS_GROUP,
    textName: "Clients without a user name",
    textDescription: "Where anonymous clients are let in, they have the roles of this group.",
    roles: [],
    clients: new Map(),
    others: [],
  });
  model.anonymousGroup = ANONYMOUS_GROUP;
  return model;
}
