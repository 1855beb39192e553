/**
 * `holdfast scram`: writes the credentials file, a user at a time. No password is kept, only what
 * can check one.
 */
import { existsSync, readFileSync } from "node:fs";
import { prepare } from "../access/saslprep.ts";
import { credentialOf, faultOfUser, lineOf, readScramLines } from "../access/scram-file.ts";
import { demandUserOfLine, FileFault, guarded, replaceLines, reportChange } from "./file-change.ts";
import type { ScramCommand } from "./flags.ts";
import { askNewPassword } from "./password.ts";

/**
 * Runs the command to its end.
 *
 * @returns the exit code
 */
export function runScramCommand(command: ScramCommand): Promise<number> {
  return reportChange(() => change(command));
}

async function change(command: ScramCommand): Promise<string> {
  const { file, deletes } = command;
  const user = prepare(command.user);
  const fault = user === null ? "the user name is not valid" : faultOfUser(user);
  if (user === null || fault !== null) throw new FileFault(fault ?? "");
  if (!deletes) demandUserOfLine(user);
  const lines = readLines(command);
  const index = lines.findIndex((line) => line.startsWith(`${user}:`) && isOf(line, user));
  if (deletes) {
    if (index === -1) throw new FileFault(`${user} is not in ${file}`);
    lines.splice(index, 1);
    await replaceLines(file, lines);
    return `${user} is removed from ${file}`;
  }
  const password = prepare(command.password ?? (await askNewPassword(user)));
  if (password === null) throw new FileFault("the password is empty, or SASLprep forbids it");
  const line = lineOf(user, await credentialOf(password, command.iterations));
  if (index === -1) lines.push(line);
  else lines[index] = line;
  await replaceLines(file, lines);
  return index === -1 ? `${user} is added to ${file}` : `${user} has a new password in ${file}`;
}

/** The user of a line may hold colons. */
function isOf(line: string, user: string): boolean {
  const users = readScramLines(line);
  return typeof users !== "string" && users.has(user);
}

/** The lines of the file, of which every one is good; none where it is to be made. */
function readLines({ file, creates }: ScramCommand): string[] {
  const exists = existsSync(file);
  if (creates && exists) throw new FileFault(`${file} is there already; leave out -c to add to it`);
  if (!creates && !exists) throw new FileFault(`${file} is not there; -c makes it`);
  if (!exists) return [];
  const content = guarded(`cannot read ${file}`, () => readFileSync(file, "utf8"));
  const users = readScramLines(content);
  if (typeof users === "string") throw new FileFault(`${file}:${users}`);
  const lines = content.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
}
