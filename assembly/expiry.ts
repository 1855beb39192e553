/**
 * When Sessions without a connection expire: a wheel of 65536 seconds, each a list of those whose
 * second, modulo its size, it is. A Session due in a later round is passed over, once in 18 hours.
 */
import { alloc, free } from "./memory";
import {
  SESSION_EXPIRES_SECONDS,
  SESSION_WHEEL_NEXT,
  SESSION_WHEEL_PREVIOUS,
} from "./session-layout";

const SLOTS: u32 = 65536;

let slots: usize = 0;
/** Sessions in the wheel. */
let waiting: u32 = 0;
/** The second looked at, and where in its list. */
let second: u32 = 0;
let cursor: u32 = 0;

function slotOf(ofSecond: u32): usize {
  return slots + ((ofSecond & (SLOTS - 1)) << 2);
}

/**
 * Sets when a Session expires.
 *
 * @param expiresSeconds  Unix time; 0 = never. One that has passed is due in the next second
 */
export function setExpires(session: usize, expiresSeconds: u32): void {
  stopExpiry(session);
  if (expiresSeconds === 0) return;
  if (slots === 0) {
    slots = alloc(SLOTS << 2);
    // Without memory it never expires: at worst it stays longer than it should.
    if (slots === 0) return;
    memory.fill(slots, 0, SLOTS << 2);
  }
  const due = second !== 0 && expiresSeconds <= second ? second + 1 : expiresSeconds;
  store<u32>(session, due, SESSION_EXPIRES_SECONDS);
  const slot = slotOf(due);
  const next: usize = load<u32>(slot);
  store<u32>(session, <u32>next, SESSION_WHEEL_NEXT);
  store<u32>(session, 0, SESSION_WHEEL_PREVIOUS);
  if (next !== 0) store<u32>(next, <u32>session, SESSION_WHEEL_PREVIOUS);
  store<u32>(slot, <u32>session);
  waiting++;
}

/** The Session is continued, or ends. */
export function stopExpiry(session: usize): void {
  const due = load<u32>(session, SESSION_EXPIRES_SECONDS);
  if (due === 0) return;
  store<u32>(session, 0, SESSION_EXPIRES_SECONDS);
  const next: usize = load<u32>(session, SESSION_WHEEL_NEXT);
  const previous: usize = load<u32>(session, SESSION_WHEEL_PREVIOUS);
  if (cursor === <u32>session) cursor = <u32>next;
  if (previous !== 0) store<u32>(previous, <u32>next, SESSION_WHEEL_NEXT);
  else store<u32>(slotOf(due), <u32>next);
  if (next !== 0) store<u32>(next, <u32>previous, SESSION_WHEEL_PREVIOUS);
  waiting--;
}

/**
 * Finds the Sessions whose time has come, one a call; the caller ends each before the next call.
 *
 * @param nowSeconds  Unix time; calls must not go back in time
 * @returns a Session that is due, or 0: none is
 */
export function expireNext(nowSeconds: u32): usize {
  if (waiting === 0) {
    second = nowSeconds;
    cursor = 0;
    return 0;
  }
  if (second === 0) {
    // At the start there may be some whose time came while the broker was down.
    second = nowSeconds - SLOTS;
    cursor = load<u32>(slotOf(second));
  }
  while (true) {
    while (cursor !== 0) {
      const session: usize = cursor;
      cursor = load<u32>(session, SESSION_WHEEL_NEXT);
      if (load<u32>(session, SESSION_EXPIRES_SECONDS) <= nowSeconds) return session;
    }
    if (second >= nowSeconds) return 0;
    // After a long sleep of the machine one round finds all.
    second = nowSeconds - second > SLOTS ? nowSeconds - SLOTS : second + 1;
    cursor = load<u32>(slotOf(second));
  }
}

/** Gives the wheel back where it is empty. */
export function freeWheel(): void {
  if (waiting !== 0 || slots === 0) return;
  free(slots);
  slots = 0;
  second = 0;
  cursor = 0;
}
