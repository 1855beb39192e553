/** The two ways in which a run can fail, each with its exit status. */

/** Everything was delivered as it should be. */
export const EXIT_OK = 0;
/** Wrong flags, or a limit of this machine. */
export const EXIT_USAGE = 1;
/** The broker lost, repeated, reordered or refused something. */
export const EXIT_BROKER = 2;

/** The broker did what it should not. */
export class BrokerFault extends Error {
  /** Only a connection broke, as it does when a broker is killed. */
  readonly isBreak: boolean;

  constructor(message: string, isBreak = false) {
    super(message);
    this.isBreak = isBreak;
  }
}

/** The run cannot be made as asked for. */
export class UsageFault extends Error {}
