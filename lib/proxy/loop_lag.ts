/** How long the event loop keeps ready work waiting. */

/** How often it is measured, and for how long the worst of it is reported. */
const INTERVAL_MS = 1_000, WINDOW = 15;

/**
 * Measures an event loop by a byte that it sends to itself over loopback: the time from when the
 * byte can be read to when it is. A loop that is busy with bulk transfers shows there, while its
 * timers may still come in time.
 */
export class LoopLag {
  readonly #report: (seconds: number) => void;
  readonly #timer: ReturnType<typeof setInterval>;
  /** The worst of each of the last seconds, in milliseconds. */
  readonly #recentMs: number[] = [0];
  #pair: readonly [Deno.TcpConn, Deno.TcpConn] | undefined;
  #isClosed = false;

  /** @param report Takes the worst of the last 15 seconds, each second. */
  constructor(report: (seconds: number) => void) {
    this.#report = report;
    this.#timer = setInterval(() => this.#turn(), INTERVAL_MS);
    void this.#measure();
  }

  /** Counts something else that came late. */
  add(lateMs: number): void {
    this.#recentMs[0] = Math.max(this.#recentMs[0]!, lateMs);
    this.#report(Math.max(...this.#recentMs) / 1_000);
  }

  /** Ends it; a second time does nothing. */
  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
    for (const conn of this.#pair ?? []) conn.close();
    this.#pair = undefined;
  }

  #turn(): void {
    this.#recentMs.unshift(0);
    this.#recentMs.length = Math.min(this.#recentMs.length, WINDOW);
    void this.#send();
  }

  #sentMs = 0;

  async #send(): Promise<void> {
    if (this.#pair === undefined || this.#sentMs > 0) return;
    this.#sentMs = performance.now();
    await this.#pair[0].write(new Uint8Array(1)).catch(() => {});
  }

  async #measure(): Promise<void> {
    try {
      const pair = await connectedPair();
      if (this.#isClosed) return pair.forEach((conn) => conn.close());
      this.#pair = pair;
      const byte = new Uint8Array(1);
      while (await pair[1].read(byte) !== null) {
        this.add(performance.now() - this.#sentMs);
        this.#sentMs = 0;
      }
    } catch {
      // There is no loopback or no descriptor left, or it was closed: then timers alone are counted.
    }
  }
}

async function connectedPair(): Promise<readonly [Deno.TcpConn, Deno.TcpConn]> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { hostname, port } = listener.addr as Deno.NetAddr;
  const near = await Deno.connect({ hostname, port });
  try {
    for (;;) {
      const far = await listener.accept();
      // Somebody else on this machine may have been faster.
      if ((far.remoteAddr as Deno.NetAddr).port === (near.localAddr as Deno.NetAddr).port) {
        return [near, far];
      }
      far.close();
    }
  } catch (error) {
    near.close();
    throw error;
  }
}
