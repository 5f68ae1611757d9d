/** One dial: upstreams tried one after the other, on a clock of its own. */
import { type Authority, formatAuthority, lookupName } from "../protocol/authority.ts";
import { DialFailure, dialFailure } from "./dial_failure.ts";
import { unlessAborted } from "../telemetry/delay.ts";
import { connectToFirst } from "./race.ts";
import type { Resolver } from "./resolver.ts";

/** An upstream that a dial may try. */
export interface Candidate {
  /** Which of the upstreams it is. */
  readonly index: number;
  readonly authority: Authority;
  /** The same as text, as logs and metrics have it. */
  readonly name: string;
}

/** The candidate of that number. */
export function candidateOf(authority: Authority, index = 0): Candidate {
  return { index, authority, name: formatAuthority(authority) };
}

/** A connection, and the candidate that it goes to. */
export interface Dialled {
  readonly conn: Deno.TcpConn;
  readonly candidate: Candidate;
}

/** What all dials of a proxy share. */
export interface DialContext {
  readonly resolver: Resolver;
  /** For all attempts together, lookups included; 0 is no limit. */
  readonly timeoutMs: number;
  /** Whether a connection has come out at our own listener. */
  readonly isSelf: (conn: Deno.TcpConn) => boolean;
  /** Called after each attempt that was not stopped, with its failure if it has failed. */
  readonly onAttempt: (candidate: Candidate, failure: DialFailure | undefined) => void;
}

/** Of attempts that were not aborted, for the next ones: never more than dials at once. */
const spareControllers: AbortController[] = [];

/** A dial under way. Its owner ticks it, and may stop it. */
export class Dial {
  /**
   * Resolves once a candidate is connected.
   *
   * @throws {DialFailure} Of the last candidate.
   * @throws What the dial was stopped with.
   */
  readonly connected: Promise<Dialled>;
  readonly #context: DialContext;
  #attempt: AbortController | undefined;
  #attemptEndsMs = Infinity;
  #stopReason: unknown;

  /** @param candidates At least one. Each has its share of the time that is left. */
  constructor(candidates: readonly Candidate[], context: DialContext) {
    this.#context = context;
    this.connected = this.#tryInTurn(candidates);
  }

  /** Ends an attempt whose time is over: the timeout is kept as precisely as this is called often. */
  tick(nowMs: number): void {
    if (nowMs >= this.#attemptEndsMs) this.#attempt?.abort();
  }

  /** Ends it at once; {@linkcode connected} rejects with that reason. */
  stop(reason: unknown): void {
    this.#stopReason ??= reason;
    this.#attempt?.abort();
  }

  async #tryInTurn(candidates: readonly Candidate[]): Promise<Dialled> {
    const { timeoutMs, onAttempt } = this.#context;
    let nowMs = performance.now();
    const deadlineMs = timeoutMs === 0 ? Infinity : nowMs + timeoutMs;
    for (let left = candidates.length;; left--) {
      const candidate = candidates[candidates.length - left]!;
      // One that swallows packets must leave time for the others.
      this.#attemptEndsMs = nowMs + (deadlineMs - nowMs) / left;
      try {
        const conn = await this.#connect(candidate.authority);
        onAttempt(candidate, undefined);
        return { conn, candidate };
      } catch (error) {
        if (this.#stopReason !== undefined) throw this.#stopReason;
        const failure = dialFailure(error, candidate.authority);
        onAttempt(candidate, failure);
        if (left === 1) throw failure;
        nowMs = performance.now();
      }
    }
  }

  async #connect(authority: Authority): Promise<Deno.TcpConn> {
    const attempt = spareControllers.pop() ?? new AbortController();
    this.#attempt = attempt;
    const { signal } = attempt;
    let isResolved = false;
    let conn: Deno.TcpConn;
    try {
      const answer = this.#context.resolver.resolve(lookupName(authority));
      const addresses = answer instanceof Promise ? await unlessAborted(answer, signal) : answer;
      isResolved = true;
      conn = addresses.length === 1
        ? await Deno.connect({ hostname: addresses[0]!, port: authority.port, signal })
        : await connectToFirst(addresses, authority.port, signal);
    } catch (error) {
      throw signal.aborted ? timeout(authority, isResolved) : error;
    } finally {
      // A tunnel must not keep it all its life.
      this.#attempt = undefined;
      if (!signal.aborted) spareControllers.push(attempt);
    }
    const failure = isOwnEnd(conn)
      ? new DialFailure("upstream_refused", authority, "ECONNREFUSED")
      : this.#context.isSelf(conn)
      ? new DialFailure("upstream_is_proxy", authority, "ELOOP")
      : undefined;
    if (failure === undefined) return conn;
    conn.close();
    throw failure;
  }
}

function timeout(authority: Authority, isResolved: boolean): DialFailure {
  const reason = isResolved ? undefined : "the lookup of its name takes too long";
  return new DialFailure("upstream_timeout", authority, "ETIMEDOUT", reason);
}

/**
 * Whether both ends of a connection are the same socket: what Linux makes now and then of a dial to
 * a port of this host from which clients connect and on which nothing listens.
 */
function isOwnEnd(conn: Deno.TcpConn): boolean {
  const local = conn.localAddr as Deno.NetAddr, remote = conn.remoteAddr as Deno.NetAddr;
  return local.port === remote.port && local.hostname === remote.hostname;
}
