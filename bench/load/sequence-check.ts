/** Judges the sequence numbers that one subscriber sees: lost, duplicated, misordered. */

interface Gap {
  readonly publisher: number;
  from: number;
  /** First number behind the gap. */
  to: number;
}

/** Gaps kept to tell a late message from a second copy; later ones count as lost all the same. */
const GAPS_MAX = 4096;

export class SequenceCheck {
  /** The next sequence number expected of each publisher. */
  readonly next: Uint32Array;
  /** Numbers skipped and not seen since. */
  lost = 0;
  duplicated = 0;
  misordered = 0;
  private readonly gaps: Gap[] = [];

  constructor(publisherCount: number) {
    this.next = new Uint32Array(publisherCount);
  }

  /**
   * Takes a number that is not the next one.
   *
   * @returns whether it is a message not seen before
   */
  takeUnexpected(publisher: number, sequence: number): boolean {
    const expected = this.next[publisher] as number;
    if (sequence < expected) return this.takeLate(publisher, sequence);
    this.lost += sequence - expected;
    if (this.gaps.length < GAPS_MAX) this.gaps.push({ publisher, from: expected, to: sequence });
    this.next[publisher] = sequence + 1;
    return true;
  }

  private takeLate(publisher: number, sequence: number): boolean {
    const index = this.gaps.findIndex(
      (gap) => gap.publisher === publisher && sequence >= gap.from && sequence < gap.to,
    );
    const gap = this.gaps[index];
    if (gap === undefined) {
      this.duplicated++;
      return false;
    }
    this.misordered++;
    this.lost--;
    if (sequence + 1 < gap.to) this.gaps.push({ publisher, from: sequence + 1, to: gap.to });
    gap.to = sequence;
    if (gap.from === gap.to) this.gaps.splice(index, 1);
    return true;
  }
}
