/**
 * Every limit of authentication that a peer can reach, with its unit and its reason.
 */
import { availableParallelism } from "node:os";

/** Cores that may compute hashes: one is left to the broker. */
const SPARE_CORES = Math.max(availableParallelism() - 1, 1);

/**
 * PBKDF2 computations at once, each on a thread of its own: libuv's, which write the journal, never
 * wait behind strangers' passwords.
 */
export const PBKDF2_UNDERWAY_MAX = Math.min(SPARE_CORES, 2);

/** Threads for argon2id and bcrypt: each takes 46 MiB and a core while it computes. */
export const HASH_WORKERS_MAX = Math.min(SPARE_CORES, 4);

/**
 * Passwords that wait to be checked: some two seconds of PBKDF2. Who comes past it is told to come
 * again, rather than wait until it has given up.
 */
export const HASHES_QUEUED_MAX = 4_096;

/** The same for argon2id and bcrypt, of which a core computes some ten a second. */
export const SLOW_HASHES_QUEUED_MAX = 256;

/** Successful logins that are remembered, so that they need not be computed again. */
export const LOGINS_REMEMBERED_MAX = 65_536;

/** How long a login is remembered, seconds: as long as a fleet takes to come back. */
export const LOGIN_REMEMBERED_SECONDS = 300;

/** Questions to the HTTP backend at once, each on a connection of its own. */
export const HTTP_UNDERWAY_MAX = 64;

/** Questions that wait for one of those: a backend of 5 ms answers them within a second. */
export const HTTP_QUEUED_MAX = 4_096;

/** Longest answer that is read, bytes: `{"ok":true}` is what is expected. */
export const HTTP_ANSWER_BYTES_MAX = 65_536;

/** Answers that are kept, of each kind of question. */
export const HTTP_ANSWERS_KEPT_MAX = 65_536;

/** Tokens whose signatures are checked at once, and those that wait: as for PBKDF2. */
export const TOKENS_UNDERWAY_MAX = 2;
export const TOKENS_QUEUED_MAX = 4_096;

/** Largest key set, bytes. */
export const KEY_SET_BYTES_MAX = 1024 * 1024;

/** How long the answer with a key set may take, seconds. */
export const KEY_SET_SECONDS_MAX = 5;

/** After how long a key set is fetched again, seconds: what was withdrawn counts until then. */
export const KEY_SET_REFRESH_SECONDS = 300;

/** How soon it is asked for again where there was none yet, seconds. */
export const KEY_SET_RETRY_SECONDS = 1;

/** How soon it is fetched again at the earliest, because a token names a key that is not in it. */
export const KEY_SET_COOLDOWN_SECONDS = 30;

/** Rules that a token may bring along; and the longest of them, bytes. */
export const TOKEN_RULES_MAX = 256;

/** Addresses whose failed logins are counted: past it the one that failed longest ago is let go. */
export const FAILED_ADDRESSES_MAX = 65_536;

/**
 * Failed logins of an episode that are answered at once: somebody mistypes, or has an old password.
 */
export const FAILURES_FREE = 10;

/** How long the answer to the next failure waits, milliseconds; each one after it twice as long. */
export const REFUSAL_DELAY_MILLISECONDS_MIN = 100;

/** An address that has not failed for so long begins anew, seconds. */
export const EPISODE_SECONDS = 60;
