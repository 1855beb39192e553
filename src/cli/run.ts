/**
 * From a command line to an exit code: reads flags and configuration, then serves, or works on what
 * is on disk, or on a file of users.
 *
 *   0  ended as asked
 *   1  a fault of the machine, or of what is on disk
 *   3  nothing was done: a fault of the command line or of the configuration, as in mosquitto
 */
import { readFileSync } from "node:fs";
import { createLog, type OpenLog } from "../base/log.ts";
import { readVersion } from "../base/version.ts";
import { type Configuration, configure } from "../config/configuration.ts";
import type { ConfigurationFile } from "../config/include.ts";
import { NO_FLAGS, type Settings } from "../config/settings.ts";
import { isInBackground, reportFaults, startInBackground } from "./daemon.ts";
import { FAULT_OF_CONFIGURATION, type Flags, parseFlags, type StoreCommand } from "./flags.ts";
import { unreadableFiles } from "./named-files.ts";
import { serve } from "./serve.ts";

/**
 * Runs the program to its end.
 *
 * @param args  the command line without the program's name
 * @returns the exit code
 */
export async function run(args: readonly string[]): Promise<number> {
  const version = readVersion();
  const asked = parseFlags(args, version);
  if ("exitCode" in asked) {
    (asked.exitCode === 0 ? process.stdout : process.stderr).write(asked.text);
    return asked.exitCode;
  }
  if ("storeCommand" in asked) return workOnStore(asked.storeCommand);
  if ("scramCommand" in asked) {
    // Loaded only here, as few ask for it.
    const { runScramCommand } = await import("./scram-command.ts");
    return runScramCommand(asked.scramCommand);
  }
  if ("passwdCommand" in asked) {
    const { runPasswdCommand } = await import("./passwd-command.ts");
    return runPasswdCommand(asked.passwdCommand);
  }
  if ("optionsCommand" in asked) {
    const { runOptionsCommand } = await import("./options-command.ts");
    return runOptionsCommand(asked.optionsCommand);
  }
  const { flags } = asked;
  if (flags.testConfig && flags.configFile === null) {
    return fail(["--test-config needs a configuration file: -c FILE"], FAULT_OF_CONFIGURATION);
  }
  const configuration = readConfiguration(flags);
  if (configuration.errors.length > 0) return fail(configuration.errors, FAULT_OF_CONFIGURATION);
  if (flags.testConfig) return reportTest(configuration, flags);
  if (flags.daemon && !isInBackground()) return startInBackground(args);
  return start(configuration, version, flags);
}

async function workOnStore(command: StoreCommand): Promise<number> {
  const file = command.configFile === null ? null : readConfigurationFile(command.configFile);
  if (typeof file === "string") return fail([file], FAULT_OF_CONFIGURATION);
  const { dataDirectory } = command;
  const { settings, errors } = configure(file, { ...NO_FLAGS, dataDirectory });
  if (errors.length > 0) return fail(errors, FAULT_OF_CONFIGURATION);
  // Loaded only here: it brings LMDB.
  const { runStoreCommand } = await import("./store-commands.ts");
  return runStoreCommand(command, settings.dataDirectory);
}

async function start(configuration: Configuration, version: string, flags: Flags): Promise<number> {
  const { settings, warnings } = configuration;
  const log = openLog(settings);
  if (typeof log === "string") return fail([log]);
  for (const warning of warnings) log.warn(warning);
  const source = { version, flags, read: () => readConfiguration(flags) };
  const fault = await serve(configuration, log, source);
  // On a terminal the line of fail() is enough; a log file wants it, too.
  const isFileOnly = settings.log.destinations.every(({ kind }) => kind === "file");
  if (fault !== null && isFileOnly) log.error(fault);
  await log.close();
  return fault === null ? 0 : fail([fault]);
}

function reportTest({ settings, entries, warnings }: Configuration, flags: Flags): number {
  for (const warning of [...warnings, ...unreadableFiles(settings, entries)]) {
    process.stderr.write(`holdfast: warning: ${warning}\n`);
  }
  process.stdout.write(`holdfast: ${flags.configFile} is accepted\n`);
  return 0;
}

/** Says what is wrong, a line each. @returns the exit code */
async function fail(lines: readonly string[], exitCode = 1): Promise<number> {
  if (isInBackground()) await reportFaults(lines);
  for (const line of lines) process.stderr.write(`holdfast: ${line}\n`);
  return exitCode;
}

/** The configuration; that its file cannot be read is its error. */
function readConfiguration(flags: Flags): Configuration {
  const file = flags.configFile === null ? null : readConfigurationFile(flags.configFile);
  if (typeof file !== "string") return configure(file, flags);
  return { ...configure(null, flags), errors: [file] };
}

/** @returns the file, or why it cannot be read */
function readConfigurationFile(name: string): ConfigurationFile | string {
  try {
    return { name, content: readFileSync(name, "utf8") };
  } catch (error) {
    return `cannot read the configuration file ${name}: ${reasonOf(error)}`;
  }
}

/** @returns the log, or why it cannot be written */
function openLog(settings: Settings): OpenLog | string {
  try {
    return createLog(settings.log);
  } catch (error) {
    const files = settings.log.destinations.flatMap((to) => (to.kind === "file" ? to.path : []));
    return `cannot write the log (${files.join(", ")}): ${reasonOf(error)}`;
  }
}

/** `ENOENT: no such file or directory`, without the system call that Node.js appends. */
function reasonOf(error: unknown): string {
  return error instanceof Error ? (error.message.split(", ")[0] ?? "") : String(error);
}
