/** Commands of dynamic security that concern clients, in mosquitto's forms. */
import { CommandRefused } from "./control-request.ts";
import { type CommandUnderway, isMqttText } from "./dynamic-security-change.ts";
import { membershipsAsJson, textsAsJson } from "./dynamic-security-file.ts";
import {
  type Client,
  type Group,
  includes,
  NO_PRIORITY,
  withMembership,
  without,
} from "./dynamic-security-model.ts";
import { field, integerField, isObject, type JsonObject, textField } from "./json-fields.ts";

/** A group that a client is to be in. */
interface Joining {
  readonly group: Group;
  readonly priority: number;
}

/**
 * The `groups` of a command; what is no object is passed over.
 *
 * @param unnamed  the answer where an entry names no group; null: it is passed over as well
 * @param unknown  the answer where there is no such group
 * @returns null where there are none: what is there stays
 */
function groupsOf(
  { fields, model }: CommandUnderway,
  unnamed: string | null,
  unknown: string,
): Joining[] | null {
  const list = field(fields, "groups");
  if (!Array.isArray(list)) return null;
  const groups = new Map<string, Joining>();
  for (const entry of list) {
    if (!isObject(entry)) continue;
    const name = textField(entry, "groupname");
    if (name === null && unnamed === null) continue;
    if (name === null) throw new CommandRefused(unnamed ?? unknown);
    const group = model.groups.get(name);
    if (group === undefined) throw new CommandRefused(unknown);
    const priority = integerField(entry, "priority", NO_PRIORITY);
    if (!groups.has(name)) groups.set(name, { group, priority });
  }
  return [...groups.values()];
}

function clientIdOf(underway: CommandUnderway, what: string): string | null {
  const clientId = underway.optionalText("clientid", what);
  if (clientId !== null && !isMqttText(clientId)) {
    throw new CommandRefused("Client ID not valid UTF-8");
  }
  return clientId === "" ? null : clientId;
}

export async function createClient(underway: CommandUnderway): Promise<null> {
  const { model } = underway;
  const userName = underway.userName();
  if (userName === "") throw new CommandRefused("Empty username");
  const password = underway.optionalText("password");
  const clientId = clientIdOf(underway, "client id");
  const textName = underway.optionalText("textname");
  const textDescription = underway.optionalText("textdescription");
  if (model.clients.has(userName)) throw new CommandRefused("Client already exists");
  if (!model.hasRoomForClient) throw new CommandRefused("Too many clients");
  const roles = underway.roles() ?? [];
  const groups = groupsOf(underway, null, "Group not found") ?? [];
  const client: Client = {
    userName,
    clientId,
    textName,
    textDescription,
    isDisabled: false,
    password: password === null ? null : await underway.parts.hash(password),
    roles,
    groups: [],
    others: [],
  };
  underway.change();
  model.clients.add(userName, client);
  for (const { group, priority } of groups) model.join(client, group, priority);
  return null;
}

export function deleteClient(underway: CommandUnderway): null {
  const client = underway.client();
  underway.change();
  underway.concernsClient(client);
  underway.model.deleteClient(client);
  return null;
}

export async function modifyClient(underway: CommandUnderway): Promise<null> {
  const { model } = underway;
  const client = underway.client();
  const clientId = underway.newText("clientid");
  const password = underway.newText("password");
  const textName = underway.newText("textname");
  const textDescription = underway.newText("textdescription");
  if (clientId !== null && !isMqttText(clientId)) {
    throw new CommandRefused("Client ID not valid UTF-8");
  }
  const roles = underway.roles();
  const groups = groupsOf(
    underway,
    "'groups' contains an object with an invalid 'groupname'",
    "'groups' contains an object with a 'groupname' that does not exist",
  );
  const hashed = password ? await underway.parts.hash(password) : null;
  underway.change();
  underway.concernsClient(client);
  if (hashed !== null) client.password = hashed;
  if (clientId !== null) client.clientId = clientId === "" ? null : clientId;
  if (textName !== null) client.textName = textName;
  if (textDescription !== null) client.textDescription = textDescription;
  if (roles !== null) client.roles = roles;
  if (groups !== null) {
    model.leaveAll(client);
    for (const { group, priority } of groups) model.join(client, group, priority);
  }
  return null;
}

export function enableClient(underway: CommandUnderway): null {
  const client = underway.client();
  underway.change();
  client.isDisabled = false;
  return null;
}

export function disableClient(underway: CommandUnderway): null {
  const client = underway.client();
  underway.change();
  underway.concernsClient(client);
  client.isDisabled = true;
  return null;
}

export function setClientId(underway: CommandUnderway): null {
  const userName = underway.userName();
  const clientId = clientIdOf(underway, "client ID");
  const client = underway.client(userName);
  underway.change();
  underway.concernsClient(client);
  client.clientId = clientId;
  return null;
}

export async function setClientPassword(underway: CommandUnderway): Promise<null> {
  const userName = underway.userName();
  const password = underway.newText("password");
  if (password === null) throw new CommandRefused("Invalid/missing password");
  if (password === "") throw new CommandRefused("Empty password is not allowed");
  const client = underway.client(userName);
  const hashed = await underway.parts.hash(password);
  underway.change();
  underway.concernsClient(client);
  client.password = hashed;
  return null;
}

function clientAsAnswer(underway: CommandUnderway, client: Client): JsonObject {
  return {
    username: client.userName,
    ...(client.clientId === null ? {} : { clientid: client.clientId }),
    ...textsAsJson(client),
    ...(client.isDisabled ? { disabled: true } : {}),
    roles: membershipsAsJson(client.roles, "rolename"),
    groups: membershipsAsJson(client.groups, "groupname"),
    connections: (underway.addresses.get(client.userName) ?? []).map((address) => ({ address })),
  };
}

export function getClient(underway: CommandUnderway): JsonObject {
  return { client: clientAsAnswer(underway, underway.client()) };
}

export function listClients(underway: CommandUnderway): JsonObject {
  return underway.listing("clients", (name) => clientAsAnswer(underway, underway.client(name)));
}

export function addClientRole(underway: CommandUnderway): null {
  const [userName, roleName] = [underway.userName(), underway.roleName()];
  const client = underway.client(userName);
  const { name } = underway.role(roleName);
  // mosquitto's words for a role that the client has.
  if (includes(client.roles, name)) throw new CommandRefused("Internal error");
  underway.change();
  underway.concernsClient(client);
  client.roles = withMembership(client.roles, { name, priority: underway.priority });
  return null;
}

export function removeClientRole(underway: CommandUnderway): null {
  const [userName, roleName] = [underway.userName(), underway.roleName()];
  const client = underway.client(userName);
  const { name } = underway.role(roleName);
  underway.change();
  underway.concernsClient(client);
  client.roles = without(client.roles, name);
  return null;
}
