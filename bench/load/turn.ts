/** Gathers what the reads of one event-loop turn made possible, and does it once at its end. */
import type { Connection } from "./connection.ts";

/** Something that publishes when there is room. */
export interface Pump {
  /** Already noted for this turn. */
  due: boolean;
  /** Publishes what it may; asks for a turn itself if there is more. */
  pump(): void;
}

export class Turn {
  private pumps: Pump[] = [];
  private acknowledging: Connection[] = [];
  private scheduled = false;
  private readonly afterTurn: () => void;

  /** @param afterTurn  called when everything was written */
  constructor(afterTurn: () => void) {
    this.afterTurn = afterTurn;
  }

  /** Hot. */
  wantPump(pump: Pump): void {
    if (pump.due) return;
    pump.due = true;
    this.pumps.push(pump);
    this.schedule();
  }

  /** The connection has acknowledgements to flush; noted once per chunk. Hot. */
  wantFlush(connection: Connection): void {
    this.acknowledging.push(connection);
    this.schedule();
  }

  /** Ends in any case with a call of `afterTurn`. */
  schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(this.flush);
  }

  private readonly flush = (): void => {
    this.scheduled = false;
    const { acknowledging, pumps } = this;
    this.acknowledging = [];
    this.pumps = [];
    for (const connection of acknowledging) connection.flushAcknowledgements();
    for (const pump of pumps) {
      pump.due = false;
      pump.pump();
    }
    this.afterTurn();
  };
}
