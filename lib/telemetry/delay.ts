/** Waiting that can be cut short, and that ends in time. */

/** Resolves after that many milliseconds, or as soon as the signal is aborted. */
export function delay(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  const { promise, resolve } = Promise.withResolvers<void>();
  const done = () => {
    clearTimeout(timer);
    signal.removeEventListener("abort", done);
    resolve();
  };
  const timer = setTimeout(done, ms);
  signal.addEventListener("abort", done);
  return promise;
}

/** How often {@linkcode awakeDelay} looks at the clock; more than the other in between is a standstill. */
const STEP_MS = 100, MAX_STEP_MS = 250;

/**
 * Resolves after that many milliseconds in which the process was awake, or as soon as the signal is
 * aborted. Of the time in which it stands still (SIGSTOP, a paused VM) a quarter of a second counts,
 * and then it is never over at once: a timer that has become due meanwhile would come before all that
 * has arrived.
 */
export async function awakeDelay(ms: number, signal = new AbortController().signal): Promise<void> {
  let leftMs = ms, nowMs = performance.now(), isCatchingUp = false;
  // Also without time a turn of the event loop: what has arrived is heard.
  do {
    await delay(isCatchingUp ? STEP_MS : Math.min(STEP_MS, leftMs), signal);
    const passedMs = performance.now() - nowMs;
    nowMs += passedMs;
    leftMs -= Math.min(passedMs, MAX_STEP_MS);
    // Once only: a loop that is always slow must come to its end, too.
    isCatchingUp = !isCatchingUp && passedMs > MAX_STEP_MS;
  } while ((leftMs > 0 || isCatchingUp) && !signal.aborted);
}

/** What a promise resolves to, unless the signal is aborted first. The promise itself continues for others. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort);
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/**
 * Acts with a signal that is aborted, with that reason, after that many milliseconds in which the
 * process was awake, or with the other signal.
 */
export async function within<T>(
  ms: number,
  lateReason: Error,
  signal: AbortSignal,
  act: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const limit = new AbortController();
  const onAbort = () => limit.abort(signal.reason);
  const over = new AbortController();
  void awakeDelay(ms, over.signal).then(() => over.signal.aborted || limit.abort(lateReason));
  signal.addEventListener("abort", onAbort);
  try {
    return await act(limit.signal);
  } finally {
    over.abort();
    signal.removeEventListener("abort", onAbort);
  }
}
