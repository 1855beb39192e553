/** The version of this package. */
import { readFileSync } from "node:fs";

/** What package.json says; it lies two directories above, built or not. */
export function readVersion(): string {
  const path = new URL("../../package.json", import.meta.url);
  const { version }: { readonly version: string } = JSON.parse(readFileSync(path, "utf8"));
  return version;
}
