/** Commands of dynamic security that concern roles and defaults, in mosquitto's forms. */
import { DYNAMIC_SECURITY_ACLS_PER_ROLE_MAX } from "../base/limits.ts";
import { CommandRefused } from "./control-request.ts";
import { type CommandUnderway, isMqttText } from "./dynamic-security-change.ts";
import { aclsAsJson, aclTypeOf, textsAsJson } from "./dynamic-security-file.ts";
import {
  type Acl,
  type AclType,
  DEFAULT_TYPES,
  insertByPriority,
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
import { isTopicFilter } from "./topic-filter.ts";

/** The `acls` of a role; entries of an unknown type, or without a topic, are passed over. */
function aclsOf(underway: CommandUnderway): Acl[] | null {
  const list = field(underway.fields, "acls");
  if (!Array.isArray(list)) return null;
  if (list.length > DYNAMIC_SECURITY_ACLS_PER_ROLE_MAX) throw new CommandRefused("Too many ACLs");
  const acls: Acl[] = [];
  for (const entry of list) {
    if (!isObject(entry)) continue;
    const type = aclTypeOf(textField(entry, "acltype"));
    const topic = textField(entry, "topic");
    if (type !== null && topic !== null && isMqttText(topic)) acls.push(aclOf(entry, type, topic));
  }
  return acls.sort((a, b) => b.priority - a.priority);
}

function aclOf(fields: JsonObject, type: AclType, topic: string): Acl {
  const priority = integerField(fields, "priority", 0);
  return { type, topic, priority, allows: booleanField(fields, "allow", false) };
}

export function createRole(underway: CommandUnderway): null {
  const { model } = underway;
  const name = underway.roleName();
  if (name === "") throw new CommandRefused("Empty rolename");
  const textName = underway.optionalText("textname");
  const textDescription = underway.optionalText("textdescription");
  const wildcards = field(underway.fields, "allowwildcardsubs");
  if (wildcards !== undefined && typeof wildcards !== "boolean") {
    throw new CommandRefused("Invalid allowwildcardsubs");
  }
  if (model.roles.has(name)) throw new CommandRefused("Role already exists");
  if (!model.hasRoomForRole) throw new CommandRefused("Too many roles");
  const acls = aclsOf(underway) ?? [];
  underway.change();
  const allowsWildcards = wildcards ?? true;
  model.roles.add(name, { name, textName, textDescription, allowsWildcards, acls, others: [] });
  return null;
}

export function deleteRole(underway: CommandUnderway): null {
  const role = underway.role();
  underway.change();
  underway.concernsRole(role);
  underway.model.deleteRole(role);
  return null;
}

export function modifyRole(underway: CommandUnderway): null {
  const role = underway.role(underway.roleName(), "Role does not exist");
  const textName = underway.newText("textname");
  const textDescription = underway.newText("textdescription");
  const acls = aclsOf(underway);
  underway.change();
  if (textName !== null) role.textName = textName;
  if (textDescription !== null) role.textDescription = textDescription;
  const allowsWildcards = booleanField(underway.fields, "allowwildcardsubs", role.allowsWildcards);
  if (acls !== null || allowsWildcards !== role.allowsWildcards) underway.concernsRole(role);
  role.allowsWildcards = allowsWildcards;
  if (acls !== null) role.acls = acls;
  return null;
}

function roleAsAnswer(role: Role): JsonObject {
  return {
    rolename: role.name,
    ...textsAsJson(role),
    allowwildcardsubs: role.allowsWildcards,
    acls: aclsAsJson(role),
  };
}

export function getRole(underway: CommandUnderway): JsonObject {
  return { role: roleAsAnswer(underway.role()) };
}

export function listRoles(underway: CommandUnderway): JsonObject {
  return underway.listing("roles", (name) => roleAsAnswer(underway.role(name)));
}

/** The role, and which of its ACLs is meant. */
function meantAcl(underway: CommandUnderway): { role: Role; type: AclType; topic: string } {
  const role = underway.role();
  const typeText = textField(underway.fields, "acltype");
  if (typeText === null) throw new CommandRefused("Invalid/missing acltype");
  const type = aclTypeOf(typeText);
  if (type === null) throw new CommandRefused("Unknown acltype");
  const topic = textField(underway.fields, "topic");
  if (topic === null) throw new CommandRefused("Invalid/missing topic");
  if (!isMqttText(topic)) throw new CommandRefused("Topic not valid UTF-8");
  if (!isTopicFilter(topic)) throw new CommandRefused("Invalid ACL topic");
  return { role, type, topic };
}

function isAcl(acl: Acl, type: AclType, topic: string): boolean {
  return acl.type === type && acl.topic === topic;
}

export function addRoleAcl(underway: CommandUnderway): null {
  const { role, type, topic } = meantAcl(underway);
  if (role.acls.some((acl) => isAcl(acl, type, topic))) {
    throw new CommandRefused("ACL with this topic already exists");
  }
  if (role.acls.length >= DYNAMIC_SECURITY_ACLS_PER_ROLE_MAX) {
    throw new CommandRefused("Too many ACLs");
  }
  underway.change();
  underway.concernsRole(role);
  insertByPriority(role.acls, aclOf(underway.fields, type, topic));
  return null;
}

export function removeRoleAcl(underway: CommandUnderway): null {
  const { role, type, topic } = meantAcl(underway);
  const at = role.acls.findIndex((acl) => isAcl(acl, type, topic));
  if (at < 0) throw new CommandRefused("ACL not found");
  underway.change();
  underway.concernsRole(role);
  role.acls.splice(at, 1);
  return null;
}

export function setDefaultAclAccess(underway: CommandUnderway): null {
  const list = field(underway.fields, "acls");
  if (!Array.isArray(list)) throw new CommandRefused("Missing/invalid actions array");
  underway.change();
  for (const entry of list) {
    if (!isObject(entry)) continue;
    const allows = field(entry, "allow");
    const lower = textField(entry, "acltype")?.toLowerCase();
    const type = DEFAULT_TYPES.find((known) => known.toLowerCase() === lower);
    if (type !== undefined && typeof allows === "boolean") {
      underway.model.defaults.set(type, allows);
    }
  }
  return null;
}

export function getDefaultAclAccess(underway: CommandUnderway): JsonObject {
  const { defaults } = underway.model;
  return {
    acls: DEFAULT_TYPES.map((acltype) => ({ acltype, allow: defaults.get(acltype) === true })),
  };
}
