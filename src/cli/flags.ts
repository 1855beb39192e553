/**
 * The command line: mosquitto's flags where they exist, and a few of Holdfast's own.
 */
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { nearest } from "../base/nearest.ts";
import type { CommandLine } from "../config/settings.ts";
import { PORT } from "../config/values.ts";

export interface Flags extends CommandLine {
  /** `-c`; null: not given. */
  readonly configFile: string | null;
  /** `--test-config`: read the configuration, say what is wrong with it, start nothing. */
  readonly testConfig: boolean;
}

/**
 * What the command line asks for: to run with these flags, or to end with these lines.
 * `text` ends in a line feed; with exit code 0 it is what was asked for, otherwise the fault.
 */
export type Asked =
  | { readonly flags: Flags }
  | { readonly exitCode: number; readonly text: string };

/** The options as commander hands them over. */
interface RawOptions {
  readonly configFile?: string;
  readonly port: readonly number[];
  readonly wsPort?: number;
  readonly data?: string;
  readonly verbose?: boolean;
  readonly quiet?: boolean;
  readonly daemon?: boolean;
  readonly testConfig?: boolean;
}

const NO_DAEMON =
  "-d is not supported: holdfast stays in the foreground, let a service manager " +
  "(systemd, a container) keep it running";

/**
 * Reads the command line.
 *
 * @param args  without the program's name
 */
export function parseFlags(args: readonly string[], version: string): Asked {
  let printed = "";
  const program = createProgram(version, (text) => {
    printed += text;
  });
  try {
    program.parse(args, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return { exitCode: 0, text: printed };
    return { exitCode: 1, text: `holdfast: ${explain(error, program)}\n` };
  }
  const raw = program.opts<RawOptions>();
  if (raw.daemon === true) return { exitCode: 1, text: `holdfast: ${NO_DAEMON}\n` };
  return {
    flags: {
      configFile: raw.configFile ?? null,
      ports: raw.port,
      webSocketPort: raw.wsPort ?? null,
      dataDirectory: raw.data ?? null,
      verbose: raw.verbose ?? false,
      quiet: raw.quiet ?? false,
      testConfig: raw.testConfig ?? false,
    },
  };
}

function createProgram(version: string, print: (text: string) => void): Command {
  const program = new Command("holdfast")
    .description("MQTT 3.1.1 and 5.0 broker")
    .exitOverride()
    .configureOutput({ writeOut: print, writeErr: () => undefined })
    .configureHelp({ showGlobalOptions: true })
    .showSuggestionAfterError(false)
    .helpCommand(false)
    .helpOption("-h, --help", "show this")
    .version(`holdfast ${version}`, "--version", "show the version")
    .option("-c, --config-file <file>", "configuration in the language of mosquitto.conf")
    .addOption(
      new Option("-p, --port <port>", "listen for MQTT on 127.0.0.1, this port (repeatable)")
        .argParser(collectPort)
        .default([], "1883"),
    )
    .option("--ws-port <port>", "listen for WebSocket on 127.0.0.1, this port", readPort)
    .option("--data <dir>", "directory of everything kept on disk")
    .option("-v, --verbose", "log everything")
    .option("-q, --quiet", "log nothing")
    .option("--test-config", "check the configuration file and end")
    .addOption(new Option("-d, --daemon").hideHelp())
    .action(() => undefined);
  program
    .command("serve")
    .description("run the broker; what happens without a command, too")
    .action(() => undefined);
  return program;
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
function explain(error: CommanderError, program: Command): string {
  const [, written = ""] = /'([^']*)'/.exec(error.message) ?? [];
  if (error.code === "commander.unknownOption") {
    const flag = written.split("=")[0] ?? "";
    return `unknown flag ${flag}${hint(nearest(flag, flagsOf(program)))}`;
  }
  if (error.code === "commander.excessArguments") {
    const [first = ""] = program.args;
    const commands = program.commands.map((command) => command.name());
    return `unknown command ${first}${hint(nearest(first, commands))}`;
  }
  return error.message.replace(/^error: /, "").replaceAll("\n", " ");
}

function hint(guess: string | null): string {
  return guess === null ? "; holdfast --help lists what there is" : `; did you mean ${guess}?`;
}

function flagsOf(program: Command): string[] {
  const visible = program.options.filter((option) => !option.hidden);
  const names = visible.flatMap(({ short, long }) => [short, long]);
  return ["-h", "--help", ...names.filter((name) => typeof name === "string")];
}
