/**
 * `holdfast.json`: says that a directory is a store, and in which format. It is written when a
 * store is created and read before anything else is opened, so that a directory that is damaged,
 * foreign or newer is refused, and never taken for an empty one.
 *
 * A new store begins with `holdfast.json.new`, which becomes the marker when all files are there.
 */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { StartError } from "../base/errors.ts";

/** Format of the store that this program writes. */
export const STORE_FORMAT = 1;

export const MARKER_FILE = "holdfast.json";
const NEW_MARKER_FILE = `${MARKER_FILE}.new`;

export const JOURNAL_DIRECTORY = "journal";
export const INDEX_FILE = "index.mdb";
const FILES = [JOURNAL_DIRECTORY, INDEX_FILE] as const;

/** What to do about a store that cannot be opened. */
export const REMEDY = "restore a backup, or see what `holdfast check` says";
/** The same where it is `holdfast check` that says it. */
export const REMEDY_OF_CHECK = "restore a backup";

/** Stores of mosquitto's, of itself and of its plugin. */
const STORES_OF_MOSQUITTO = ["mosquitto.db", "mosquitto.sqlite3"] as const;

export interface Marker {
  readonly format: number;
  /** ISO 8601. */
  readonly created: string;
  /** Nobody outside is to know it: see frame.ts. */
  readonly id: string;
}

/** From a format to what makes the next one of it; there is one format so far. */
const MIGRATIONS: ReadonlyMap<number, (directory: string) => void> = new Map();

/**
 * Looks at a directory before anything in it is opened.
 *
 * @returns the marker of the store in it; null: there is none, and may be created
 * @throws StartError if there is one that cannot be used
 */
export function readMarker(directory: string): Marker | null {
  const present = FILES.filter((name) => existsSync(join(directory, name)));
  const text = readText(join(directory, MARKER_FILE));
  if (text === null) {
    if (present.length === 0 || existsSync(join(directory, NEW_MARKER_FILE))) return null;
    throw new StartError(
      `${directory} has ${present.join(" and ")} but no ${MARKER_FILE}: it is no store of ` +
        `Holdfast, or lost that file; ${REMEDY}, or choose another persistence_location`,
    );
  }
  const marker = parseMarker(text);
  if (marker === null) {
    throw new StartError(`${join(directory, MARKER_FILE)} cannot be read as one; ${REMEDY}`);
  }
  if (marker.format > STORE_FORMAT) {
    throw new StartError(
      `${directory} was written by a newer Holdfast (format ${marker.format}, this one knows ` +
        `${STORE_FORMAT}): start that version, or choose another persistence_location`,
    );
  }
  const missing = FILES.filter((name) => !present.includes(name));
  if (missing.length > 0) {
    throw new StartError(`${directory} has lost ${missing.join(" and ")}; ${REMEDY}`);
  }
  return marker.format < STORE_FORMAT ? migrate(directory, marker) : marker;
}

/** Brings a store of an older format up to this one's, a format at a time. */
function migrate(directory: string, marker: Marker): Marker {
  let current = marker;
  while (current.format < STORE_FORMAT) {
    const step = MIGRATIONS.get(current.format);
    if (step === undefined) {
      throw new StartError(`${directory} has format ${current.format}, which never was; ${REMEDY}`);
    }
    step(directory);
    current = { ...current, format: current.format + 1 };
    writeDurably(directory, NEW_MARKER_FILE, textOf(current));
    publishMarker(directory);
  }
  return current;
}

/** Begins a new store: what an interrupted begin has left is removed, nobody has used it. */
export function beginMarker(directory: string): Marker {
  for (const name of [...FILES, `${INDEX_FILE}-lock`]) {
    rmSync(join(directory, name), { force: true, recursive: true });
  }
  const marker = {
    format: STORE_FORMAT,
    created: new Date().toISOString(),
    id: randomBytes(8).toString("hex"),
  };
  writeDurably(directory, NEW_MARKER_FILE, textOf(marker));
  return marker;
}

/** All files of the new store are there: from now on it is one. */
export function publishMarker(directory: string): void {
  renameSync(join(directory, NEW_MARKER_FILE), join(directory, MARKER_FILE));
  syncDirectory(directory);
}

/** What mosquitto has kept in a directory in which a store begins. */
export function storesOfMosquitto(directory: string): readonly string[] {
  return STORES_OF_MOSQUITTO.filter((name) => existsSync(join(directory, name)));
}

function textOf(marker: Marker): string {
  return `${JSON.stringify(marker)}\n`;
}

function parseMarker(text: string): Marker | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null || !("format" in value)) return null;
  const { format } = value;
  if (typeof format !== "number" || !Number.isInteger(format) || format < 1) return null;
  const created = "created" in value ? String(value.created) : "";
  return { format, created, id: "id" in value ? String(value.id) : "" };
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}

function writeDurably(directory: string, name: string, text: string): void {
  const file = openSync(join(directory, name), "w");
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  syncDirectory(directory);
}

/** Makes the names in a directory safe from a power cut. */
export function syncDirectory(directory: string): void {
  const file = openSync(directory, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
