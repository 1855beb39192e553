/**
 * One command of dynamic security under way: what it reads, what it may answer, and whom its change
 * concerns, who are disconnected as mosquitto does it.
 */
import { CommandRefused, type ControlCommand } from "./control-request.ts";
import {
  type Client,
  type ClientPassword,
  type DynamicSecurityModel,
  type Group,
  includes,
  insertByPriority,
  type Membership,
  NO_PRIORITY,
  type Role,
} from "./dynamic-security-model.ts";
import {
  booleanField,
  field,
  integerField,
  isObject,
  type JsonObject,
  textField,
} from "./json-fields.ts";

/** What is asked of the broker for a command. */
export interface CommandParts {
  hash(password: string): Promise<ClientPassword>;
  /** Addresses of the connections of each user that has some. */
  addresses(): ReadonlyMap<string, readonly string[]>;
}

/** Users whose rights or credentials changed. */
export class Concerned {
  readonly userNames = new Set<string>();
  anonymous = false;

  addAll(other: Concerned): void {
    for (const userName of other.userNames) this.userNames.add(userName);
    if (other.anonymous) this.anonymous = true;
  }

  get isEmpty(): boolean {
    return this.userNames.size === 0 && !this.anonymous;
  }
}

/** Longest name or text, bytes of UTF-8: as long as a string of MQTT may be. [MQTT 5.0 §1.5.4] */
const TEXT_BYTES_MAX = 65_535;

/** What a UTF-8 string of mosquitto has not: control characters, surrogates, non-characters. */
const UNWANTED = /[\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}]/u;

/** Whether it could stand in a packet. */
export function isMqttText(text: string): boolean {
  return !UNWANTED.test(text) && Buffer.byteLength(text) <= TEXT_BYTES_MAX;
}

export class CommandUnderway {
  readonly model: DynamicSecurityModel;
  readonly fields: JsonObject;
  readonly parts: CommandParts;
  readonly concerned = new Concerned();
  /** Whether the file is to be written. */
  isChange = false;
  #addresses: ReadonlyMap<string, readonly string[]> | null = null;

  constructor(model: DynamicSecurityModel, command: ControlCommand, parts: CommandParts) {
    this.model = model;
    this.fields = command.fields;
    this.parts = parts;
  }

  /** Addresses by user name. */
  get addresses(): ReadonlyMap<string, readonly string[]> {
    this.#addresses ??= this.parts.addresses();
    return this.#addresses;
  }

  /** What is there is changed from here on. */
  change(): void {
    this.isChange = true;
  }

  /**
   * A name that must be there.
   *
   * @param what  how an answer calls it: Username
   */
  name(fieldName: "username" | "groupname" | "rolename", what: string): string {
    const name = textField(this.fields, fieldName);
    if (name === null) throw new CommandRefused(`Invalid/missing ${fieldName}`);
    if (!isMqttText(name)) throw new CommandRefused(`${what} not valid UTF-8`);
    return name;
  }

  userName(): string {
    return this.name("username", "Username");
  }

  groupName(): string {
    return this.name("groupname", "Group name");
  }

  roleName(): string {
    return this.name("rolename", "Role name");
  }

  client(userName = this.userName()): Client {
    const client = this.model.clients.get(userName);
    if (client === undefined) throw new CommandRefused("Client not found");
    return client;
  }

  group(name = this.groupName()): Group {
    const group = this.model.groups.get(name);
    if (group === undefined) throw new CommandRefused("Group not found");
    return group;
  }

  role(name = this.roleName(), error = "Role not found"): Role {
    const role = this.model.roles.get(name);
    if (role === undefined) throw new CommandRefused(error);
    return role;
  }

  /**
   * A text that may be missing, but not be something else.
   *
   * @param what  how an answer calls it, where that is not its name
   */
  optionalText(fieldName: string, what = fieldName): string | null {
    const value = field(this.fields, fieldName);
    if (value === undefined) return null;
    const isText = typeof value === "string" && Buffer.byteLength(value) <= TEXT_BYTES_MAX;
    if (!isText || !value.isWellFormed()) throw new CommandRefused(`Invalid/missing ${what}`);
    return value;
  }

  /** A text to be changed; null where it is missing, or is no text: then it stays. */
  newText(fieldName: string): string | null {
    const value = textField(this.fields, fieldName);
    const isText = value !== null && Buffer.byteLength(value) <= TEXT_BYTES_MAX;
    return isText && value.isWellFormed() ? value : null;
  }

  get priority(): number {
    return integerField(this.fields, "priority", NO_PRIORITY);
  }

  /**
   * The `roles` of a client or group.
   *
   * @param error  the answer where they are no list of roles
   * @returns null where there are none: what is there stays
   */
  roles(error = "'roles' not an array or missing/invalid rolename"): Membership[] | null {
    const list = field(this.fields, "roles");
    if (list === undefined) return null;
    if (!Array.isArray(list)) throw new CommandRefused(error);
    const roles: Membership[] = [];
    for (const entry of list) {
      const name = isObject(entry) ? textField(entry, "rolename") : null;
      if (name === null) throw new CommandRefused(error);
      this.role(name);
      const priority = integerField(entry, "priority", NO_PRIORITY);
      if (!includes(roles, name)) insertByPriority(roles, { name, priority });
    }
    return roles;
  }

  concernsClient(client: Client): void {
    this.concerned.userNames.add(client.userName);
  }

  concernsGroup(group: Group): void {
    for (const userName of group.clients.keys()) this.concerned.userNames.add(userName);
    if (this.model.anonymousGroup === group.name) this.concerned.anonymous = true;
  }

  /** Holders of a role, also through their groups. O(clients and groups). */
  concernsRole(role: Role): void {
    for (const client of this.model.clients.values()) {
      if (includes(client.roles, role.name)) this.concernsClient(client);
    }
    for (const group of this.model.groups.values()) {
      if (includes(group.roles, role.name)) this.concernsGroup(group);
    }
  }

  /** All names of a kind, or what is there of each, where the command asks for it. */
  listing(
    kind: "clients" | "groups" | "roles",
    asAnswer: (name: string) => JsonObject,
  ): JsonObject {
    const register = this.model[kind];
    const names = this.#page(register.names);
    const isVerbose = booleanField(this.fields, "verbose", false);
    return { totalCount: register.size, [kind]: isVerbose ? names.map(asAnswer) : names };
  }

  /** The part of a list that `count` and `offset` name. */
  #page(names: readonly string[]): readonly string[] {
    const offset = Math.max(0, integerField(this.fields, "offset", 0));
    const count = integerField(this.fields, "count", -1);
    // mosquitto gives one where it is asked for none.
    return names.slice(offset, count < 0 ? undefined : offset + Math.max(1, count));
  }
}
