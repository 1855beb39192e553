/**
 * What was published to each Session while it was away, what of it was acknowledged, and what came
 * when it returned: a byte for each message.
 *
 * Message number n goes to Session n mod `sessionCount`, as its sequence number n / `sessionCount`.
 */
import { deliveryFault } from "./result.ts";

const SENT = 1;
const ACKNOWLEDGED = 2;
const RECEIVED = 4;

export interface QueueVerdict {
  /** Acknowledged to the publisher, and never received. */
  readonly lost: number;
  readonly duplicated: number;
  readonly misordered: number;
  readonly foreign: number;
}

export class QueueLedger {
  /** Named in topics and payloads. */
  readonly run: number;
  readonly sessionCount: number;
  readonly messageCount: number;
  sent = 0;
  acknowledged = 0;
  received = 0;
  /** Received, though not acknowledged to the publisher: allowed after a broken connection. */
  receivedEarly = 0;
  duplicated = 0;
  misordered = 0;
  foreign = 0;
  private readonly marks: Uint8Array;
  /** Behind the newest sequence number that came, for each Session. */
  private readonly next: Uint32Array;

  constructor(run: number, sessionCount: number, messagesEach: number) {
    this.run = run;
    this.sessionCount = sessionCount;
    this.messageCount = sessionCount * messagesEach;
    this.marks = new Uint8Array(this.messageCount);
    this.next = new Uint32Array(sessionCount);
  }

  /** Hot. */
  send(message: number): void {
    this.marks[message] = SENT;
    this.sent++;
  }

  /** Hot. */
  acknowledge(message: number): void {
    const mark = this.marks[message] as number;
    if ((mark & ACKNOWLEDGED) !== 0) return;
    this.marks[message] = mark | ACKNOWLEDGED;
    this.acknowledged++;
  }

  /** Hot. */
  receive(session: number, sequence: number): void {
    const message = sequence * this.sessionCount + session;
    const mark = this.marks[message] ?? 0;
    if ((mark & SENT) === 0) {
      this.foreign++;
      return;
    }
    if ((mark & RECEIVED) !== 0) {
      this.duplicated++;
      return;
    }
    this.marks[message] = mark | RECEIVED;
    this.received++;
    if ((mark & ACKNOWLEDGED) === 0) this.receivedEarly++;
    if (sequence < (this.next[session] as number)) this.misordered++;
    else this.next[session] = sequence + 1;
  }

  /** @returns whether everything that was acknowledged has come */
  isComplete(): boolean {
    return this.received - this.receivedEarly >= this.acknowledged;
  }

  verdict(): QueueVerdict {
    const { duplicated, misordered, foreign } = this;
    const lost = this.acknowledged - (this.received - this.receivedEarly);
    return { lost, duplicated, misordered, foreign };
  }

  /** @returns what is wrong, or "" */
  fault(): string {
    return deliveryFault(this.verdict());
  }
}
