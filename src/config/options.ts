/**
 * The options of the configuration file: one table, from which the parser takes its checks, the
 * command `holdfast options` and the README their list.
 *
 * Names and meanings are those of mosquitto.conf(5); an option that mosquitto does not have says
 * so. The rows stand in the files `options-….ts`, by area.
 */
import type { Option, OptionScope } from "./option.ts";
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

/** An option as the lists of them show it. */
export interface OptionRow {
  readonly name: string;
  /** What it takes. */
  readonly value: string;
  readonly defaultValue: string;
  /** "": none. */
  readonly unit: string;
  readonly scope: OptionScope;
  readonly reloadable: boolean;
  readonly since: string;
  readonly meaning: string;
}

/** All options, in the order of OPTIONS. */
export function optionRows(): readonly OptionRow[] {
  return Object.keys(OPTIONS)
    .filter(isOptionName)
    .map((name) => {
      const option: Option<unknown> = OPTIONS[name];
      return {
        name,
        value: option.type.name,
        defaultValue: option.defaultText ?? `${option.defaultValue}`,
        unit: option.unit ?? "",
        scope: option.scope,
        reloadable: option.reloadable,
        since: option.since,
        meaning: option.sentence,
      };
    });
}

/** The options as a table in Markdown, with a line for each. */
export function optionsAsMarkdown(): string {
  const lines = optionRows().map((row) => {
    const { value, defaultValue, unit, scope, since, meaning } = row;
    const reload = row.reloadable ? "yes" : "";
    const cells = [`\`${row.name}\``, value, defaultValue, unit, scope, reload, since, meaning];
    return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  });
  const head = "| option | value | default | unit | scope | reload | since | meaning |";
  return `${[head, "|---|---|---|---|---|---|---|---|", ...lines].join("\n")}\n`;
}
