/**
 * A coarse timer for very many deadlines: a bucket a second, so that adding is O(1) and what falls
 * due is found without looking at the rest. Nothing is ever taken out: whoever is called checks
 * whether its deadline still holds.
 */
export class DeadlineWheel<Item> {
  readonly #buckets = new Map<number, Item[]>();
  readonly #onDue: (item: Item, second: number) => void;
  #next: number;

  /**
   * @param onDue  called once per item, never before its second has begun
   * @param nowSeconds  Unix time, whole seconds
   */
  constructor(nowSeconds: number, onDue: (item: Item, second: number) => void) {
    this.#next = nowSeconds;
    this.#onDue = onDue;
  }

  /** @param second  Unix time; one that has passed is due at the next tick */
  add(item: Item, second: number): void {
    const due = Math.max(Math.ceil(second), this.#next);
    const bucket = this.#buckets.get(due);
    if (bucket === undefined) this.#buckets.set(due, [item]);
    else bucket.push(item);
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
