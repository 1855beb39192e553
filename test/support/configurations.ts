/**
 * Configurations of the shapes that are in the field, for Holdfast and mosquitto alike:
 * `test/differential/configurations/`, and in its folder `files` what they name.
 *
 * `{port}` and `{port2}` stand for free ports, `{dir}` for a directory that holds a copy of that
 * folder, and whatever else a test makes there (certificates, the directory `data`).
 */
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const FOLDER = fileURLToPath(new URL("../differential/configurations/", import.meta.url));

/** What the placeholders stand for. */
export interface Places {
  readonly port: number;
  readonly port2: number;
  readonly dir: string;
}

export interface ShapeOfConfiguration {
  /** The file's name without its ending. */
  readonly name: string;
  /** Its text, placeholders included. */
  readonly text: string;
}

/** All of them, by name. */
export function configurations(): readonly ShapeOfConfiguration[] {
  return readdirSync(FOLDER)
    .filter((name) => name.endsWith(".conf"))
    .map((name) => ({
      name: name.slice(0, -".conf".length),
      text: readFileSync(join(FOLDER, name), "utf8"),
    }));
}

/** The text with its placeholders replaced. */
export function filled(text: string, { port, port2, dir }: Places): string {
  return text
    .replaceAll("{port}", `${port}`)
    .replaceAll("{port2}", `${port2}`)
    .replaceAll("{dir}", dir);
}

/** Makes what the configurations name in `places.dir`, certificates excepted. */
export function copyFiles(places: Places): void {
  const { dir } = places;
  cpSync(join(FOLDER, "files"), dir, { recursive: true });
  mkdirSync(join(dir, "data"), { recursive: true });
  const included = join(dir, "conf.d", "local.conf");
  writeFileSync(included, filled(readFileSync(included, "utf8"), places));
}
