/** `holdfast options`: what a configuration file may hold. */
import { type OptionRow, optionRows } from "../config/options.ts";

/** Writes the options to standard output, for people or as JSON. @returns the exit code */
export function runOptionsCommand({ asJson }: { readonly asJson: boolean }): number {
  const rows = optionRows();
  const text = asJson ? JSON.stringify(rows, null, 2) : rows.map(paragraphOf).join("\n");
  process.stdout.write(`${text}\n`);
  return 0;
}

function paragraphOf(row: OptionRow): string {
  const unit = row.unit === "" ? "" : `, ${row.unit}`;
  const reload = row.reloadable ? "SIGHUP reloads it" : "needs a restart";
  const facts = `default: ${row.defaultValue}${unit}; ${row.scope}; ${reload}; since ${row.since}`;
  return `${row.name} ${row.value}\n    ${row.meaning}\n    (${facts})\n`;
}
