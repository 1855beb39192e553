/**
 * `holdfast scram`: writes the credentials file, a user at a time. No password is kept, only what
 * can check one.
 */
import {
  chmodSync,
  closeSync,
  existsSync,
  fchownSync,
  fsyncSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { prepare } from "../access/saslprep.ts";
import { credentialOf, faultOfUser, lineOf, readScramLines } from "../access/scram-file.ts";
import type { ScramCommand } from "./flags.ts";
import { askPasswords } from "./password.ts";

/** Who made the file alone reads it, until they say otherwise. */
const MODE = 0o600;
const MODE_BITS = 0o777;

/** Why it could not be done, in a sentence for whoever asked for it. */
class ScramFault extends Error {
  override readonly name = "ScramFault";
}

/**
 * Runs the command to its end.
 *
 * @returns the exit code
 */
export async function runScramCommand(command: ScramCommand): Promise<number> {
  try {
    process.stdout.write(`${await change(command)}\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof ScramFault)) throw error;
    process.stderr.write(`holdfast: ${error.message}\n`);
    return 1;
  }
}

async function change(command: ScramCommand): Promise<string> {
  const { file, deletes } = command;
  const user = prepare(command.user);
  const fault = user === null ? "the user name is not valid" : faultOfUser(user);
  if (user === null || fault !== null) throw new ScramFault(fault ?? "");
  const lines = readLines(command);
  const index = lines.findIndex((line) => line.startsWith(`${user}:`) && isOf(line, user));
  if (deletes) {
    if (index === -1) throw new ScramFault(`${user} is not in ${file}`);
    lines.splice(index, 1);
    write(file, lines);
    return `${user} is removed from ${file}`;
  }
  const password = prepare(command.password ?? (await ask(user)));
  if (password === null) throw new ScramFault("the password is empty, or SASLprep forbids it");
  const line = lineOf(user, await credentialOf(password, command.iterations));
  if (index === -1) lines.push(line);
  else lines[index] = line;
  write(file, lines);
  return index === -1 ? `${user} is added to ${file}` : `${user} has a new password in ${file}`;
}

async function ask(user: string): Promise<string> {
  const answers = await askPasswords([`Password for ${user}: `, "The same again: "]);
  if (answers === null) throw new ScramFault("there is no password");
  const [password = "", again] = answers;
  if (again !== password) throw new ScramFault("the passwords are not the same");
  return password;
}

/** The user of a line may hold colons. */
function isOf(line: string, user: string): boolean {
  const users = readScramLines(line);
  return typeof users !== "string" && users.has(user);
}

/** The lines of the file, of which every one is good; none where it is to be made. */
function readLines({ file, creates }: ScramCommand): string[] {
  const exists = existsSync(file);
  if (creates && exists)
    throw new ScramFault(`${file} is there already; leave out -c to add to it`);
  if (!creates && !exists) throw new ScramFault(`${file} is not there; -c makes it`);
  if (!exists) return [];
  const content = guarded(`cannot read ${file}`, () => readFileSync(file, "utf8"));
  const users = readScramLines(content);
  if (typeof users === "string") throw new ScramFault(`${file}:${users}`);
  const lines = content.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

/** Puts a new file in the place of the old one: who reads it meanwhile has one of them whole. */
function write(file: string, lines: readonly string[]): void {
  guarded(`cannot write ${file}`, () => {
    const place = existsSync(file) ? realpathSync(file) : file;
    const old = existsSync(place) ? statSync(place) : null;
    const fresh = `${place}.new`;
    const descriptor = openSync(fresh, "wx", MODE);
    try {
      if (old !== null && old.uid !== process.getuid?.()) {
        fchownSync(descriptor, old.uid, old.gid);
      }
      writeSync(descriptor, lines.map((line) => `${line}\n`).join(""));
      fsyncSync(descriptor);
      if (old !== null) chmodSync(fresh, old.mode & MODE_BITS);
      renameSync(fresh, place);
    } catch (error) {
      rmSync(fresh, { force: true });
      throw error;
    } finally {
      closeSync(descriptor);
    }
  });
}

function guarded<Value>(what: string, work: () => Value): Value {
  try {
    return work();
  } catch (error) {
    const reason = error instanceof Error ? error.message.split(", ")[0] : String(error);
    throw new ScramFault(`${what}: ${reason}`);
  }
}
