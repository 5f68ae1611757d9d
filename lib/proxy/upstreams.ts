/** Which upstream is next: the last one that worked, those that fail last. */
import type { Authority } from "../protocol/authority.ts";
import { type Candidate, candidateOf, Dial, type DialContext } from "./dial.ts";
import { DialFailure } from "./dial_failure.ts";
import { isDown, isProxy } from "./probe.ts";
import { Resolver } from "./resolver.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { REFUSALS } from "../protocol/refusal.ts";
import type { Log } from "../telemetry/log.ts";

/** What an {@linkcode Upstreams} needs to know. */
export interface UpstreamsOptions {
  /** In order of preference; empty: what the client asks for is dialled. */
  readonly authorities: readonly Authority[];
  /** What clients may ask for then. */
  readonly allowedAuthorities: readonly Authority[];
  /** For all attempts of one dial together; 0 is no limit. */
  readonly connectTimeoutMs: number;
  /** Whether a connection has come out at our own listener. */
  readonly isSelf: (conn: Deno.TcpConn) => boolean;
  readonly log: Log;
  readonly metrics: Metrics;
  /** What probes have found, one entry an upstream: see probe.ts. */
  readonly states: Int32Array;
}

/** How long an upstream that failed is tried after all others. */
const RETRY_PAUSE_MS = 10_000;

/** The upstreams of a proxy, in the order in which a dial tries them. */
export class Upstreams {
  readonly #log: Log;
  readonly #metrics: Metrics;
  readonly #states: Int32Array;
  readonly #candidates: readonly Candidate[];
  /** What is dialled when there are no upstreams: as the operator has written it, dot and all. */
  readonly #allowed: readonly Candidate[];
  /** When each has failed; not if it has worked since. */
  readonly #failedMs: number[];
  readonly #dialContext: DialContext;
  #lastGood: Candidate | undefined;

  constructor(options: UpstreamsOptions) {
    const { authorities, connectTimeoutMs, isSelf, log, metrics, states } = options;
    this.#log = log;
    this.#metrics = metrics;
    this.#states = states;
    this.#allowed = options.allowedAuthorities.map((authority) => candidateOf(authority));
    this.#candidates = authorities.map(candidateOf);
    this.#failedMs = authorities.map(() => -Infinity);
    this.#dialContext = {
      resolver: new Resolver(),
      timeoutMs: connectTimeoutMs,
      isSelf,
      onAttempt: (candidate, failure) => this.#onAttempt(candidate, failure),
    };
  }

  /**
   * Dials the upstream that worked last, then the others in order; those that failed a while ago and
   * those that probes call down come last.
   *
   * @param requested Dialled when there are no upstreams.
   * @throws {DialFailure} When there is nothing to dial: every upstream is an api-server-proxy.
   */
  dial(requested: Authority): Dial {
    const candidates = this.#candidates.length > 0 ? this.#inOrder() : this.#asked(requested);
    return new Dial(candidates, this.#dialContext);
  }

  #asked(requested: Authority): readonly Candidate[] {
    const isAsked = ({ authority: { host, port } }: Candidate) =>
      host === requested.host && port === requested.port;
    return [this.#allowed.find(isAsked) ?? candidateOf(requested)];
  }

  #onAttempt(candidate: Candidate, failure: DialFailure | undefined): void {
    const { index, name } = candidate;
    // Metrics have no series for what clients ask for.
    if (this.#candidates.length > 0) {
      const result = failure === undefined ? "connected" : REFUSALS[failure.kind].error;
      this.#metrics.add("upstream_connects_total", 1, name, result);
    }
    if (failure === undefined) {
      this.#failedMs[index] = -Infinity;
      this.#lastGood = candidate;
      return;
    }
    if (!failure.isLocal) this.#failedMs[index] = performance.now();
    this.#log("debug", "upstream failed", () => failure.logFields);
  }

  /** @throws {DialFailure} When all of them are api-server-proxies. */
  #inOrder(): readonly Candidate[] {
    const states = this.#states;
    const servers = this.#candidates.filter(({ index }) => !isProxy(states, index));
    if (servers.length === 0) {
      const { authority } = this.#candidates[0]!;
      throw new DialFailure(
        "upstream_is_proxy",
        authority,
        "ELOOP",
        "API server proxy would connect to another one: a probe has found a proxy there",
      );
    }
    if (servers.length === 1) return servers;
    const nowMs = performance.now();
    const rank = (candidate: Candidate) => {
      const { index } = candidate;
      const failed = nowMs - this.#failedMs[index]! < RETRY_PAUSE_MS || isDown(states, index);
      return failed ? 2 : candidate === this.#lastGood ? 0 : 1;
    };
    return servers.toSorted((a, b) => rank(a) - rank(b));
  }
}
