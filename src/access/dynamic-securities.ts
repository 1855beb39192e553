/**
 * Dynamic security of each file that settings name: one for all listeners that share a file,
 * however many access domains they are.
 */
import type { Log } from "../base/log.ts";
import type { AccessSettings } from "../config/settings.ts";
import type { AccessRules, Authorizer } from "./access-rules.ts";
import { type ConcernedConnections, DynamicSecurity } from "./dynamic-security.ts";
import { followedBy } from "./dynamic-security-rules.ts";
import type { PasswordHasher } from "./password-hasher.ts";

/**
 * Whom dynamic security does not know is judged by what else there is; where it leaves open what
 * somebody may do whom it knows, the ACL file decides.
 *
 * @param others  null: nothing else
 * @param file  null: there is none
 */
export function securedBy(
  security: DynamicSecurity,
  others: Authorizer | null,
  file: Authorizer | null,
): Authorizer {
  if (others === null) return security;
  /** By the rules of dynamic security, then by those of the file. */
  const combined = new WeakMap<AccessRules, WeakMap<AccessRules, AccessRules>>();
  const withFile = (rules: AccessRules, written: AccessRules): AccessRules => {
    const known = combined.get(rules) ?? new WeakMap<AccessRules, AccessRules>();
    const both = known.get(written) ?? followedBy(rules, written);
    combined.set(rules, known.set(written, both));
    return both;
  };
  return {
    rulesOf: (identity) => {
      if (!security.knows(identity)) return others.rulesOf(identity);
      const rules = security.rulesOf(identity);
      const written = file?.rulesOf(identity) ?? null;
      return written === null ? rules : withFile(rules, written);
    },
  };
}

export class DynamicSecurities {
  readonly #hasher: PasswordHasher;
  readonly #log: Log;
  /** By the path of the file. */
  #securities = new Map<string, DynamicSecurity>();
  #connectionsOf: ((security: DynamicSecurity) => ConcernedConnections) | null = null;

  constructor(hasher: PasswordHasher, log: Log) {
    this.#hasher = hasher;
    this.#log = log;
  }

  /**
   * @returns null where the settings name no file
   * @throws StartError where the file cannot be used; it is read once, and by reload()
   */
  of(settings: AccessSettings): DynamicSecurity | null {
    const { dynamicSecurityFile: file } = settings;
    if (file === null) return null;
    let security = this.#securities.get(file);
    if (security === undefined) {
      security = new DynamicSecurity({
        file,
        initialPasswordFile: settings.dynamicSecurityInitialPasswordFile,
        hasher: this.#hasher,
        log: this.#log,
      });
      if (this.#connectionsOf !== null) security.connect(this.#connectionsOf(security));
      this.#securities.set(file, security);
    }
    return security;
  }

  /** The one of these settings, if there is one. */
  find({ dynamicSecurityFile: file }: AccessSettings): DynamicSecurity | null {
    return file === null ? null : (this.#securities.get(file) ?? null);
  }

  get all(): readonly DynamicSecurity[] {
    return [...this.#securities.values()];
  }

  /** Says who does with connections what changes ask for. */
  connect(connectionsOf: (security: DynamicSecurity) => ConcernedConnections): void {
    this.#connectionsOf = connectionsOf;
    for (const security of this.all) security.connect(connectionsOf(security));
  }

  /**
   * Reads all files again that these settings name, and forgets the others. What a bad one said
   * before stays.
   *
   * @returns a sentence for each that is not accepted
   */
  reload(settings: Iterable<AccessSettings>): string[] {
    const files = new Set([...settings].map(({ dynamicSecurityFile }) => dynamicSecurityFile));
    const kept = [...this.#securities].filter(([file]) => files.has(file));
    this.#securities = new Map(kept);
    return kept.flatMap(([, security]) => security.reload() ?? []);
  }

  /** Settles when all that was changed is written, or cannot be. */
  async settled(): Promise<void> {
    await Promise.all(this.all.map((security) => security.settled()));
  }
}
