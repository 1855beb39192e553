/** The form of an option in the tables of the files `options-….ts`, and what those share. */
import type { ValueType } from "./values.ts";

/**
 * For what a line counts: for the whole broker; for the latest `listener` above it; or, as what
 * says who may connect, for that listener where `per_listener_settings` is true, else for all.
 */
export type OptionScope = "global" | "listener" | "access";

export interface Option<Value> {
  readonly type: ValueType<Value>;
  /** The value if the file has none; null where its absence is a state of its own. */
  readonly defaultValue: Value | null;
  /** The default in the table of options, where the value alone would not tell. */
  readonly defaultText?: string;
  readonly unit?: string;
  readonly scope: OptionScope;
  /** Whether several lines add up; otherwise the last one counts. */
  readonly repeats?: boolean;
  /** Whether a changed line counts from SIGHUP on; otherwise it needs a restart, and is told so. */
  readonly reloadable: boolean;
  /** The version that first obeys it. */
  readonly since: string;
  /** What is said, behind its name, wherever it is set. */
  readonly notice?: string;
  readonly sentence: string;
}

/** The version that brought the first options. */
export const FIRST = "0.1.0";
/** The version that keeps Sessions on disk. */
export const SECOND = "0.2.0";
/** The version that leaves out nothing of the standard. */
export const THIRD = "0.3.0";
/** The version that takes the configuration of mosquitto, access control and TLS included. */
export const FOURTH = "0.4.0";
/** The version that takes the place of mosquitto's plugins in what they leave out, too. */
export const FIFTH = "0.5.0";

export const UINT16_MAX = 0xffff;
export const UINT32_MAX = 0xffffffff;

/** The largest Remaining Length, and so the bound of every size in a packet.   [§2.1.4] */
export const PACKET_BYTES_MAX = 268_435_455;

/** How the table of options says what a duration may look like. */
export const SPAN_UNIT = "seconds, or Nh, Nd, Nw, Nm, Ny";

/** Longest path or format in the file. */
export const TEXT_CHARACTERS_MAX = 4_096;

type More<Value> = Partial<Option<Value>>;

/** An option of the whole broker. */
export function global<Value>(
  type: ValueType<Value>,
  defaultValue: NoInfer<Value> | null,
  sentence: string,
  more: More<Value> = {},
): Option<Value> {
  return {
    type,
    defaultValue,
    scope: "global",
    reloadable: false,
    since: FIRST,
    sentence,
    ...more,
  };
}

/** An option of the latest `listener` line above it. */
export function listener<Value>(
  type: ValueType<Value>,
  defaultValue: NoInfer<Value> | null,
  sentence: string,
  more: More<Value> = {},
): Option<Value> {
  return global(type, defaultValue, sentence, { scope: "listener", ...more });
}

/** An option that says who may connect. */
export function access<Value>(
  type: ValueType<Value>,
  defaultValue: NoInfer<Value> | null,
  sentence: string,
  more: More<Value> = {},
): Option<Value> {
  return global(type, defaultValue, sentence, { scope: "access", ...more });
}
