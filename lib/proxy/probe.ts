/** Whether the upstreams live: a look at each now and then, written down where all workers see it. */
import { type Authority, formatAuthority } from "../protocol/authority.ts";
import { Dial } from "./dial.ts";
import type { Log } from "../telemetry/log.ts";

/** What a prober needs to know. */
export interface ProberOptions {
  readonly authorities: readonly Authority[];
  /** How often each is looked at; 0 is never. */
  readonly intervalMs: number;
  /** Whether a connection has come out at our own listener. */
  readonly isSelf: (conn: Deno.TcpConn) => boolean;
  readonly log: Log;
  /** One entry an upstream, all 0. */
  readonly states: Int32Array;
}

/** What is known of an upstream, as an entry of the shared states. 0: not looked at yet. */
const UP = 1, DOWN = -1;

/** Whether the last look at an upstream has found it up. */
export function isUp(states: Int32Array, upstream: number): boolean {
  return states[upstream] === UP;
}

/** Whether an upstream has failed for long enough to be called down. */
export function isDown(states: Int32Array, upstream: number): boolean {
  return states[upstream] === DOWN;
}

const PROBE_TIMEOUT_MS = 5_000;
const FAILURES_FOR_DOWN = 2;

/** Looks at each upstream now and then, from its making until it is closed. */
export class Prober {
  readonly #options: ProberOptions;
  readonly #timer: ReturnType<typeof setInterval> | undefined;
  readonly #failures: number[];
  readonly #probes = new Set<Dial>();
  #isClosed = false;

  constructor(options: ProberOptions) {
    this.#options = options;
    const { authorities, intervalMs } = options;
    this.#failures = authorities.map(() => 0);
    if (authorities.length === 0 || intervalMs === 0) return;
    const probeAll = () => {
      for (const index of authorities.keys()) void this.#probe(index);
    };
    this.#timer = setInterval(probeAll, intervalMs);
    probeAll();
  }

  /** Stops looking at them. */
  close(): void {
    clearInterval(this.#timer);
    this.#isClosed = true;
    for (const probe of this.#probes) probe.stop("closed");
  }

  async #probe(index: number): Promise<void> {
    const { authorities, isSelf, states } = this.#options;
    const authority = authorities[index]!;
    const dialContext = { timeoutMs: PROBE_TIMEOUT_MS, isSelf, onAttempt() {} };
    const probe = new Dial([{ index, authority }], dialContext);
    this.#probes.add(probe);
    const timer = setTimeout(() => probe.tick(Infinity), PROBE_TIMEOUT_MS);
    const wasDown = isDown(states, index);
    let reason: string | undefined;
    try {
      (await probe.connected).conn.close();
      this.#failures[index] = 0;
      states[index] = UP;
    } catch (error) {
      if (++this.#failures[index]! >= FAILURES_FOR_DOWN) states[index] = DOWN;
      reason = (error as Error).message;
    } finally {
      clearTimeout(timer);
      this.#probes.delete(probe);
    }
    if (this.#isClosed || isDown(states, index) === wasDown) return;
    const fields = { upstream: formatAuthority(authority), reason };
    if (wasDown) this.#options.log("info", "upstream is up again", fields);
    else this.#options.log("error", "upstream is down", fields);
  }
}
