/** Whom the difference between two states of dynamic security concerns. */
import { Concerned } from "./dynamic-security-change.ts";
import { aclsAsJson } from "./dynamic-security-file.ts";
import type { Client, DynamicSecurityModel, Membership } from "./dynamic-security-model.ts";

/** One of the two states; what a role says is put into words once. */
class State {
  readonly #model: DynamicSecurityModel;
  readonly #contents = new Map<string, string>();

  constructor(model: DynamicSecurityModel) {
    this.#model = model;
  }

  /** Roles in the order they are asked, with what each says. */
  #rights(memberships: readonly Membership[]): string[] {
    return memberships.map(({ name }) => {
      let content = this.#contents.get(name);
      if (content === undefined) {
        const role = this.#model.roles.get(name);
        content = JSON.stringify(role && [role.allowsWildcards, aclsAsJson(role)]) ?? "";
        this.#contents.set(name, content);
      }
      return content;
    });
  }

  ofClient(client: Client): string {
    const { groups } = this.#model;
    const ofGroups = client.groups.flatMap(({ name }) => groups.get(name)?.roles ?? []);
    const password = client.password?.stored ?? null;
    const rights = this.#rights([...client.roles, ...ofGroups]);
    return JSON.stringify([client.clientId, client.isDisabled, password, rights]);
  }

  ofAnonymous(): string {
    const { anonymousGroup, groups } = this.#model;
    const group = anonymousGroup === null ? undefined : groups.get(anonymousGroup);
    return JSON.stringify(this.#rights(group?.roles ?? []));
  }
}

/** Clients that are gone, or have other credentials or rights than before. */
export function concernedBy(before: DynamicSecurityModel, after: DynamicSecurityModel): Concerned {
  const concerned = new Concerned();
  const [then, now] = [new State(before), new State(after)];
  for (const client of before.clients.values()) {
    const same = after.clients.get(client.userName);
    if (same === undefined || then.ofClient(client) !== now.ofClient(same)) {
      concerned.userNames.add(client.userName);
    }
  }
  concerned.anonymous = then.ofAnonymous() !== now.ofAnonymous();
  return concerned;
}
