/** Which upstream is next: the last one that worked, those that fail last. */
import { type Authority, formatAuthority } from "../protocol/authority.ts";
import { type Candidate, Dial, type DialContext } from "./dial.ts";
import { isDown } from "./probe.ts";
import type { Log } from "../telemetry/log.ts";

/** What an {@linkcode Upstreams} needs to know. */
export interface UpstreamsOptions {
  /** In order of preference; empty: whatever is asked for is dialled. */
  readonly authorities: readonly Authority[];
  /** For all attempts of one dial together; 0 is no limit. */
  readonly connectTimeoutMs: number;
  /** Whether a connection has come out at our own listener. */
  readonly isSelf: (conn: Deno.TcpConn) => boolean;
  readonly log: Log;
  /** What probes have found, one entry an upstream: see probe.ts. */
  readonly states: Int32Array;
}

/** How long an upstream that failed is tried after all others. */
const RETRY_PAUSE_MS = 10_000;

/** The upstreams of a proxy, in the order in which a dial tries them. */
export class Upstreams {
  readonly #log: Log;
  readonly #states: Int32Array;
  readonly #candidates: readonly Candidate[];
  /** When each has failed; not if it has worked since. */
  readonly #failedMs: number[];
  readonly #dialContext: DialContext;
  #lastGood: Candidate | undefined;

  constructor({ authorities, connectTimeoutMs, isSelf, log, states }: UpstreamsOptions) {
    this.#log = log;
    this.#states = states;
    this.#candidates = authorities.map((authority, index) => ({ index, authority }));
    this.#failedMs = authorities.map(() => -Infinity);
    this.#dialContext = {
      timeoutMs: connectTimeoutMs,
      isSelf,
      onAttempt: (candidate, error) => this.#onAttempt(candidate, error),
    };
  }

  /**
   * Dials the upstream that worked last, then the others in order; those that failed a while ago and
   * those that probes call down come last.
   *
   * @param requested Dialled when there are no upstreams.
   */
  dial(requested: Authority): Dial {
    const candidates = this.#candidates.length === 0
      ? [{ index: 0, authority: requested }]
      : this.#inOrder();
    return new Dial(candidates, this.#dialContext);
  }

  #onAttempt(candidate: Candidate, error: unknown): void {
    const { index, authority } = candidate;
    if (error === undefined) {
      this.#failedMs[index] = -Infinity;
      this.#lastGood = candidate;
      return;
    }
    this.#failedMs[index] = performance.now();
    this.#log("debug", "upstream failed", () => ({
      upstream: formatAuthority(authority),
      error: String(error),
    }));
  }

  #inOrder(): readonly Candidate[] {
    if (this.#candidates.length === 1) return this.#candidates;
    const nowMs = performance.now();
    const rank = (candidate: Candidate) => {
      const failed = nowMs - this.#failedMs[candidate.index]! < RETRY_PAUSE_MS ||
        isDown(this.#states, candidate.index);
      return failed ? 2 : candidate === this.#lastGood ? 0 : 1;
    };
    return this.#candidates.toSorted((a, b) => rank(a) - rank(b));
  }
}
