/**
 * Loaded into a broker with `--import`: its clock is ahead of the machine's by as many seconds as
 * the file CLOCK_FILE says, which a test changes while the broker runs. The clock of Node.js that
 * is never set stays as it is.
 */
import { readFileSync, watchFile } from "node:fs";

const POLL_MILLISECONDS = 20;

const file = process.env["CLOCK_FILE"] ?? "";
const realNow = Date.now;
let aheadMs = 0;

function read(): void {
  aheadMs = Number(readFileSync(file, "utf8")) * 1000;
}

read();
watchFile(file, { interval: POLL_MILLISECONDS, persistent: false }, read);
Date.now = () => realNow() + aheadMs;
