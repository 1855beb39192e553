/**
 * `holdfast passwd`: writes the password file, as mosquitto_passwd does. No password is kept, only
 * what can check one.
 */
import { existsSync, readFileSync } from "node:fs";
import { faultOfUser, NAME_BYTES_MAX, withoutBlanks } from "../access/password-file.ts";
import { hashPassword, readPasswordHash } from "../access/password-hash.ts";
import { demandUserOfLine, FileFault, guarded, replaceLines, reportChange } from "./file-change.ts";
import type { PasswdCommand } from "./passwd-flags.ts";
import { askNewPassword } from "./password.ts";

/** Stands for standard output. */
const STDOUT = "-";

/**
 * Runs the command to its end.
 *
 * @returns the exit code
 */
export function runPasswdCommand(command: PasswdCommand): Promise<number> {
  return reportChange(() => change(command));
}

/** @returns the line to be printed */
async function change(command: PasswdCommand): Promise<string> {
  const { file, user, creates, deletes } = command;
  if (user === null) return upgrade(command);
  const fault = faultOfUser(user);
  if (fault !== null) throw new FileFault(user === "" ? "the user name is empty" : fault);
  // Who is in the file already may go.
  if (!deletes) demandUserOfLine(user);
  const lines = creates ? [] : readLines(file);
  const index = lines.findIndex((line) => isOf(line, user));
  if (deletes) {
    if (index === -1) throw new FileFault(`${user} is not in ${file}`);
    await replaceLines(
      file,
      lines.filter((line) => !isOf(line, user)),
    );
    return `${user} is removed from ${file}`;
  }
  const line = await lineOf(user, command.password ?? (await askNewPassword(user)), command);
  if (file === STDOUT) return line;
  if (index === -1) lines.push(line);
  else lines[index] = line;
  // Of two lines of one user the later counts: none may be left behind this one.
  await replaceLines(
    file,
    lines.filter((other, at) => at === index || other === line || !isOf(other, user)),
  );
  return index === -1 ? `${user} is added to ${file}` : `${user} has a new password in ${file}`;
}

/** Hashes what is plain in the file. */
async function upgrade(command: PasswdCommand): Promise<string> {
  const lines = readLines(command.file);
  let hashed = 0;
  for (const [index, line] of lines.entries()) {
    const { user, rest } = partsOf(line);
    if (user === "" || typeof readPasswordHash(withoutBlanks(rest)) !== "string") continue;
    if (rest === "") throw new FileFault(`${command.file}:${index + 1}: ${user} has no password`);
    lines[index] = await lineOf(user, rest, command);
    hashed++;
  }
  if (hashed > 0) await replaceLines(command.file, lines);
  return `${hashed} ${hashed === 1 ? "password is" : "passwords are"} hashed in ${command.file}`;
}

async function lineOf(
  user: string,
  password: string,
  { kind, iterations }: PasswdCommand,
): Promise<string> {
  const bytes = Buffer.from(password);
  if (bytes.length === 0) throw new FileFault("the password is empty");
  if (bytes.length > NAME_BYTES_MAX) throw new FileFault("the password is too long");
  return `${user}:${await hashPassword(bytes, kind, iterations)}`;
}

/** The user of a line and what stands behind the colon; of a comment neither. */
function partsOf(line: string): { readonly user: string; readonly rest: string } {
  const trimmed = line.trim();
  const colon = trimmed.indexOf(":");
  if (trimmed.startsWith("#") || colon === -1) return { user: "", rest: "" };
  return { user: withoutBlanks(trimmed.slice(0, colon)), rest: trimmed.slice(colon + 1) };
}

function isOf(line: string, user: string): boolean {
  return partsOf(line).user === user;
}

/** The lines of a file in which every one could be mosquitto's. */
function readLines(file: string): string[] {
  if (!existsSync(file)) throw new FileFault(`${file} is not there; -c makes it`);
  const content = guarded(`cannot read ${file}`, () => readFileSync(file, "utf8"));
  const lines = content.split("\n");
  if (lines.at(-1) === "") lines.pop();
  for (const [index, line] of lines.entries()) {
    const isNothing = line.trim() === "" || line.trim().startsWith("#");
    if (!isNothing && partsOf(line).user === "") {
      throw new FileFault(`${file}:${index + 1}: expected user:hash`);
    }
  }
  return lines;
}
