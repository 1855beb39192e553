/**
 * Points at which a test may have the process killed, as a power cut would end it: nothing is
 * written any more, no handler runs.
 *
 * `HOLDFAST_FAULT=committed:3` kills it when it passes the point `committed` for the third time.
 */
const [point = "", times = "1"] = (process.env["HOLDFAST_FAULT"] ?? "").split(":");
let left = Number(times);

/** Hot. */
export function faultPoint(name: string): void {
  if (name !== point) return;
  left--;
  if (left <= 0) process.kill(process.pid, "SIGKILL");
}
