/**
 * `user`: the account that a broker started by root runs as, as mosquitto does: its ports, keys and
 * passwords are opened by root, its store by the account, and then root's rights are given up.
 *
 * Who names a user gets that user, or no start. Who names none gets `mosquitto`, where there is
 * one that can read and write all that the configuration names.
 */
import { execFileSync } from "node:child_process";
import {
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { StartError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { ListenerSettings, Settings } from "../config/settings.ts";

/** A user of the system. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** The user that a broker of root becomes where none is named. */
const DEFAULT_USER = "mosquitto";

/** Numbers of processes and of system calls are Linux's: there they are always there. */
function uidNow(): number {
  return process.geteuid?.() ?? -1;
}

/**
 * The account to run as; null: the one that the broker was started by.
 *
 * @param configFiles  with those of `include_dir`
 * @throws StartError if the named user does not exist, or cannot use the data directory
 */
export function chooseAccount(
  settings: Settings,
  configFiles: readonly string[],
  log: Log,
): Account | null {
  const { user } = settings;
  if (uidNow() !== 0) {
    if (user !== null && accountOf(user)?.uid !== uidNow()) {
      log.warn(`user ${user} is not obeyed: only root can start a broker of another user`);
    }
    return null;
  }
  if (user === "root") return null;
  const account = accountOf(user ?? DEFAULT_USER);
  if (account === null) {
    if (user !== null) throw new StartError(`user ${user}: there is no such user on this machine`);
    log.warn(`holdfast runs as root, as there is no user ${DEFAULT_USER}; name one with user`);
    return null;
  }
  const isNamed = user !== null;
  if (!canBecome(account)) {
    const why = `the system does not let it become ${account.name}, as in some containers`;
    if (isNamed) throw new StartError(`user ${account.name}: ${why}; write user root`);
    log.warn(`holdfast runs as root: ${why}`);
    return null;
  }
  const store = faultOfStore(settings, account, isNamed);
  const lacks = faultsOfFiles(settings, configFiles, account);
  if (!isNamed && (store !== null || lacks.length > 0)) {
    const why = store ?? `${account.name} ${lacks[0]}`;
    log.warn(`holdfast runs as root: ${why}; name a user, or root, with user`);
    return null;
  }
  if (store !== null) throw new StartError(`user ${account.name}: ${store}`);
  for (const fault of lacks) log.warn(`user ${account.name} ${fault}`);
  return account;
}

/** @returns null: there is no such user */
function accountOf(name: string): Account | null {
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((candidate) => candidate.startsWith(`${name}:`));
  const [, , uid, gid] = (line ?? askForUser(name)).split(":");
  if (uid === undefined || gid === undefined) return null;
  return { name, uid: Number(uid), gid: Number(gid) };
}

/** Users may be in a directory of the network, which getent(1) knows. */
function askForUser(name: string): string {
  try {
    return execFileSync("getent", ["passwd", "--", name], { encoding: "utf8", stdio: "pipe" });
  } catch {
    return "";
  }
}

/** What the account cannot do with the files that root has read. */
function faultsOfFiles(
  settings: Settings,
  configFiles: readonly string[],
  account: Account,
): readonly string[] {
  const faults = filesOf(settings, configFiles)
    .filter((path) => !canOpen(path, account))
    .map((path) => `cannot read ${path}: a reload will not read it again`);
  const changing = settings.listeners
    .map(({ access }) => access.dynamicSecurityFile)
    .filter((path) => path !== null);
  for (const path of new Set(changing)) {
    if (asAccount(account, () => canWriteIn(dirname(path)))) continue;
    faults.push(`cannot write in ${dirname(path)}: no change to ${path} will be kept`);
  }
  return faults;
}

/** Whether this root may be another user: one of a container, without capabilities, may not. */
function canBecome(account: Account): boolean {
  const may = succeeds(() => asAccount(account, () => undefined));
  if (!may) succeeds(raise);
  return may;
}

/** All files that a reload reads again. */
function filesOf({ listeners }: Settings, configFiles: readonly string[]): readonly string[] {
  const names = listeners.flatMap((listener) => [
    listener.access.passwordFile,
    listener.access.aclFile,
    listener.access.scramFile,
    listener.access.dynamicSecurityFile,
    ...filesOfTls(listener),
  ]);
  const named = [...configFiles, ...names].filter((name) => name !== null);
  return [...new Set(named)].filter((name) => existsSync(name));
}

function filesOfTls({ tls }: ListenerSettings): readonly (string | null)[] {
  if (tls === null) return [];
  return [tls.certificateFile, tls.keyFile, tls.caFile, tls.crlFile, tls.pskFile];
}

/** Ports below it are root's. */
const FREE_PORT_MIN = 1_024;

/** Whether the account alone could not open the listener. */
export function needsRoot(listener: ListenerSettings, account: Account): boolean {
  const { port, socketPath } = listener;
  if (socketPath !== null) return !asAccount(account, () => canWriteIn(dirname(socketPath)));
  if (port > 0 && port < FREE_PORT_MIN) return true;
  const files = filesOfTls(listener).filter((name) => name !== null);
  return files.some((name) => existsSync(name) && !canOpen(name, account));
}

function canOpen(path: string, account: Account): boolean {
  return asAccount(account, () => succeeds(() => closeSync(openSync(path, "r"))));
}

function succeeds(work: () => void): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}

/**
 * Why the account cannot keep its store in the data directory; null: it can, or nothing is kept.
 *
 * @param mayMake  whether a directory that is not there is made, and given to the account
 */
function faultOfStore(settings: Settings, account: Account, mayMake: boolean): string | null {
  const { dataDirectory, durability } = settings;
  if (durability === "memory") return null;
  if (!existsSync(dataDirectory)) {
    if (!mayMake && !asAccount(account, () => succeeds(() => makeAndRemove(dataDirectory)))) {
      return `${account.name} cannot make the directory ${dataDirectory}`;
    }
    if (mayMake && !succeeds(() => mkdirSync(dataDirectory, { recursive: true }))) return null;
    if (mayMake) chownSync(dataDirectory, account.uid, account.gid);
  }
  const mend = `run: chown -R ${account.name} ${dataDirectory}`;
  if (existsSync(dataDirectory)) {
    if (!asAccount(account, () => canWriteIn(dataDirectory))) {
      return `${account.name} cannot write persistence_location ${dataDirectory}; ${mend}`;
    }
    const foreign = foreignFile(dataDirectory, account);
    if (foreign !== null) return `${foreign} belongs to another user; ${mend}`;
  }
  return null;
}

function makeAndRemove(directory: string): void {
  const made = mkdirSync(directory, { recursive: true });
  if (made !== undefined) rmSync(made, { recursive: true });
}

function canWriteIn(directory: string): boolean {
  const probe = join(directory, `.writable-${process.pid}`);
  return succeeds(() => {
    closeSync(openSync(probe, "wx"));
    rmSync(probe);
  });
}

/** What a command of root's leaves where it is killed: it is removed, not written to. */
const LEFT_BEHIND = /^holdfast(?:\.lock|-.*\.sock)$|\.compact$/;

/** A file of the store that the account could not write: some earlier broker ran as another. */
function foreignFile(directory: string, { uid }: Account): string | null {
  const isForeign = (path: string): boolean => statSync(path).uid !== uid;
  for (const name of readdirSync(directory)) {
    if (LEFT_BEHIND.test(name)) continue;
    const path = join(directory, name);
    if (isForeign(path)) return path;
    if (!statSync(path).isDirectory()) continue;
    const inner = readdirSync(path).find((inside) => isForeign(join(path, inside)));
    if (inner !== undefined) return join(path, inner);
  }
  return null;
}

/** Does something with the account's rights, and has those again that it had before. */
export function asAccount<Result>(account: Account, work: () => Result): Result {
  if (uidNow() === account.uid) return work();
  lower(account);
  try {
    return work();
  } finally {
    raise();
  }
}

/** What the declarations of Node.js leave out. */
const { initgroups } = process as { initgroups?: (name: string, gid: number) => void };

/** The groups that root had. */
let groups: number[] = [];

/** The rights of the account, until raise(). */
export function lower({ name, uid, gid }: Account): void {
  if (uidNow() !== 0) return;
  groups = process.getgroups?.() ?? [];
  initgroups?.(name, gid);
  process.setegid?.(gid);
  process.seteuid?.(uid);
}

/** Root's rights again. */
export function raise(): void {
  process.seteuid?.(0);
  process.setegid?.(0);
  process.setgroups?.(groups);
}

/** Gives root's rights up for good. */
export function become({ name, uid, gid }: Account): void {
  initgroups?.(name, gid);
  process.setgid?.(gid);
  process.setuid?.(uid);
}

/** What root made in a directory of the account's is the account's. */
export function giveAll(directory: string, account: Account): void {
  if (!existsSync(directory)) return;
  const names = readdirSync(directory, { recursive: true, encoding: "utf8" });
  give([directory, ...names.map((name) => join(directory, name))], account);
}

/** Files that root has opened for the account are the account's, so that it can open them again. */
export function give(paths: readonly string[], { uid, gid }: Account): void {
  for (const path of paths) {
    if (existsSync(path) && statSync(path).uid === 0) chownSync(path, uid, gid);
  }
}
