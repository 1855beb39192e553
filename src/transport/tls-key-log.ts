/** The file of `--tls-keylog`, with which Wireshark reads TLS connections: one for who debugs. */
import { createWriteStream, openSync } from "node:fs";
import { StartError } from "../base/errors.ts";

/** Whoever runs the broker alone reads it. */
const MODE = 0o600;

/** Where lines of NSS's key log format go. */
export type KeyLog = (line: Buffer) => void;

/**
 * @param warn  told what the file gives away, and once if it cannot be written any more
 * @throws StartError where it cannot be opened
 */
export function openKeyLog(file: string, warn: (sentence: string) => void): KeyLog {
  const stream = createWriteStream(file, { fd: openForAppend(file) });
  stream.once("error", (error) => warn(`TLS keys are not logged any more: ${error.message}`));
  warn(`TLS keys go to ${file}: who has it can read all that TLS hides`);
  return (line) => {
    if (!stream.destroyed) stream.write(line);
  };
}

function openForAppend(file: string): number {
  try {
    return openSync(file, "a", MODE);
  } catch (error) {
    const reason = error instanceof Error ? error.message.split(", ")[0] : String(error);
    throw new StartError(`--tls-keylog ${file}: cannot be written: ${reason}`);
  }
}
