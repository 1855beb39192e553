/** Files that are replaced whole: what is there after two writers, a killed one, a failure. */
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { replaceFile } from "../../src/base/replace-file.ts";

const root = mkdtempSync(join(tmpdir(), "holdfast-replace-"));
let directory = "";
let file = "";

beforeEach(() => {
  directory = mkdtempSync(join(root, "case-"));
  file = join(directory, "file");
});
afterAll(() => rmSync(root, { recursive: true }));

function mode(path: string): number {
  return statSync(path).mode & 0o777;
}

describe("a file that is replaced", () => {
  test("is for its maker alone where there was none", async () => {
    await replaceFile(file, "new", "operator");
    expect([readFileSync(file, "utf8"), mode(file)]).toEqual(["new", 0o600]);
  });

  test("keeps the mode of an operator, is for nobody else where it is the broker's", async () => {
    writeFileSync(file, "old");
    chmodSync(file, 0o644);
    await replaceFile(file, "new", "operator");
    expect([readFileSync(file, "utf8"), mode(file)]).toEqual(["new", 0o644]);
    await replaceFile(file, "newer", "broker");
    expect([readFileSync(file, "utf8"), mode(file)]).toEqual(["newer", 0o600]);
  });

  test("is what a link points to", async () => {
    writeFileSync(file, "old");
    const link = join(root, `link-${process.pid}`);
    symlinkSync(file, link);
    await replaceFile(link, "new", "operator");
    expect([readFileSync(file, "utf8"), readdirSync(directory)]).toEqual(["new", ["file"]]);
  });

  test("has one text of two that are written at once, and nothing is left beside it", async () => {
    const texts = ["a", "b", "c", "d"].map((letter) => letter.repeat(100_000));
    await Promise.all(texts.map((text) => replaceFile(file, text, "broker")));
    expect(texts).toContain(readFileSync(file, "utf8"));
    expect(readdirSync(directory)).toEqual(["file"]);
  });

  test("is replaced also after a writer that was killed before it was done", async () => {
    for (const name of ["file.new", "file.0badcafe.new"])
      writeFileSync(join(directory, name), "half");
    await replaceFile(file, "new", "operator");
    expect(readFileSync(file, "utf8")).toBe("new");
  });

  test("fails with the system's error, and leaves nothing beside it", async () => {
    mkdirSync(join(file, "x"), { recursive: true });
    await expect(replaceFile(file, "new", "operator")).rejects.toThrow(/EISDIR|ENOTEMPTY|EEXIST/);
    expect(readdirSync(directory)).toEqual(["file"]);
    await expect(replaceFile(join(root, "none", "x"), "", "broker")).rejects.toThrow("ENOENT");
  });
});
