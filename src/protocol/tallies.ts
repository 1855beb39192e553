/** What the control plane counts since its start, for `$SYS`. */

export class Tallies {
  /** CONNECT packets that were acted on, each once. */
  connectCount = 0;
  /** Logins whose password, token or proof was wrong. */
  failedLoginCount = 0;
  /** Network Connections that were turned away, since there were as many as may be. */
  deniedCount = 0;
  /** How often a CONNECT was refused, and a connection ended by us, by Reason Code. */
  readonly refused = new Map<number, number>();
  readonly ended = new Map<number, number>();

  refuse(reasonCode: number): void {
    this.refused.set(reasonCode, (this.refused.get(reasonCode) ?? 0) + 1);
  }

  end(reasonCode: number): void {
    this.ended.set(reasonCode, (this.ended.get(reasonCode) ?? 0) + 1);
  }
}
