/**
 * The command line: mosquitto's flags where they exist, and a few of Holdfast's own; and commands
 * that work on what is kept on disk.
 */
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { ITERATIONS_MAX, ITERATIONS_MIN } from "../access/scram-file.ts";
import { nearest } from "../base/nearest.ts";
import type { CommandLine, Durability } from "../config/settings.ts";
import { integer, PORT } from "../config/values.ts";
import { type PasswdCommand, withPasswd } from "./passwd-flags.ts";

export interface Flags extends CommandLine {
  /** `-c`; null: not given. */
  readonly configFile: string | null;
  /** `--test-config`: read the configuration, say what is wrong with it, start nothing. */
  readonly testConfig: boolean;
}

/** A command on what is kept on disk; null where a flag or an argument was not given. */
export interface StoreCommand {
  readonly name: StoreCommandName;
  readonly configFile: string | null;
  readonly dataDirectory: string | null;
  /** `backup` only: the directory of the copy. */
  readonly destination: string | null;
}

/** `scram`: a user of the credentials file is added, changed or removed. */
export interface ScramCommand {
  readonly file: string;
  readonly user: string;
  /** null: it is asked for. */
  readonly password: string | null;
  /** Whether the file is to be made. */
  readonly creates: boolean;
  /** Whether the user is to be removed. */
  readonly deletes: boolean;
  readonly iterations: number;
}

export type StoreCommandName = "backup" | "check" | "compact";

/**
 * What the command line asks for: to run with these flags, to work on what is on disk or on a file
 * of users, or to end with these lines.
 * `text` ends in a line feed; with exit code 0 it is what was asked for, otherwise the fault.
 */
export type Asked =
  | { readonly flags: Flags }
  | { readonly storeCommand: StoreCommand }
  | { readonly scramCommand: ScramCommand }
  | { readonly passwdCommand: PasswdCommand }
  | { readonly optionsCommand: { readonly asJson: boolean } }
  | { readonly exitCode: number; readonly text: string };

/** The options as commander hands them over. */
interface RawOptions {
  readonly configFile?: string;
  readonly port?: readonly number[];
  readonly wsPort?: number;
  readonly data?: string;
  readonly durability?: Durability;
  readonly verbose?: boolean;
  readonly quiet?: boolean;
  readonly daemon?: boolean;
  readonly tlsKeylog?: string;
  readonly testConfig?: boolean;
}

/** A program, and where its commands leave what they were asked for. */
interface Reader {
  readonly program: Command;
  readonly asked: {
    storeCommand: StoreCommand | null;
    scramCommand: ScramCommand | null;
    passwdCommand: PasswdCommand | null;
    optionsCommand: { readonly asJson: boolean } | null;
    serving: Command | null;
  };
}

/** The exit code for a command line or a configuration that is not accepted: mosquitto's. */
export const FAULT_OF_CONFIGURATION = 3;

const DURABILITIES: readonly Durability[] = ["fsync", "process", "memory"];

/**
 * Reads the command line.
 *
 * @param args  without the program's name
 */
export function parseFlags(args: readonly string[], version: string): Asked {
  let printed = "";
  const { program, asked } = createProgram(version, (text) => {
    printed += text;
  });
  try {
    program.parse(args, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return { exitCode: 0, text: printed };
    return {
      exitCode: FAULT_OF_CONFIGURATION,
      text: `holdfast: ${explain(error, program, args)}\n`,
    };
  }
  const { storeCommand, scramCommand, passwdCommand, optionsCommand } = asked;
  if (optionsCommand !== null) return { optionsCommand };
  if (storeCommand !== null) return { storeCommand };
  if (scramCommand !== null) return { scramCommand };
  if (passwdCommand !== null) return { passwdCommand };
  const raw = merged(program.opts<RawOptions>(), asked.serving?.opts<RawOptions>() ?? {});
  return {
    flags: {
      configFile: raw.configFile ?? null,
      ports: raw.port ?? [],
      webSocketPort: raw.wsPort ?? null,
      dataDirectory: raw.data ?? null,
      durability: raw.durability ?? null,
      verbose: raw.verbose ?? false,
      quiet: raw.quiet ?? false,
      testConfig: raw.testConfig ?? false,
      daemon: raw.daemon ?? false,
      tlsKeyLogFile: raw.tlsKeylog ?? null,
    },
  };
}

/** Flags in front of `serve` and behind it. */
function merged(before: RawOptions, behind: RawOptions): RawOptions {
  return { ...before, ...behind, port: [...(before.port ?? []), ...(behind.port ?? [])] };
}

function createProgram(version: string, print: (text: string) => void): Reader {
  const asked: Reader["asked"] = {
    storeCommand: null,
    scramCommand: null,
    passwdCommand: null,
    optionsCommand: null,
    serving: null,
  };
  const program = new Command("holdfast")
    .description("MQTT 3.1.1 and 5.0 broker")
    .exitOverride()
    .configureOutput({ writeOut: print, writeErr: () => undefined })
    .showSuggestionAfterError(false)
    .helpCommand(false)
    .enablePositionalOptions()
    .helpOption("-h, --help", "show this")
    .version(`holdfast ${version}`, "--version", "show the version")
    .action(() => undefined);
  withServeOptions(program);
  const serve = program
    .command("serve")
    .description("run the broker; what happens without a command, too")
    .action(() => {
      asked.serving = serve;
    });
  withServeOptions(serve);

  const add = (name: StoreCommandName, argument: string, summary: string, more: string): void => {
    const command = program
      .command(`${name}${argument}`)
      .summary(summary)
      .description(more)
      .option("-c, --config-file <file>", "the broker's configuration, for persistence_location")
      .option("--data <dir>", "the data directory, whatever the configuration says");
    command.action(() => {
      const raw = command.opts<RawOptions>();
      asked.storeCommand = {
        name,
        configFile: raw.configFile ?? null,
        dataDirectory: raw.data ?? null,
        destination: command.args[0] ?? null,
      };
    });
  };
  add("check", "", "say whether the data directory is sound", CHECK_HELP);
  add("backup", " <dest>", "copy the data directory, also of a running broker", BACKUP_HELP);
  add("compact", "", "write the index anew without its free space", COMPACT_HELP);
  withScram(program, asked);
  const options = program
    .command("options")
    .summary("list what a configuration file may hold")
    .option("--json", "as JSON")
    .action(() => {
      asked.optionsCommand = { asJson: options.opts<{ json?: boolean }>().json ?? false };
    });
  withPasswd(program, (command) => {
    asked.passwdCommand = command;
  });
  return { program, asked };
}

/** The command's options as commander hands them over. */
interface RawScramOptions {
  readonly create?: boolean;
  readonly delete?: boolean;
  readonly batch?: boolean;
  readonly iterations: number;
}

function withScram(program: Command, asked: Reader["asked"]): void {
  const command = program
    .command("scram <file> <user> [password]")
    .summary("give a user of the credentials file a password")
    .description(SCRAM_HELP)
    .option("-c, --create", "make the file")
    .option("-D, --delete", "remove the user")
    .option("-b, --batch", "take the password from the command line")
    .option(
      "-i, --iterations <count>",
      "how dear a guess is, and each CONNECT to the client",
      readIterations,
      ITERATIONS_MIN,
    );
  command.action((file: string, user: string, password: string | undefined) => {
    const raw = command.opts<RawScramOptions>();
    if ((raw.batch ?? false) !== (password !== undefined)) {
      command.error("error: a password on the command line goes with -b, and -b with one");
    }
    if (raw.delete && (raw.create || raw.batch)) {
      command.error("error: -D removes a user; it goes with neither -c nor -b");
    }
    asked.scramCommand = {
      file,
      user,
      password: password ?? null,
      creates: raw.create ?? false,
      deletes: raw.delete ?? false,
      iterations: raw.iterations,
    };
  });
}

function readIterations(written: string): number {
  const type = integer(ITERATIONS_MIN, ITERATIONS_MAX);
  const count = type.read(written);
  if (count === null) throw new InvalidArgumentError(`Expected ${type.form}.`);
  return count;
}

const SCRAM_HELP =
  "Adds a user to the file that the option scram_file names, or gives one that is there another " +
  "password. It is asked for on the terminal, or is the first line of standard input. The broker " +
  "reads the file when it starts, and again on SIGHUP.";

const CHECK_HELP =
  "Reads everything in the data directory and says what is wrong, a line each; exit code 0 if " +
  "nothing is. Changes nothing. The directory of a running broker may change under it.";
const BACKUP_HELP =
  "Copies the data directory into the directory DEST, which must be empty or absent. The copy is " +
  "of one moment, also where a broker is running on it, and can be used as a data directory.";
const COMPACT_HELP =
  "Writes the index of the data directory anew, without the free space in it. Needs room for " +
  "the copy, and refuses while a broker is running on the directory.";

function withServeOptions(command: Command): void {
  command
    .option("-c, --config-file <file>", "configuration in the language of mosquitto.conf")
    .addOption(
      new Option("-p, --port <port>", "listen for MQTT on 127.0.0.1, this port (repeatable)")
        .argParser(collectPort)
        .default([], "1883"),
    )
    .option("--ws-port <port>", "listen for WebSocket on 127.0.0.1, this port", readPort)
    .option("--data <dir>", "directory of everything kept on disk")
    .addOption(
      new Option(
        "--durability <mode>",
        "what an acknowledgement outlives: a power cut, the process, or neither",
      ).choices(DURABILITIES),
    )
    .option("-v, --verbose", "log everything")
    .option("-q, --quiet", "log nothing")
    .option("--test-config", "check the configuration file and end")
    .option("-d, --daemon", "run in the background, once it listens")
    .option("--tls-keylog <file>", "append the keys of TLS connections, to debug with Wireshark");
}

function readPort(written: string): number {
  const port = PORT.read(written);
  if (port === null) throw new InvalidArgumentError(`Expected ${PORT.form}.`);
  return port;
}

function collectPort(written: string, earlier: readonly number[]): number[] {
  return [...earlier, readPort(written)];
}

/** One line about a command line that is not accepted. */
function explain(error: CommanderError, program: Command, args: readonly string[]): string {
  const [, written = ""] = /'([^']*)'/.exec(error.message) ?? [];
  const command = program.commands.find((known) => args.includes(known.name())) ?? program;
  if (error.code === "commander.unknownOption") {
    const flag = written.split("=")[0] ?? "";
    return `unknown flag ${flag}${hint(nearest(flag, flagsOf(command)))}`;
  }
  if (error.code === "commander.excessArguments" && command === program) {
    const [first = ""] = program.args;
    const commands = program.commands.map((known) => known.name());
    return `unknown command ${first}${hint(nearest(first, commands))}`;
  }
  return error.message.replace(/^error: /, "").replaceAll("\n", " ");
}

function hint(guess: string | null): string {
  return guess === null ? "; holdfast --help lists what there is" : `; did you mean ${guess}?`;
}

function flagsOf(command: Command): string[] {
  const visible = command.options.filter((option) => !option.hidden);
  const names = visible.flatMap(({ short, long }) => [short, long]);
  return ["-h", "--help", ...names.filter((name) => typeof name === "string")];
}
