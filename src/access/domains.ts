/** The access domains of a broker: one for each object of access settings. */
import { StartError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { AccessSettings } from "../config/settings.ts";
import { AccessDomain, loadAccessFiles } from "./domain.ts";
import { DynamicSecurities } from "./dynamic-securities.ts";
import { PasswordHasher } from "./password-hasher.ts";

export class AccessDomains {
  readonly hasher = new PasswordHasher();
  readonly securities: DynamicSecurities;
  readonly #log: Log;
  #domains = new Map<AccessSettings, AccessDomain>();

  /**
   * @param all  the settings of each listener; those that are one object share a domain
   * @throws StartError where a file cannot be read or has a bad line
   */
  constructor(all: readonly AccessSettings[], log: Log) {
    this.#log = log;
    this.securities = new DynamicSecurities(this.hasher, log);
    for (const settings of all) {
      if (!this.#domains.has(settings)) this.#domains.set(settings, this.#open(settings));
    }
  }

  #open(settings: AccessSettings): AccessDomain {
    const parts = { hasher: this.hasher, securities: this.securities, log: this.#log };
    return new AccessDomain(loadAccessFiles(settings, parts), parts);
  }

  /** @param settings  one that the constructor or reload() was given */
  of(settings: AccessSettings): AccessDomain {
    const domain = this.#domains.get(settings);
    if (domain === undefined) throw new Error("no access domain of these settings");
    return domain;
  }

  /**
   * Reads all files again. A domain whose files are bad goes on with the old ones.
   *
   * @param changes  for each listener its settings until now, and those from now on
   * @returns what is wrong, a sentence each
   */
  reload(changes: readonly (readonly [old: AccessSettings, now: AccessSettings])[]): string[] {
    const faults: string[] = [];
    const domains = new Map<AccessSettings, AccessDomain>();
    const reloaded = new Set<AccessDomain>();
    for (const [old, now] of changes) {
      if (domains.has(now)) continue;
      const domain = this.of(old);
      // What was one and is two from now on has to be two.
      if (reloaded.has(domain)) {
        domains.set(now, this.#openAnew(now, domain, faults));
        continue;
      }
      faults.push(...domain.reload(now));
      reloaded.add(domain);
      domains.set(now, domain);
    }
    this.#domains = domains;
    return faults;
  }

  /**
   * Reads files of dynamic security again, behind reload(): those whom that concerns are ended, and
   * judged by what listeners say from now on.
   *
   * @returns what is wrong, a sentence each
   */
  reloadSecurities(): string[] {
    return this.securities.reload(this.#domains.keys());
  }

  #openAnew(settings: AccessSettings, old: AccessDomain, faults: string[]): AccessDomain {
    try {
      return this.#open(settings);
    } catch (error) {
      if (!(error instanceof StartError)) throw error;
      faults.push(error.message);
      return old;
    }
  }

  close(): void {
    for (const domain of this.#domains.values()) domain.close();
    this.hasher.close();
  }
}
