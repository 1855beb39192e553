/**
 * The options of the configuration file: one table, from which the parser takes its checks, the
 * command `holdfast options` and the README their list.
 *
 * Names and meanings are those of mosquitto.conf(5); an option that mosquitto does not have says
 * so. The rows stand in the files `options-….ts`, by area.
 */
import type { Option } from "./option.ts";
import { ACCESS_OPTIONS } from "./options-access.ts";
import { ADMISSION_OPTIONS } from "./options-admission.ts";
import { LIMIT_OPTIONS } from "./options-limits.ts";
import { LISTENER_OPTIONS } from "./options-listener.ts";
import { PROCESS_OPTIONS } from "./options-process.ts";
import { SESSION_OPTIONS } from "./options-session.ts";
import { TLS_OPTIONS } from "./options-tls.ts";

export const OPTIONS = {
  ...LISTENER_OPTIONS,
  ...TLS_OPTIONS,
  ...ACCESS_OPTIONS,
  ...ADMISSION_OPTIONS,
  ...LIMIT_OPTIONS,
  ...SESSION_OPTIONS,
  ...PROCESS_OPTIONS,
} as const;

export type OptionName = keyof typeof OPTIONS;

/** What a value of the option `Name` is, once read. */
export type OptionValue<Name extends OptionName> =
  (typeof OPTIONS)[Name] extends Option<infer Value> ? Value : never;

/** Other names for some of them. */
export const ALIASES: ReadonlyMap<string, OptionName> = new Map([
  ["maximum_qos", "max_qos"],
  ["retained_persistence", "persistence"],
]);

export function isOptionName(name: string): name is OptionName {
  return Object.hasOwn(OPTIONS, name);
}

/**
 * The options as a table in Markdown, with a line for each, in the order of OPTIONS.
 */
export function optionsAsMarkdown(): string {
  const lines = [
    "| option | value | default | unit | scope | reload | since | meaning |",
    "|---|---|---|---|---|---|---|---|",
  ];
  for (const name of Object.keys(OPTIONS)) {
    if (!isOptionName(name)) continue;
    const option: Option<unknown> = OPTIONS[name];
    const { type, defaultValue, defaultText, unit, scope, reloadable, since, sentence } = option;
    const cells = [
      `\`${name}\``,
      type.name,
      defaultText ?? `${defaultValue}`,
      unit ?? "",
      scope,
      reloadable ? "yes" : "",
      since,
      sentence,
    ];
    lines.push(`| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`);
  }
  return `${lines.join("\n")}\n`;
}
