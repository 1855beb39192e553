/**
 * The file of dynamic security, as mosquitto 2.0 and 2.1 write it:
 *
 *   { "defaultACLAccess": { "publishClientSend": false, … },
 *     "clients": [ { "username", "clientid", "textname", "textdescription", "disabled", "roles",
 *                    "encoded_password", or "password", "salt" and "iterations" } ],
 *     "groups": [ { "groupname", "textname", "textdescription", "roles", "clients" } ],
 *     "anonymousGroup": "groupname",
 *     "roles": [ { "rolename", "textname", "textdescription", "allowwildcardsubs", "acls" } ] }
 *
 * What else it holds is kept, and written back. A role, group or client that is named but not there
 * is left out, as mosquitto does, and said.
 */
import {
  DYNAMIC_SECURITY_ACLS_PER_ROLE_MAX,
  DYNAMIC_SECURITY_CLIENTS_MAX,
  DYNAMIC_SECURITY_GROUPS_MAX,
  DYNAMIC_SECURITY_ROLES_MAX,
} from "../base/limits.ts";
import {
  ACL_TYPES,
  type Acl,
  type AclType,
  type Client,
  type ClientPassword,
  DEFAULT_TYPES,
  DynamicSecurityModel,
  type Group,
  includes,
  insertByPriority,
  type Membership,
  NO_PRIORITY,
  type Role,
  sortedNames,
} from "./dynamic-security-model.ts";
import * as fields from "./json-fields.ts";
import { faultOfJson, isDeeper, isObject, type JsonObject, otherFields } from "./json-fields.ts";
import {
  passwordHashText,
  readPasswordHash,
  type StoredPassword,
  storedHash,
} from "./password-hash.ts";

/** What others add to the file may be deeper than our own forms. */
const DEPTH_MAX = 64;

/** What is wrong with a file, and where: `clients[3].salt: …`, or `line 7, column 2: …`. */
export class DynamicSecurityFault extends Error {
  override readonly name = "DynamicSecurityFault";
}

const FILE_FIELDS = new Set(["defaultaclaccess", "clients", "groups", "anonymousgroup", "roles"]);
const CLIENT_FIELDS = new Set([
  "username",
  "clientid",
  "textname",
  "textdescription",
  "disabled",
  "roles",
  "groups",
  "connections",
  "encoded_password",
  "password",
  "salt",
  "iterations",
]);
const GROUP_FIELDS = new Set(["groupname", "textname", "textdescription", "roles", "clients"]);
const ROLE_FIELDS = new Set([
  "rolename",
  "textname",
  "textdescription",
  "allowwildcardsubs",
  "acls",
]);

function fault(place: string, sentence: string): DynamicSecurityFault {
  return new DynamicSecurityFault(`${place}: ${sentence}`);
}

function objectAt(value: unknown, place: string): JsonObject {
  if (!isObject(value)) throw fault(place, "expected an object, { … }");
  return value;
}

/** A list that may be missing; no longer than that. */
function listOf(object: JsonObject, name: string, place: string, max: number): readonly unknown[] {
  const value = fields.field(object, name);
  if (value === undefined) return [];
  const at = place === "" ? name : `${place}.${name}`;
  if (!Array.isArray(value)) throw fault(at, "expected a list, [ … ]");
  if (value.length > max) throw fault(at, `${value.length} entries; at most ${max} are taken`);
  return value;
}

/** @returns null where the field is missing */
function textOf(object: JsonObject, name: string, place: string): string | null {
  const value = fields.field(object, name);
  if (value === undefined || value === null) return null;
  if (typeof value !== "string") throw fault(`${place}.${name}`, 'expected a text, "…"');
  return value;
}

function nameOf(object: JsonObject, name: string, place: string): string {
  const text = textOf(object, name, place);
  if (text === null) throw fault(place, `expected "${name}" with a text`);
  return text;
}

function booleanOf(object: JsonObject, name: string, place: string, absent: boolean): boolean {
  const value = fields.field(object, name);
  if (value === undefined) return absent;
  if (typeof value !== "boolean") throw fault(`${place}.${name}`, "expected true or false");
  return value;
}

function priorityOf(object: JsonObject, place: string, absent: number): number {
  const value = fields.field(object, "priority");
  if (value !== undefined && typeof value !== "number") {
    throw fault(`${place}.priority`, "expected a number");
  }
  return fields.integerField(object, "priority", absent);
}

function passwordOf(object: JsonObject, place: string): ClientPassword | null {
  const encoded = textOf(object, "encoded_password", place);
  if (encoded !== null) {
    return { stored: hashAt(encoded, `${place}.encoded_password`), isOneField: true };
  }
  const password = textOf(object, "password", place);
  const salt = textOf(object, "salt", place);
  const iterations = fields.field(object, "iterations");
  if (password === null || salt === null || iterations === undefined) return null;
  if (typeof iterations !== "number") throw fault(`${place}.iterations`, "expected a number");
  return { stored: hashAt(`$7$${iterations}$${salt}$${password}`, place), isOneField: false };
}

function hashAt(encoded: string, place: string): StoredPassword {
  const read = readPasswordHash(encoded);
  if (typeof read === "string") throw fault(place, read);
  return passwordHashText(read);
}

/** Reads a file into a model. */
class Reader {
  readonly model = new DynamicSecurityModel();
  readonly #warn: (sentence: string) => void;

  constructor(warn: (sentence: string) => void) {
    this.#warn = warn;
  }

  read(file: JsonObject): DynamicSecurityModel {
    const { model } = this;
    const defaults = fields.field(file, "defaultACLAccess");
    if (defaults !== undefined) {
      const object = objectAt(defaults, "defaultACLAccess");
      for (const type of DEFAULT_TYPES) {
        model.defaults.set(type, booleanOf(object, type, "defaultACLAccess", false));
      }
    }
    for (const [index, value] of listOf(file, "roles", "", DYNAMIC_SECURITY_ROLES_MAX).entries()) {
      this.#role(value, `roles[${index}]`);
    }
    const clients = listOf(file, "clients", "", DYNAMIC_SECURITY_CLIENTS_MAX);
    for (const [index, value] of clients.entries()) this.#client(value, `clients[${index}]`);
    const groups = listOf(file, "groups", "", DYNAMIC_SECURITY_GROUPS_MAX);
    for (const [index, value] of groups.entries()) this.#group(value, `groups[${index}]`);
    const anonymous = textOf(file, "anonymousGroup", "");
    if (anonymous !== null && anonymous !== "") {
      if (model.groups.has(anonymous)) model.anonymousGroup = anonymous;
      else this.#warn(`anonymousGroup: there is no group "${anonymous}"`);
    }
    model.others = otherFields(file, FILE_FIELDS);
    return model;
  }

  /** mosquitto 2.0 let names be empty; 2.1 does not, and neither could anybody log in so. */
  #isUsable(name: string, place: string): boolean {
    if (name === "") this.#warn(`${place}: left out, because its name is empty`);
    return name !== "";
  }

  #role(value: unknown, place: string): void {
    const object = objectAt(value, place);
    const name = nameOf(object, "rolename", place);
    if (!this.#isUsable(name, place)) return;
    if (this.model.roles.has(name)) throw fault(place, `"${name}" is an earlier role's name, too`);
    const acls = listOf(object, "acls", place, DYNAMIC_SECURITY_ACLS_PER_ROLE_MAX);
    const role: Role = {
      name,
      textName: textOf(object, "textname", place),
      textDescription: textOf(object, "textdescription", place),
      allowsWildcards: booleanOf(object, "allowwildcardsubs", place, true),
      acls: acls.map((acl, index) => aclAt(acl, `${place}.acls[${index}]`)),
      others: otherFields(object, ROLE_FIELDS),
    };
    role.acls.sort((a, b) => b.priority - a.priority);
    this.model.roles.add(name, role);
  }

  #client(value: unknown, place: string): void {
    const object = objectAt(value, place);
    const userName = nameOf(object, "username", place);
    if (!this.#isUsable(userName, place)) return;
    if (this.model.clients.has(userName)) {
      throw fault(place, `"${userName}" is an earlier client's name, too`);
    }
    const clientId = textOf(object, "clientid", place);
    this.model.clients.add(userName, {
      userName,
      clientId: clientId === "" ? null : clientId,
      textName: textOf(object, "textname", place),
      textDescription: textOf(object, "textdescription", place),
      isDisabled: booleanOf(object, "disabled", place, false),
      password: passwordOf(object, place),
      roles: this.#roles(object, place),
      groups: [],
      others: otherFields(object, CLIENT_FIELDS),
    });
  }

  #group(value: unknown, place: string): void {
    const object = objectAt(value, place);
    const name = nameOf(object, "groupname", place);
    if (!this.#isUsable(name, place)) return;
    if (this.model.groups.has(name)) {
      throw fault(place, `"${name}" is an earlier group's name, too`);
    }
    const group: Group = {
      name,
      textName: textOf(object, "textname", place),
      textDescription: textOf(object, "textdescription", place),
      roles: this.#roles(object, place),
      clients: new Map(),
      others: otherFields(object, GROUP_FIELDS),
    };
    this.model.groups.add(name, group);
    const clients = listOf(object, "clients", place, DYNAMIC_SECURITY_CLIENTS_MAX);
    for (const [index, entry] of clients.entries()) {
      const at = `${place}.clients[${index}]`;
      const member = objectAt(entry, at);
      const client = this.model.clients.get(nameOf(member, "username", at));
      if (client === undefined) this.#warn(`${at}: there is no such client`);
      else if (!group.clients.has(client.userName)) {
        this.model.join(client, group, priorityOf(member, at, NO_PRIORITY));
      }
    }
  }

  #roles(object: JsonObject, place: string): Membership[] {
    const roles: Membership[] = [];
    const list = listOf(object, "roles", place, DYNAMIC_SECURITY_ROLES_MAX);
    for (const [index, entry] of list.entries()) {
      const at = `${place}.roles[${index}]`;
      const member = objectAt(entry, at);
      const name = nameOf(member, "rolename", at);
      const priority = priorityOf(member, at, NO_PRIORITY);
      if (!this.model.roles.has(name)) this.#warn(`${at}: there is no role "${name}"`);
      else if (!includes(roles, name)) insertByPriority(roles, { name, priority });
    }
    return roles;
  }
}

/** @returns null where it is none of the types, whose names may be in any case */
export function aclTypeOf(text: string | null): AclType | null {
  const lower = text?.toLowerCase();
  return ACL_TYPES.find((type) => type.toLowerCase() === lower) ?? null;
}

function aclAt(value: unknown, place: string): Acl {
  const object = objectAt(value, place);
  const type = aclTypeOf(nameOf(object, "acltype", place));
  if (type === null) throw fault(`${place}.acltype`, `expected one of ${ACL_TYPES.join(", ")}`);
  const topic = textOf(object, "topic", place);
  if (topic === null) throw fault(place, 'expected "topic" with a text');
  const priority = priorityOf(object, place, 0);
  return { type, topic, priority, allows: booleanOf(object, "allow", place, false) };
}

/**
 * Reads the text of a file.
 *
 * @param warn  takes a sentence for what is there but cannot be used
 * @throws DynamicSecurityFault with the place of what is not accepted
 */
export function readDynamicSecurity(
  text: string,
  warn: (sentence: string) => void,
): DynamicSecurityModel {
  if (isDeeper(text, DEPTH_MAX))
    throw new DynamicSecurityFault(`JSON deeper than ${DEPTH_MAX} levels`);
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch {
    const { line, column, expected } = faultOfJson(text);
    throw new DynamicSecurityFault(`line ${line}, column ${column}: expected ${expected}`);
  }
  if (!isObject(file)) throw new DynamicSecurityFault("line 1: expected an object, { … }");
  return new Reader(warn).read(file);
}

/** `{"rolename": …, "priority": …}` of each; the priority only where one was given. */
export function membershipsAsJson(
  list: readonly Membership[],
  nameField: "rolename" | "groupname",
): JsonObject[] {
  return list.map(({ name, priority }) => ({
    [nameField]: name,
    ...(priority === NO_PRIORITY ? {} : { priority }),
  }));
}

/** The texts that a client, group or role may have. */
export function textsAsJson(item: {
  readonly textName: string | null;
  readonly textDescription: string | null;
}): JsonObject {
  return {
    ...(item.textName === null ? {} : { textname: item.textName }),
    ...(item.textDescription === null ? {} : { textdescription: item.textDescription }),
  };
}

/** ACLs by type, in the order of the types. */
export function aclsAsJson(role: Role): JsonObject[] {
  return ACL_TYPES.flatMap((type) =>
    role.acls
      .filter((acl) => acl.type === type)
      .map(({ topic, priority, allows }) => ({ acltype: type, topic, priority, allow: allows })),
  );
}

function passwordAsJson(password: ClientPassword | null): JsonObject {
  if (password === null) return {};
  const { stored, isOneField } = password;
  const read = storedHash(stored);
  if (isOneField || read.kind !== "pbkdf2") return { encoded_password: stored };
  const { hash, iterations, salt } = read;
  return { password: hash.toString("base64"), salt: salt.toString("base64"), iterations };
}

function clientAsJson(client: Client): JsonObject {
  return {
    username: client.userName,
    ...(client.clientId === null ? {} : { clientid: client.clientId }),
    ...textsAsJson(client),
    ...(client.isDisabled ? { disabled: true } : {}),
    roles: membershipsAsJson(client.roles, "rolename"),
    ...passwordAsJson(client.password),
    ...Object.fromEntries(client.others),
  };
}

function groupAsJson(group: Group): JsonObject {
  return {
    groupname: group.name,
    ...textsAsJson(group),
    roles: membershipsAsJson(group.roles, "rolename"),
    clients: sortedNames(group.clients).map((username) => {
      const priority = group.clients.get(username) ?? NO_PRIORITY;
      return { username, ...(priority === NO_PRIORITY ? {} : { priority }) };
    }),
    ...Object.fromEntries(group.others),
  };
}

function roleAsJson(role: Role): JsonObject {
  return {
    rolename: role.name,
    ...textsAsJson(role),
    ...(role.allowsWildcards ? {} : { allowwildcardsubs: false }),
    acls: aclsAsJson(role),
    ...Object.fromEntries(role.others),
  };
}

/** The text of the file that holds the model. */
export function writeDynamicSecurity(model: DynamicSecurityModel): string {
  const file: JsonObject = {
    defaultACLAccess: Object.fromEntries(model.defaults),
    clients: model.clients.sorted.map(clientAsJson),
    groups: model.groups.sorted.map(groupAsJson),
    ...(model.anonymousGroup === null ? {} : { anonymousGroup: model.anonymousGroup }),
    roles: model.roles.sorted.map(roleAsJson),
    ...Object.fromEntries(model.others),
  };
  return `${JSON.stringify(file, null, "\t")}\n`;
}
