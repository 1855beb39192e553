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

/** What becomes of work for which there is no room. */
export const BUSY = "busy";

/** Whether nobody waits for the result any more. */
export type IsGone = () => boolean;

interface Waiting {
  readonly isGone: IsGone;
  readonly begin: () => Promise<void>;
  readonly turnAway: () => void;
}

/**
 * Runs work that comes from many addresses: some at once, the rest in turns, no more than a bound.
 */
export class FairWork {
  readonly #queue: FairQueue<Waiting>;
  readonly #underwayMax: number;
  #underway = 0;

  /** @param jobsMax  that wait, besides those under way */
  constructor(jobsMax: number, underwayMax: number) {
    this.#queue = new FairQueue(jobsMax);
    this.#underwayMax = underwayMax;
  }

  /** Jobs that wait, and those under way. */
  get count(): number {
    return this.#queue.count + this.#underway;
  }

  /**
   * @param isGone  asked when its turn has come: then it is not begun
   * @returns what the work comes to; BUSY where too much waits
   */
  run<Result>(
    address: string,
    work: () => Promise<Result>,
    isGone: IsGone = () => false,
  ): Promise<Result | typeof BUSY> {
    return new Promise((resolve, reject) => {
      const turnedAway = this.#queue.push(address, {
        isGone,
        begin: () => work().then(resolve, reject),
        turnAway: () => resolve(BUSY),
      });
      turnedAway?.turnAway();
      this.#go();
    });
  }

  #go(): void {
    while (this.#underway < this.#underwayMax) {
      const job = this.#queue.shift();
      if (job === null) return;
      if (job.isGone()) {
        job.turnAway();
        continue;
      }
      this.#underway++;
      job.begin().finally(() => {
        this.#underway--;
        this.#go();
      });
    }
  }
}
