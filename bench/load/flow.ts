/**
 * How far each publisher may run ahead of its slowest subscriber.
 *
 * Credit comes back in steps of an eighth of the window. Each step has a count of the subscribers
 * that passed it; when all have, the publisher is credited. Sixteen counts suffice, since no
 * subscriber can be more than eight steps and a part ahead of another.
 */
const STEPS_PER_WINDOW = 8;
const COUNTS = 16;

export class FlowWindow {
  /** Messages that came to all subscribers, rounded down to a step. */
  credited = 0;
  readonly stepMessages: number;
  private readonly windowMessages: number;
  private readonly subscriberCount: number;
  private readonly counts = new Uint32Array(COUNTS);

  /** @param windowMessages  0: no window */
  constructor(windowMessages: number, subscriberCount: number) {
    this.windowMessages = windowMessages;
    this.subscriberCount = subscriberCount;
    this.stepMessages = Math.max(1, Math.floor(windowMessages / STEPS_PER_WINDOW));
  }

  /**
   * Notes that one subscriber came from one sequence number to another. Hot.
   *
   * @returns whether the publisher got credit
   */
  passed(fromSequence: number, toSequence: number): boolean {
    if (this.windowMessages === 0) return false;
    const { stepMessages } = this;
    let credit = false;
    let step = Math.floor(fromSequence / stepMessages);
    for (const last = Math.floor(toSequence / stepMessages); step < last; step++) {
      const slot = step % COUNTS;
      const count = (this.counts[slot] as number) + 1;
      this.counts[slot] = count < this.subscriberCount ? count : 0;
      if (count < this.subscriberCount) continue;
      this.credited += stepMessages;
      credit = true;
    }
    return credit;
  }

  /** @returns messages that may be published now */
  room(sentMessages: number): number {
    if (this.windowMessages === 0) return Number.MAX_SAFE_INTEGER;
    return this.credited + this.windowMessages - sentMessages;
  }
}
