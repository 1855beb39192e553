/**
 * Work that waits, from many addresses: each address with work has its turn, so that one that sends
 * very much delays nobody but itself.
 */
export class FairQueue<Job> {
  readonly #lanes = new Map<string, Job[]>();
  readonly #jobsMax: number;
  #count = 0;

  constructor(jobsMax: number) {
    this.#jobsMax = jobsMax;
  }

  get count(): number {
    return this.#count;
  }

  /**
   * Adds a job at the end of its address's lane.
   *
   * @returns the job that has no place: null: all have; where the queue is full, the newest of the
   *   longest lane, which may be this one
   */
  push(address: string, job: Job): Job | null {
    const lane = this.#lanes.get(address);
    if (lane === undefined) this.#lanes.set(address, [job]);
    else lane.push(job);
    this.#count++;
    return this.#count > this.#jobsMax ? this.#dropNewest() : null;
  }

  /** Takes the first job of the address whose turn it is; null: there is none. */
  shift(): Job | null {
    for (const [address, lane] of this.#lanes) {
      const job = lane.shift() as Job;
      this.#lanes.delete(address);
      if (lane.length > 0) this.#lanes.set(address, lane); // Behind all others.
      this.#count--;
      return job;
    }
    return null;
  }

  /** O(addresses), where the queue is full. */
  #dropNewest(): Job {
    let longest = "";
    let most = 0;
    for (const [address, { length }] of this.#lanes) {
      if (length <= most) continue;
      most = length;
      longest = address;
    }
    const lane = this.#lanes.get(longest) as Job[];
    const job = lane.pop() as Job;
    if (lane.length === 0) this.#lanes.delete(longest);
    this.#count--;
    return job;
  }
}
