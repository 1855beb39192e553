/** Topic matching in plain JavaScript: a trie of Maps, and a cache of hot topics. The rival. */

interface Level {
  readonly children: Map<string, Level>;
  plus: Level | undefined;
  readonly subscribers: number[];
  readonly hashSubscribers: number[];
}

function emptyLevel(): Level {
  return { children: new Map(), plus: undefined, subscribers: [], hashSubscribers: [] };
}

/** Topics kept in the cache; the one matched longest ago makes room. */
const CACHED_TOPICS_MAX = 65_536;

export class PlainTopicTree {
  private readonly root = emptyLevel();
  private readonly cache = new Map<string, readonly number[]>();

  subscribe(filter: string, subscriber: number): void {
    let level = this.root;
    for (const label of filter.split("/")) {
      if (label === "#") {
        level.hashSubscribers.push(subscriber);
        return;
      }
      if (label === "+") {
        level.plus ??= emptyLevel();
        level = level.plus;
      } else {
        let child = level.children.get(label);
        if (child === undefined) {
          child = emptyLevel();
          level.children.set(label, child);
        }
        level = child;
      }
    }
    level.subscribers.push(subscriber);
    this.cache.clear();
  }

  /** @returns subscribers whose filters match */
  match(topic: string): readonly number[] {
    const labels = topic.split("/");
    const system = topic.startsWith("$");
    const found: number[] = [];
    let levels: Level[] = [this.root];
    for (const [index, label] of labels.entries()) {
      const below: Level[] = [];
      for (const level of levels) {
        const wildcards = index > 0 || !system;
        if (wildcards) found.push(...level.hashSubscribers);
        const child = level.children.get(label);
        if (child !== undefined) below.push(child);
        if (wildcards && level.plus !== undefined) below.push(level.plus);
      }
      levels = below;
    }
    for (const level of levels) found.push(...level.subscribers, ...level.hashSubscribers);
    return found;
  }

  /** The same through the cache. */
  matchCached(topic: string): readonly number[] {
    const known = this.cache.get(topic);
    if (known !== undefined) return known;
    const found = this.match(topic);
    const oldest = this.cache.size >= CACHED_TOPICS_MAX ? this.cache.keys().next() : undefined;
    if (oldest?.value !== undefined) this.cache.delete(oldest.value);
    this.cache.set(topic, found);
    return found;
  }
}
