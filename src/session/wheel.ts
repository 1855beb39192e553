/**
 * A coarse timer for very many deadlines: a bucket a second, so that adding and removing is O(1)
 * and what falls due is found without looking at the rest.
 */
export class DeadlineWheel<Item> {
  readonly #buckets = new Map<number, Set<Item>>();
  readonly #onDue: (item: Item, second: number) => void;
  #next: number;

  /**
   * @param onDue  called once per item, never before its second has begun
   * @param nowSeconds  whole seconds of the clock that all its seconds are of
   */
  constructor(nowSeconds: number, onDue: (item: Item, second: number) => void) {
    this.#next = nowSeconds;
    this.#onDue = onDue;
  }

  /**
   * @param second  one that has passed is due at the next tick
   * @returns the second in which the item now stands, for remove()
   */
  add(item: Item, second: number): number {
    const due = Math.max(Math.ceil(second), this.#next);
    const bucket = this.#buckets.get(due);
    if (bucket === undefined) this.#buckets.set(due, new Set([item]));
    else bucket.add(item);
    return due;
  }

  /** Takes an item out again. @param due  what add() answered */
  remove(item: Item, due: number): void {
    const bucket = this.#buckets.get(due);
    if (bucket === undefined || !bucket.delete(item)) return;
    if (bucket.size === 0) this.#buckets.delete(due);
  }

  /**
   * The clock, if it is one that may be set back, says so much: what is added from now on is due
   * by that. What was added before stays where it is.
   */
  backTo(nowSeconds: number): void {
    this.#next = Math.min(this.#next, nowSeconds + 1);
  }

  /** Calls for all that is due up to now. O(due + seconds since the last tick). */
  tick(nowSeconds: number): void {
    // After a long sleep of the machine the buckets are fewer than the seconds.
    if (nowSeconds - this.#next > this.#buckets.size) {
      const due = [...this.#buckets.keys()].filter((second) => second <= nowSeconds);
      this.#next = nowSeconds + 1;
      for (const second of due.sort((one, other) => one - other)) this.#empty(second);
      return;
    }
    while (this.#next <= nowSeconds) {
      const second = this.#next++;
      this.#empty(second);
    }
  }

  #empty(second: number): void {
    const bucket = this.#buckets.get(second);
    if (bucket === undefined) return;
    this.#buckets.delete(second);
    for (const item of bucket) this.#onDue(item, second);
  }
}
