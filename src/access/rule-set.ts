/**
 * Access rules as the engine has them, whose business READ and WRITE are: assembly/access.ts.
 */
import * as abi from "#assembly/abi";
import type { Engine } from "../engine/engine.ts";
import { type AccessRule, type AccessRules, READ, WRITE } from "./access-rules.ts";

const OF_MESSAGES = READ | WRITE;
const QUESTION_SHIFT = 4;

/** A filter as bytes, with the bytes that stand for names in it. */
function filterBytes(rule: AccessRule): Buffer {
  if (rule.substitutes !== true) return Buffer.from(rule.filter);
  const parts = rule.filter.split(/(%[cu])/);
  return Buffer.concat(
    parts.map((part) => {
      if (part === "%c") return Buffer.from([abi.RULE_CLIENT_ID]);
      return part === "%u" ? Buffer.from([abi.RULE_USER_NAME]) : Buffer.from(part);
    }),
  );
}

function encodeRule(rule: AccessRule): Buffer {
  const filter = filterBytes(rule);
  const flags =
    (rule.actions & OF_MESSAGES) |
    (rule.allows ? abi.RULE_ALLOWS : 0) |
    (rule.isLiteral ? abi.RULE_IS_LITERAL : 0);
  const bytes = Buffer.alloc((4 + filter.length + 3) & ~3);
  bytes.writeUInt16LE(filter.length, 0);
  bytes.writeUInt16LE(flags, 2);
  filter.copy(bytes, 4);
  return bytes;
}

/** @returns the block that internRules() takes */
export function encodeRules(rules: AccessRules): Buffer {
  const own = rules.rules.filter((rule) => (rule.actions & OF_MESSAGES) !== 0);
  const head = Buffer.alloc(abi.RULES_HEADER_BYTES);
  const asked = (rules.question?.actions ?? 0) & WRITE;
  const ofNames = own.some((rule) => rule.substitutes === true) ? abi.RULES_OF_NAMES : 0;
  head.writeUInt32LE(own.length, abi.RULES_COUNT);
  const defaults = rules.defaults & OF_MESSAGES;
  head.writeUInt32LE(defaults | (asked << QUESTION_SHIFT) | ofNames, abi.RULES_FLAGS);
  return Buffer.concat([head, ...own.map(encodeRule)]);
}

/** Encoded rule sets of the objects that authorizers hand out more than once. */
const encoded = new WeakMap<AccessRules, Buffer>();

/**
 * Hands rules to the engine.
 *
 * @returns the rule set with a reference for the caller, or 0: no memory
 */
export function internRules(engine: Engine, rules: AccessRules): number {
  let block = encoded.get(rules);
  if (block === undefined) {
    block = encodeRules(rules);
    encoded.set(rules, block);
  }
  const at = engine.keep(block);
  return at === 0 ? 0 : engine.calls.internRules(at, block.length) >>> 0;
}
