/** A password from the terminal, unseen, or from standard input. */
import { createInterface } from "node:readline";
import { Writable } from "node:stream";
import { FileFault } from "./file-change.ts";

/** Longest password, in characters. */
const PASSWORD_CHARACTERS_MAX = 65_535;

/** What a terminal shows of what is typed: nothing. */
function nowhere(): Writable {
  return new Writable({ write: (_chunk, _encoding, done) => done() });
}

/**
 * Asks each question on stderr where standard input is a terminal; otherwise its first line is
 * the answer to all of them.
 *
 * @returns as many answers as questions; null where there are not as many, or one is too long
 */
async function askPasswords(questions: readonly string[]): Promise<string[] | null> {
  const { stdin, stderr } = process;
  const lines = createInterface({
    input: stdin,
    terminal: stdin.isTTY,
    ...(stdin.isTTY && { output: nowhere() }),
  });
  const answers: string[] = [];
  if (stdin.isTTY) stderr.write(questions[0] ?? "");
  await new Promise<void>((resolve) => {
    lines.on("line", (line) => {
      answers.push(line);
      if (stdin.isTTY) stderr.write(`\n${questions[answers.length] ?? ""}`);
      if (!stdin.isTTY || answers.length === questions.length) resolve();
    });
    lines.once("close", resolve);
    lines.once("SIGINT", resolve);
  });
  lines.close();
  const [first] = answers;
  const all = stdin.isTTY || first === undefined ? answers : questions.map(() => first);
  const isWhole = all.length >= questions.length;
  return isWhole && all.every(({ length }) => length <= PASSWORD_CHARACTERS_MAX) ? all : null;
}

/**
 * Asks for a user's new password, twice.
 *
 * @throws FileFault where there is none, or two
 */
export async function askNewPassword(user: string): Promise<string> {
  const answers = await askPasswords([`Password for ${user}: `, "The same again: "]);
  if (answers === null) throw new FileFault("there is no password");
  const [password = "", again] = answers;
  if (again !== password) throw new FileFault("the passwords are not the same");
  return password;
}
