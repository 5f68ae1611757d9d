/** Reaching the API server; the only place that knows how Deno reports a dial. */
import { type Authority, formatAuthority } from "../protocol/authority.ts";
import type { Log } from "../telemetry/log.ts";
import { Refusal, type RefusalKind } from "../protocol/refusal.ts";

/** A connection to an upstream, and which one it is. */
export interface Dialled {
  readonly conn: Deno.TcpConn;
  readonly authority: Authority;
}

/** A dial, whichever attempt it has come to, and the ways to stop it. */
export class Dial {
  #attempt: AbortController | undefined;
  #attemptEndsMs = Infinity;
  #reason: unknown;

  /** Ends an attempt that has had its time. To be called often. */
  check(nowMs: number): void {
    if (nowMs >= this.#attemptEndsMs) this.#attempt?.abort();
  }

  /** Ends it at once; it rejects with that reason. */
  stop(reason: unknown): void {
    this.#reason ??= reason;
    this.#attempt?.abort();
  }

  /** @throws The reason, once it has been stopped. */
  throwIfStopped(): void {
    if (this.#reason !== undefined) throw this.#reason;
  }

  /** Has that attempt end with the dial, or at that time. */
  begin(attempt: AbortController, endsMs: number): void {
    this.#attempt = attempt;
    this.#attemptEndsMs = endsMs;
    if (this.#reason !== undefined) attempt.abort();
  }

  /** Forgets the attempt, which has ended: a tunnel must not keep it all its life. */
  end(): void {
    this.#attempt = undefined;
  }
}

/** What an {@linkcode Upstreams} needs to know. */
export interface UpstreamsOptions {
  /** In order of preference; empty: whatever is asked for is dialled. */
  readonly authorities: readonly Authority[];
  /** For all attempts of one dial together; 0 is no limit. */
  readonly connectTimeoutMs: number;
  /** How often each is looked at; 0 is never. */
  readonly probeIntervalMs: number;
  /** Whether a connection has come out at our own listener. */
  readonly isSelf: (conn: Deno.TcpConn) => boolean;
  readonly log: Log;
  /** Whether to tell the operator of what probes find: of several workers one does. */
  readonly isTeller: boolean;
  /** Set to 1 for each upstream that can be reached, else to 0. */
  readonly up: Float64Array;
}

const PROBE_TIMEOUT_MS = 5_000;
const PROBE_FAILURES_FOR_DOWN = 2;
/** How long an upstream that failed is tried after all others. */
const RETRY_PAUSE_MS = 10_000;

/** Of attempts that were not aborted, for the next ones: never more than dials at once. */
const spareControllers: AbortController[] = [];

/** What is known of one upstream. */
interface Target {
  readonly index: number;
  readonly authority: Authority;
  failedMs: number;
  probeFailures: number;
}

/** The upstreams of a proxy: failover between them, and a look at each now and then. */
export class Upstreams {
  readonly #options: UpstreamsOptions;
  readonly #targets: readonly Target[];
  readonly #probes = new Set<Dial>();
  #isClosed = false;
  readonly #probeTimer: ReturnType<typeof setInterval> | undefined;
  #lastGood: Target | undefined;

  constructor(options: UpstreamsOptions) {
    this.#options = options;
    this.#targets = options.authorities.map(asTarget);
    if (this.#targets.length === 0 || options.probeIntervalMs === 0) return;
    const probeAll = () => this.#targets.forEach((target) => void this.#probe(target));
    this.#probeTimer = setInterval(probeAll, options.probeIntervalMs);
    probeAll();
  }

  /**
   * Connects to the upstream that worked last, or else to the others in order.
   * A name is resolved at each attempt.
   *
   * @param requested Dialled when there are no upstreams.
   * @param dial Keeps to the timeout as well as it is checked often.
   * @throws {Refusal} Saying what went wrong with the last attempt.
   * @throws What the dial was stopped with.
   */
  async dial(requested: Authority, dial: Dial): Promise<Dialled> {
    const { connectTimeoutMs } = this.#options;
    const targets = this.#targets.length === 0 ? [asTarget(requested, 0)] : this.#inOrder();
    let nowMs = performance.now();
    const deadlineMs = connectTimeoutMs === 0 ? Infinity : nowMs + connectTimeoutMs;
    for (let left = targets.length;; left--) {
      const target = targets[targets.length - left]!;
      // One that swallows packets must leave time for the others.
      const endsMs = nowMs + (deadlineMs - nowMs) / left;
      try {
        const conn = await this.#connect(target.authority, dial, endsMs);
        this.#onSuccess(target);
        return { conn, authority: target.authority };
      } catch (error) {
        dial.throwIfStopped();
        nowMs = performance.now();
        this.#onFailure(target, error, nowMs);
        if (left === 1) throw asRefusal(error);
      }
    }
  }

  /** Stops looking at the upstreams. */
  close(): void {
    clearInterval(this.#probeTimer);
    this.#isClosed = true;
    for (const probe of this.#probes) probe.stop("closed");
  }

  #onSuccess(target: Target): void {
    target.failedMs = -Infinity;
    this.#lastGood = target;
    this.#options.up[target.index] = 1;
  }

  #onFailure(target: Target, error: unknown, nowMs: number): void {
    target.failedMs = nowMs;
    this.#options.log("debug", "upstream failed", () => ({
      upstream: formatAuthority(target.authority),
      error: String(error),
    }));
  }

  #inOrder(): readonly Target[] {
    if (this.#targets.length === 1) return this.#targets;
    const nowMs = performance.now();
    const rank = (target: Target) => {
      const failed = nowMs - target.failedMs < RETRY_PAUSE_MS || isDown(target);
      return failed ? 2 : target === this.#lastGood ? 0 : 1;
    };
    return this.#targets.toSorted((a, b) => rank(a) - rank(b));
  }

  async #connect(
    { host, port }: Authority,
    dial: Dial,
    endsMs: number,
  ): Promise<Deno.TcpConn> {
    const attempt = spareControllers.pop() ?? new AbortController();
    dial.begin(attempt, endsMs);
    let conn: Deno.TcpConn;
    try {
      conn = await Deno.connect({ hostname: host, port, signal: attempt.signal });
    } catch (error) {
      throw attempt.signal.aborted ? new Refusal("upstream_timeout") : error;
    } finally {
      dial.end();
      if (!attempt.signal.aborted) spareControllers.push(attempt);
    }
    const refusal = isOwnEnd(conn)
      ? new Refusal("upstream_refused")
      : this.#options.isSelf(conn)
      ? new Refusal("upstream_is_proxy")
      : undefined;
    if (refusal === undefined) return conn;
    conn.close();
    throw refusal;
  }

  async #probe(target: Target): Promise<void> {
    const wasDown = isDown(target);
    const probe = new Dial();
    this.#probes.add(probe);
    const timer = setTimeout(() => probe.check(Infinity), PROBE_TIMEOUT_MS);
    let reason: string | undefined;
    try {
      (await this.#connect(target.authority, probe, Infinity)).close();
      target.probeFailures = 0;
      this.#options.up[target.index] = 1;
    } catch (error) {
      target.probeFailures++;
      if (isDown(target)) this.#options.up[target.index] = 0;
      reason = asRefusal(error).message;
    } finally {
      clearTimeout(timer);
      this.#probes.delete(probe);
    }
    if (this.#isClosed || isDown(target) === wasDown) return;
    const { log, isTeller } = this.#options;
    const fields = { upstream: formatAuthority(target.authority), reason };
    if (wasDown) log(isTeller ? "info" : "debug", "upstream is up again", fields);
    else log(isTeller ? "error" : "debug", "upstream is down", fields);
  }
}

function asTarget(authority: Authority, index: number): Target {
  return { index, authority, failedMs: -Infinity, probeFailures: 0 };
}

/**
 * Whether both ends of a connection are the same socket: what Linux makes now and then of a dial to
 * a port of this host from which clients connect and on which nobody listens.
 */
function isOwnEnd(conn: Deno.TcpConn): boolean {
  const local = conn.localAddr as Deno.NetAddr, remote = conn.remoteAddr as Deno.NetAddr;
  return local.port === remote.port && local.hostname === remote.hostname;
}

function isDown(target: Target): boolean {
  return target.probeFailures >= PROBE_FAILURES_FOR_DOWN;
}

const KIND_OF_CODE: Readonly<Record<string, RefusalKind>> = {
  ECONNREFUSED: "upstream_refused",
  ECONNRESET: "upstream_refused",
  EHOSTUNREACH: "upstream_unreachable",
  ENETUNREACH: "upstream_unreachable",
  EHOSTDOWN: "upstream_unreachable",
  ENETDOWN: "upstream_unreachable",
  // What a local firewall, a host without IPv6 and a link-local address answer.
  EPERM: "upstream_unreachable",
  EACCES: "upstream_unreachable",
  EADDRNOTAVAIL: "upstream_unreachable",
  EAFNOSUPPORT: "upstream_unreachable",
  EINVAL: "upstream_unreachable",
  ETIMEDOUT: "upstream_timeout",
};

function asRefusal(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  const { code, message } = error as Error & { code?: string };
  const kind = KIND_OF_CODE[code ?? ""];
  if (kind !== undefined) return new Refusal(kind);
  // Deno gives getaddrinfo's failures no class and no code.
  return /failed to lookup address|no resolved address/i.test(message)
    ? new Refusal("upstream_name_not_found")
    : new Refusal("internal_error", "the connection to the API server could not be opened");
}
