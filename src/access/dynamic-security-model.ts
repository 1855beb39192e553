/**
 * Clients, groups and roles of dynamic security, and what holds between them:
 *
 *   client ──▶ roles       a client has roles, and is in groups, both with a priority: the highest
 *     │                    comes first, among equals the one that was added first
 *     └─▶ groups ──▶ roles
 *
 * A client knows its groups and a group its clients; no name stands anywhere that is not there.
 */
import {
  DYNAMIC_SECURITY_CLIENTS_MAX,
  DYNAMIC_SECURITY_GROUPS_MAX,
  DYNAMIC_SECURITY_ROLES_MAX,
} from "../base/limits.ts";
import type { StoredPassword } from "./password-hash.ts";

export const ACL_TYPES = [
  "publishClientSend",
  "publishClientReceive",
  "subscribeLiteral",
  "subscribePattern",
  "unsubscribeLiteral",
  "unsubscribePattern",
] as const;

export type AclType = (typeof ACL_TYPES)[number];

export const DEFAULT_TYPES = [
  "publishClientSend",
  "publishClientReceive",
  "subscribe",
  "unsubscribe",
] as const;

export type DefaultType = (typeof DEFAULT_TYPES)[number];

/** Of a role, or of a group, that is not said to have one: it is the last, and not written. */
export const NO_PRIORITY = -1;

export interface Acl {
  readonly type: AclType;
  readonly topic: string;
  readonly priority: number;
  readonly allows: boolean;
}

/** Something that is there by its name, and how soon it is asked. */
export interface Membership {
  readonly name: string;
  readonly priority: number;
}

/** What a file holds besides what is known here: it is written back. */
export type OtherFields = readonly (readonly [name: string, value: unknown])[];

export interface ClientPassword {
  readonly stored: StoredPassword;
  /** Whether it goes into `encoded_password`, not into `password`, `salt` and `iterations`. */
  readonly isOneField: boolean;
}

export interface Role {
  readonly name: string;
  textName: string | null;
  textDescription: string | null;
  /** Whether its holders may subscribe with wildcards at all. */
  allowsWildcards: boolean;
  /** Of each type those of higher priority first. */
  acls: Acl[];
  readonly others: OtherFields;
}

export interface Group {
  readonly name: string;
  textName: string | null;
  textDescription: string | null;
  roles: Membership[];
  /** Priority of the group for each of its clients. */
  readonly clients: Map<string, number>;
  readonly others: OtherFields;
}

export interface Client {
  readonly userName: string;
  /** The only Client Identifier that it may use; null: whichever. */
  clientId: string | null;
  textName: string | null;
  textDescription: string | null;
  isDisabled: boolean;
  password: ClientPassword | null;
  roles: Membership[];
  groups: Membership[];
  readonly others: OtherFields;
}

/** Puts an item behind all of the same or a higher priority. */
export function insertByPriority<Item extends { readonly priority: number }>(
  list: Item[],
  item: Item,
): void {
  const at = list.findIndex(({ priority }) => priority < item.priority);
  list.splice(at < 0 ? list.length : at, 0, item);
}

/** A list with one more. */
export function withMembership(list: readonly Membership[], added: Membership): Membership[] {
  const all = [...list];
  insertByPriority(all, added);
  return all;
}

/** Of a list, all but what has this name. */
export function without(list: readonly Membership[], name: string): Membership[] {
  return list.filter((membership) => membership.name !== name);
}

export function includes(list: readonly Membership[], name: string): boolean {
  return list.some((membership) => membership.name === name);
}

/** As strcmp() orders them: by the bytes of UTF-8, which is by code points. */
export function byCodePoints(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const [left, right] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (left === right) continue;
    // Surrogates stand for what is above all that one code unit can say.
    const [leftHigh, rightHigh] = [(left & 0xf800) === 0xd800, (right & 0xf800) === 0xd800];
    return leftHigh === rightHigh ? left - right : leftHigh ? 1 : -1;
  }
  return a.length - b.length;
}

export function sortedNames(map: ReadonlyMap<string, unknown>): string[] {
  return [...map.keys()].sort(byCodePoints);
}

/** Things by their names; the names are sorted when they are asked for, and stay so. */
export class Register<Item> {
  readonly #items = new Map<string, Item>();
  #names: readonly string[] | null = null;

  get size(): number {
    return this.#items.size;
  }

  get(name: string): Item | undefined {
    return this.#items.get(name);
  }

  has(name: string): boolean {
    return this.#items.has(name);
  }

  add(name: string, item: Item): void {
    this.#items.set(name, item);
    this.#names = null;
  }

  delete(name: string): void {
    this.#items.delete(name);
    this.#names = null;
  }

  values(): Iterable<Item> {
    return this.#items.values();
  }

  /** In the order of their names. */
  get names(): readonly string[] {
    this.#names ??= sortedNames(this.#items);
    return this.#names;
  }

  /** In the order of their names. */
  get sorted(): readonly Item[] {
    return this.names.map((name) => this.#items.get(name) as Item);
  }
}

export class DynamicSecurityModel {
  readonly clients = new Register<Client>();
  readonly groups = new Register<Group>();
  readonly roles = new Register<Role>();
  /** What is allowed where no ACL says anything. */
  readonly defaults = new Map<DefaultType, boolean>(DEFAULT_TYPES.map((type) => [type, false]));
  /** The group whose roles clients without a user name have; null: they have none. */
  anonymousGroup: string | null = null;
  others: OtherFields = [];

  get hasRoomForClient(): boolean {
    return this.clients.size < DYNAMIC_SECURITY_CLIENTS_MAX;
  }

  get hasRoomForGroup(): boolean {
    return this.groups.size < DYNAMIC_SECURITY_GROUPS_MAX;
  }

  get hasRoomForRole(): boolean {
    return this.roles.size < DYNAMIC_SECURITY_ROLES_MAX;
  }

  join(client: Client, group: Group, priority: number): void {
    group.clients.set(client.userName, priority);
    insertByPriority(client.groups, { name: group.name, priority });
  }

  leave(client: Client, group: Group): void {
    group.clients.delete(client.userName);
    client.groups = without(client.groups, group.name);
  }

  leaveAll(client: Client): void {
    for (const { name } of client.groups) this.groups.get(name)?.clients.delete(client.userName);
    client.groups = [];
  }

  deleteClient(client: Client): void {
    this.leaveAll(client);
    this.clients.delete(client.userName);
  }

  deleteGroup(group: Group): void {
    this.emptyGroup(group);
    this.groups.delete(group.name);
    if (this.anonymousGroup === group.name) this.anonymousGroup = null;
  }

  emptyGroup(group: Group): void {
    for (const userName of group.clients.keys()) {
      const client = this.clients.get(userName);
      if (client !== undefined) client.groups = without(client.groups, group.name);
    }
    group.clients.clear();
  }

  /** O(clients and groups): holders of a role are looked for. */
  deleteRole(role: Role): void {
    for (const holders of [this.clients.values(), this.groups.values()]) {
      for (const holder of holders) {
        if (includes(holder.roles, role.name)) holder.roles = without(holder.roles, role.name);
      }
    }
    this.roles.delete(role.name);
  }
}
