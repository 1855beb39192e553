/**
 * Waiting with a deadline: for events, for conditions, and for time itself.
 */

/** How long an answer of the broker may take before a test fails, in milliseconds. */
export const ANSWER_MS_MAX = 6000;

/**
 * The value of `promise`, or an error that says what was waited for.
 *
 * @param explain  called when time is up; its text ends the error's message
 * @throws Error when `promise` has not settled after `millisecondsMax`
 */
export async function withDeadline<Value>(
  promise: Promise<Value>,
  what: string,
  explain: () => string = () => "",
  millisecondsMax: number = ANSWER_MS_MAX,
): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`no ${what} within ${millisecondsMax} ms\n${explain()}`));
    }, millisecondsMax);
  });
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Lets time pass. Only for tests whose subject is time itself: an interval that counts down, an
 * expiry that nothing announces. Everything else awaits an event.
 */
export function elapse(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/**
 * Asks again until the answer is yes, for conditions of the outside that announce nothing.
 *
 * @throws Error when `holds` has not answered true after `millisecondsMax`
 */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  millisecondsMax: number = ANSWER_MS_MAX,
): Promise<void> {
  const end = performance.now() + millisecondsMax;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`${what}: not after ${millisecondsMax} ms`);
    await elapse(10);
  }
}
