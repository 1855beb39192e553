#!/usr/bin/env node
/**
 * The command `holdfast`: looks at the Node.js it runs on before anything else is loaded.
 *
 * This file imports nothing and keeps to old syntax, so that an old Node.js reaches the check and
 * says one clear line instead of a syntax error from elsewhere.
 */

/** The oldest Node.js that the rest of the program runs on. */
const NODE_MAJOR_MIN = 22;
const NODE_MINOR_MIN = 12;

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);

if (major < NODE_MAJOR_MIN || (major === NODE_MAJOR_MIN && minor < NODE_MINOR_MIN)) {
  process.stderr.write(
    `holdfast: Node.js ${NODE_MAJOR_MIN}.${NODE_MINOR_MIN} or newer is needed, ` +
      `this is ${process.versions.node}\n`,
  );
  process.exitCode = 1;
} else {
  import("./run.ts")
    .then((program) => program.run(process.argv.slice(2)))
    .then((exitCode) => process.exit(exitCode));
}
