/** The command line of `holdfast passwd`: the flags of mosquitto_passwd. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { type HashKind, ITERATIONS_DEFAULT, ITERATIONS_MAX } from "../access/password-hash.ts";
import { integer } from "../config/values.ts";

/** `passwd`: a user of the password file is added, changed or removed; or plain ones are hashed. */
export interface PasswdCommand {
  /** `-`: with `creates`, standard output. */
  readonly file: string;
  /** null: `upgrades`. */
  readonly user: string | null;
  /** null: it is asked for. */
  readonly password: string | null;
  /** Whether the file is to be made, over any other. */
  readonly creates: boolean;
  readonly deletes: boolean;
  /** Whether plain passwords of the file are to be hashed. */
  readonly upgrades: boolean;
  readonly kind: HashKind;
  readonly iterations: number;
}

/** The flags as commander hands them over. */
interface RawOptions {
  readonly batch?: boolean;
  readonly create?: boolean;
  readonly delete?: boolean;
  readonly upgrade?: boolean;
  readonly hash: HashKind;
  readonly iterations?: number;
}

const KINDS: readonly HashKind[] = ["sha512-pbkdf2", "argon2id", "sha512"];

const HELP =
  "Adds a user to the file that the option password_file names, or gives one that is there " +
  "another password, which is asked for on the terminal, or is the first line of standard input. " +
  "The flags and the file are those of mosquitto_passwd; mosquitto 2.0 reads sha512-pbkdf2 and " +
  "sha512. The broker reads the file when it starts, and again on SIGHUP.";

/** Adds the command. @param ask  called with what it is to do */
export function withPasswd(program: Command, ask: (command: PasswdCommand) => void): void {
  const command = program
    .command("passwd <file> [user] [password]")
    .summary("give a user of the password file a password")
    .description(HELP)
    .option("-b, --batch", "take the password from the command line, where others may see it")
    .option("-c, --create", "make the file, over any that is there; - prints the line instead")
    .option("-D, --delete", "remove the user")
    .addOption(
      new Option("-H, --hash <kind>", "how the password is hashed")
        .choices(KINDS)
        .default("sha512-pbkdf2"),
    )
    .option(
      "-I, --iterations <count>",
      `how dear each check is, with sha512-pbkdf2 (default: ${ITERATIONS_DEFAULT})`,
      readIterations,
    )
    .option("-U, --upgrade", "hash the plain passwords of the file; hashes stay as they are");
  command.action((file: string, user: string | undefined, password: string | undefined) => {
    const raw = command.opts<RawOptions>();
    const fault = faultOf(raw, file, user, password);
    if (fault !== null) command.error(`error: ${fault}`);
    ask({
      file,
      user: user ?? null,
      password: password ?? null,
      creates: raw.create ?? false,
      deletes: raw.delete ?? false,
      upgrades: raw.upgrade ?? false,
      kind: raw.hash,
      iterations: raw.iterations ?? ITERATIONS_DEFAULT,
    });
  });
}

/** @returns what does not go together; null: all does */
function faultOf(
  raw: RawOptions,
  file: string,
  user: string | undefined,
  password: string | undefined,
): string | null {
  const { batch = false, create = false, delete: deletes = false, upgrade = false } = raw;
  if ([create, deletes, upgrade].filter((flag) => flag).length > 1) {
    return "-c, -D and -U do not go together";
  }
  if (batch && (deletes || upgrade)) return "-b goes with neither -D nor -U";
  if (upgrade !== (user === undefined)) {
    return upgrade ? "-U takes a file alone" : "the user name is missing";
  }
  if (batch !== (password !== undefined)) {
    return "a password on the command line goes with -b, and -b with one";
  }
  if (raw.iterations !== undefined && raw.hash !== "sha512-pbkdf2") {
    return `-I goes with -H sha512-pbkdf2, not with ${raw.hash}`;
  }
  return file === "-" && !create ? "- for standard output goes with -c" : null;
}

function readIterations(written: string): number {
  const type = integer(1, ITERATIONS_MAX);
  const count = type.read(written);
  if (count === null) throw new InvalidArgumentError(`Expected ${type.form}.`);
  return count;
}
