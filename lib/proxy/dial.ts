/** One dial: places tried one after the other, on a clock of its own; knows how Deno reports failures. */
import type { Authority } from "../protocol/authority.ts";
import { Refusal, type RefusalKind } from "../protocol/refusal.ts";

/** A place that a dial may try. */
export interface Candidate {
  /** Which of the upstreams it is. */
  readonly index: number;
  readonly authority: Authority;
}

/** A connection, and the candidate that it goes to. */
export interface Dialled {
  readonly conn: Deno.TcpConn;
  readonly candidate: Candidate;
}

/** What all dials of a proxy share. */
export interface DialContext {
  /** For all attempts together; 0 is no limit. */
  readonly timeoutMs: number;
  /** Whether a connection has come out at our own listener. */
  readonly isSelf: (conn: Deno.TcpConn) => boolean;
  /** Called after each attempt that has not been stopped, with its error if it has failed. */
  readonly onAttempt: (candidate: Candidate, error: unknown) => void;
}

/** Of attempts that were not aborted, for the next ones: never more than dials at once. */
const spareControllers: AbortController[] = [];

/** A dial under way. Its owner ticks it, or stops it. */
export class Dial {
  /**
   * Resolves once a candidate is connected.
   *
   * @throws {Refusal} Saying what went wrong with the last candidate.
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
        nowMs = performance.now();
        onAttempt(candidate, error);
        if (left === 1) throw asRefusal(error);
      }
    }
  }

  async #connect({ host, port }: Authority): Promise<Deno.TcpConn> {
    const attempt = spareControllers.pop() ?? new AbortController();
    this.#attempt = attempt;
    let conn: Deno.TcpConn;
    try {
      conn = await Deno.connect({ hostname: host, port, signal: attempt.signal });
    } catch (error) {
      throw attempt.signal.aborted ? new Refusal("upstream_timeout") : error;
    } finally {
      // A tunnel must not keep it all its life.
      this.#attempt = undefined;
      if (!attempt.signal.aborted) spareControllers.push(attempt);
    }
    const refusal = isOwnEnd(conn)
      ? new Refusal("upstream_refused")
      : this.#context.isSelf(conn)
      ? new Refusal("upstream_is_proxy")
      : undefined;
    if (refusal === undefined) return conn;
    conn.close();
    throw refusal;
  }
}

/**
 * Whether both ends of a connection are the same socket: what Linux makes now and then of a dial to
 * a port of this host from which clients connect and on which nobody listens.
 */
function isOwnEnd(conn: Deno.TcpConn): boolean {
  const local = conn.localAddr as Deno.NetAddr, remote = conn.remoteAddr as Deno.NetAddr;
  return local.port === remote.port && local.hostname === remote.hostname;
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
  EAFNOSUPPORT: "upstream_unreachable",
  EINVAL: "upstream_unreachable",
  ETIMEDOUT: "upstream_timeout",
  // It has reset the connection before this could be seen.
  ENOTCONN: "upstream_refused",
  // No local port, descriptor or memory is left: the upstream has no part in it.
  EADDRNOTAVAIL: "local_shortage",
  EAGAIN: "local_shortage",
  EMFILE: "local_shortage",
  ENFILE: "local_shortage",
  ENOBUFS: "local_shortage",
  ENOMEM: "local_shortage",
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
