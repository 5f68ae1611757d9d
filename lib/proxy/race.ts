/** A connection to the first of several addresses that answers (RFC 8305 §5). */

/** How long after an attempt the next one begins, if it has not failed before. */
const ATTEMPT_DELAY_MS = 250;

/**
 * Tries addresses a quarter of a second apart, the next one at once when one fails, until one is
 * connected; all other attempts end then.
 *
 * @param addresses In the order in which they are tried; at least one.
 * @param signal Ends all of them.
 * @throws What the last attempt that failed has thrown.
 */
export function connectToFirst(
  addresses: readonly string[],
  port: number,
  signal: AbortSignal,
): Promise<Deno.TcpConn> {
  const { promise, resolve, reject } = Promise.withResolvers<Deno.TcpConn>();
  const over = new AbortController();
  const onAbort = () => over.abort(signal.reason);
  const end = () => {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    over.abort();
  };
  let next = 0;
  let pending = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;

  async function attempt(hostname: string): Promise<void> {
    try {
      const conn = await Deno.connect({ hostname, port, signal: over.signal });
      if (over.signal.aborted) {
        conn.close();
        over.signal.throwIfAborted();
      }
      end();
      resolve(conn);
    } catch (error) {
      pending--;
      if (next < addresses.length && !over.signal.aborted) return start();
      if (pending > 0) return;
      end();
      reject(error);
    }
  }
  function start(): void {
    clearTimeout(timer);
    pending++;
    void attempt(addresses[next++]!);
    if (next < addresses.length) timer = setTimeout(start, ATTEMPT_DELAY_MS);
  }

  signal.addEventListener("abort", onAbort);
  start();
  return promise;
}
