/** The commands of dynamic security by name. */
import type { CommandUnderway } from "./dynamic-security-change.ts";
import * as clients from "./dynamic-security-clients.ts";
import * as groups from "./dynamic-security-groups.ts";
import * as roles from "./dynamic-security-roles.ts";
import type { JsonObject } from "./json-fields.ts";

/**
 * Does a command.
 *
 * @returns the data of the response, or null: it has none
 * @throws CommandRefused with what the answer says; nothing is changed then
 */
type Work = (underway: CommandUnderway) => JsonObject | null | Promise<JsonObject | null>;

const COMMANDS: Readonly<Record<string, Work>> = {
  setDefaultACLAccess: roles.setDefaultAclAccess,
  getDefaultACLAccess: roles.getDefaultAclAccess,
  createClient: clients.createClient,
  deleteClient: clients.deleteClient,
  getClient: clients.getClient,
  listClients: clients.listClients,
  modifyClient: clients.modifyClient,
  setClientPassword: clients.setClientPassword,
  setClientId: clients.setClientId,
  enableClient: clients.enableClient,
  disableClient: clients.disableClient,
  addClientRole: clients.addClientRole,
  removeClientRole: clients.removeClientRole,
  createGroup: groups.createGroup,
  deleteGroup: groups.deleteGroup,
  getGroup: groups.getGroup,
  listGroups: groups.listGroups,
  modifyGroup: groups.modifyGroup,
  addGroupClient: groups.addGroupClient,
  removeGroupClient: groups.removeGroupClient,
  addGroupRole: groups.addGroupRole,
  removeGroupRole: groups.removeGroupRole,
  setAnonymousGroup: groups.setAnonymousGroup,
  getAnonymousGroup: groups.getAnonymousGroup,
  createRole: roles.createRole,
  deleteRole: roles.deleteRole,
  getRole: roles.getRole,
  listRoles: roles.listRoles,
  modifyRole: roles.modifyRole,
  addRoleACL: roles.addRoleAcl,
  removeRoleACL: roles.removeRoleAcl,
};

const BY_LOWER_CASE = new Map(
  Object.entries(COMMANDS).map(([name, work]) => [name.toLowerCase(), { name, work }]),
);

/** A command by its name, which may be in any case; undefined: there is none. */
export function commandOf(
  name: string,
): { readonly name: string; readonly work: Work } | undefined {
  return BY_LOWER_CASE.get(name.toLowerCase());
}
