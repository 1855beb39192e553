/** Commands of dynamic security that concern groups, in mosquitto's forms. */
import { CommandRefused } from "./control-request.ts";
import type { CommandUnderway } from "./dynamic-security-change.ts";
import { membershipsAsJson, textsAsJson } from "./dynamic-security-file.ts";
import {
  type Client,
  type Group,
  includes,
  NO_PRIORITY,
  sortedNames,
  withMembership,
  without,
} from "./dynamic-security-model.ts";
import { field, integerField, isObject, type JsonObject, textField } from "./json-fields.ts";

export function createGroup(underway: CommandUnderway): null {
  const { model } = underway;
  const name = underway.groupName();
  if (name === "") throw new CommandRefused("Empty groupname");
  const textName = underway.optionalText("textname");
  const textDescription = underway.optionalText("textdescription");
  if (model.groups.has(name)) throw new CommandRefused("Group already exists");
  if (!model.hasRoomForGroup) throw new CommandRefused("Too many groups");
  // mosquitto's words for roles that are no list of roles, here.
  const roles = underway.roles("Internal error") ?? [];
  underway.change();
  model.groups.add(name, {
    name,
    textName,
    textDescription,
    roles,
    clients: new Map(),
    others: [],
  });
  return null;
}

export function deleteGroup(underway: CommandUnderway): null {
  const { model } = underway;
  const group = underway.group();
  if (model.anonymousGroup === group.name) {
    throw new CommandRefused("Deleting the anonymous group is forbidden");
  }
  underway.change();
  underway.concernsGroup(group);
  model.deleteGroup(group);
  return null;
}

/** The `clients` of a command; null where there are none: what is there stays. */
function clientsOf(
  underway: CommandUnderway,
): { readonly client: Client; readonly priority: number }[] | null {
  const list = field(underway.fields, "clients");
  if (!Array.isArray(list)) return null;
  const members = new Map<string, { client: Client; priority: number }>();
  for (const entry of list) {
    if (!isObject(entry)) continue;
    const userName = textField(entry, "username");
    if (userName === null) {
      throw new CommandRefused("'clients' contains an object with an invalid 'username'");
    }
    const client = underway.model.clients.get(userName);
    if (client === undefined) {
      throw new CommandRefused(
        "'clients' contains an object with a 'username' that does not exist",
      );
    }
    const priority = integerField(entry, "priority", NO_PRIORITY);
    if (!members.has(userName)) members.set(userName, { client, priority });
  }
  return [...members.values()];
}

export function modifyGroup(underway: CommandUnderway): null {
  const { model } = underway;
  const group = underway.group();
  const textName = underway.newText("textname");
  const textDescription = underway.newText("textdescription");
  const roles = underway.roles();
  const members = clientsOf(underway);
  underway.change();
  underway.concernsGroup(group);
  if (textName !== null) group.textName = textName;
  if (textDescription !== null) group.textDescription = textDescription;
  if (roles !== null) group.roles = roles;
  if (members !== null) {
    model.emptyGroup(group);
    for (const { client, priority } of members) model.join(client, group, priority);
    underway.concernsGroup(group);
  }
  return null;
}

function groupAsAnswer(group: Group): JsonObject {
  return {
    groupname: group.name,
    ...textsAsJson(group),
    clients: sortedNames(group.clients).map((username) => ({ username })),
    roles: membershipsAsJson(group.roles, "rolename"),
  };
}

export function getGroup(underway: CommandUnderway): JsonObject {
  return { group: groupAsAnswer(underway.group()) };
}

export function listGroups(underway: CommandUnderway): JsonObject {
  return underway.listing("groups", (name) => groupAsAnswer(underway.group(name)));
}

export function addGroupClient(underway: CommandUnderway): null {
  const [userName, groupName] = [underway.userName(), underway.groupName()];
  const client = underway.client(userName);
  const group = underway.group(groupName);
  if (group.clients.has(userName)) throw new CommandRefused("Client is already in this group");
  underway.change();
  underway.concernsClient(client);
  underway.model.join(client, group, underway.priority);
  return null;
}

export function removeGroupClient(underway: CommandUnderway): null {
  const [userName, groupName] = [underway.userName(), underway.groupName()];
  const client = underway.client(userName);
  const group = underway.group(groupName);
  underway.change();
  underway.concernsClient(client);
  underway.model.leave(client, group);
  return null;
}

export function addGroupRole(underway: CommandUnderway): null {
  const [groupName, roleName] = [underway.groupName(), underway.roleName()];
  const group = underway.group(groupName);
  const { name } = underway.role(roleName);
  if (includes(group.roles, name)) throw new CommandRefused("Group is already in this role");
  underway.change();
  underway.concernsGroup(group);
  group.roles = withMembership(group.roles, { name, priority: underway.priority });
  return null;
}

export function removeGroupRole(underway: CommandUnderway): null {
  const [groupName, roleName] = [underway.groupName(), underway.roleName()];
  const group = underway.group(groupName);
  const { name } = underway.role(roleName);
  underway.change();
  underway.concernsGroup(group);
  group.roles = without(group.roles, name);
  return null;
}

export function setAnonymousGroup(underway: CommandUnderway): null {
  const group = underway.group();
  underway.change();
  underway.concerned.anonymous = true;
  underway.model.anonymousGroup = group.name;
  return null;
}

export function getAnonymousGroup(underway: CommandUnderway): JsonObject {
  return { group: { groupname: underway.model.anonymousGroup ?? "" } };
}
