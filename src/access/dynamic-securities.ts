/**
 * Dynamic security of each file that settings name: one for all listeners that share a file,
 * however many access domains they are.
 */
import type { Log } from "../base/log.ts";
import type { AccessSettings } from "../config/settings.ts";
import type { Authorizer } from "./access-rules.ts";
import { type ConcernedConnections, DynamicSecurity } from "./dynamic-security.ts";
import type { PasswordHasher } from "./password-hasher.ts";

/** Whom dynamic security does not know is judged by what else there is. */
export function securedBy(security: DynamicSecurity, others: Authorizer | null): Authorizer {
  if (others === null) return security;
  return {
    rulesOf: (identity) => (security.knows(identity) ? security : others).rulesOf(identity),
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
