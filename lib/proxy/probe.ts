/** Whether the upstreams live: each looked at now and then, the result where all workers see it. */
import { type Authority, formatAuthority } from "../protocol/authority.ts";
import { delay } from "../telemetry/delay.ts";
import { candidateOf, Dial } from "./dial.ts";
import { dialFailure } from "./dial_failure.ts";
import type { Log } from "../telemetry/log.ts";
import { lookAtReadyz, NotReady } from "./readyz.ts";
import { Resolver } from "./resolver.ts";

/** What a prober needs to know. */
export interface ProberOptions {
  readonly authorities: readonly Authority[];
  /** `readyz` asks the API server how it is, `tcp` only connects. */
  readonly probe: "readyz" | "tcp" | "off";
  /** Certificates in PEM that the API servers' must be signed by; none: they are not looked at. */
  readonly upstreamCa: string | undefined;
  readonly intervalMs: number;
  /** Whether a connection has come out at our own listener. */
  readonly isSelf: (conn: Deno.TcpConn) => boolean;
  readonly log: Log;
  /** One entry an upstream, all 0: for {@linkcode isUp} and its like. */
  readonly states: Int32Array;
  /** Called after each look. */
  readonly onLook: (upstream: Authority, seconds: number) => void;
}

/** What is known of an upstream, as an entry of the shared states. 0: nothing yet. */
const UP = 1, DOWN = -1, PROXY = -2;

/** Whether an upstream was found to live. */
export function isUp(states: Int32Array, upstream: number): boolean {
  return states[upstream] === UP;
}

/** Whether an upstream was found not to live, twice in a row. */
export function isDown(states: Int32Array, upstream: number): boolean {
  return states[upstream]! < 0;
}

/** Whether an upstream was found to be an api-server-proxy: a loop, or the way into one. */
export function isProxy(states: Int32Array, upstream: number): boolean {
  return states[upstream] === PROXY;
}

const LOOK_TIMEOUT_MS = 5_000;
const FAILURES_FOR_DOWN = 2;
/** From the first failure's beginning to the next look. */
const DOUBT_PAUSE_MS = 5_000;

/** Looks at each upstream now and then, from its making until it is closed. */
export class Prober {
  readonly #options: ProberOptions;
  readonly #resolver = new Resolver();
  readonly #closed = new AbortController();

  constructor(options: ProberOptions) {
    this.#options = options;
    if (options.probe === "off" || options.intervalMs === 0) return;
    options.authorities.forEach((authority, index) => void this.#watch(authority, index));
  }

  /** Ends all looks. */
  close(): void {
    this.#closed.abort();
  }

  async #watch(authority: Authority, index: number): Promise<void> {
    const { log, states, intervalMs, onLook } = this.#options;
    const upstream = formatAuthority(authority);
    const { signal } = this.#closed;
    for (let failures = 0; !signal.aborted;) {
      const startMs = performance.now();
      const failure = await this.#look(authority);
      if (signal.aborted) return;
      const tookMs = performance.now() - startMs;
      onLook(authority, tookMs / 1_000);
      const wasDown = isDown(states, index);
      const reason = failure?.message;
      if (failure === undefined) {
        failures = 0;
        states[index] = UP;
        if (wasDown) log("info", "upstream is up again", { upstream });
      } else if (failure.isLocal) {
        log("warn", "upstream cannot be probed", { upstream, reason });
      } else {
        failures++;
        if (failure.isProxy) states[index] = PROXY;
        else if (failures >= FAILURES_FOR_DOWN) states[index] = DOWN;
        if (isDown(states, index) && !wasDown) {
          log("error", "upstream is down", { upstream, reason });
        } else log(wasDown ? "debug" : "warn", "upstream probe failed", { upstream, reason });
      }
      // Whether it is down is known soon: 20 s at most after it began to hang.
      const isInDoubt = failures > 0 && !isDown(states, index);
      const pauseMs = isInDoubt ? Math.min(intervalMs, DOUBT_PAUSE_MS) : intervalMs;
      await delay(Math.max(0, pauseMs - tookMs), signal);
    }
  }

  /** One look. @returns What was wrong, if anything. */
  async #look(authority: Authority): Promise<LookFailure | undefined> {
    try {
      if (this.#options.probe === "tcp") await this.#connect(authority);
      else await this.#readyz(authority);
      return undefined;
    } catch (error) {
      if (error instanceof NotReady) return error;
      const { message, cause, isLocal } = dialFailure(error, authority);
      return { message: `${message} (${cause})`, isLocal };
    }
  }

  async #readyz(authority: Authority): Promise<void> {
    await lookAtReadyz(authority, {
      resolver: this.#resolver,
      ca: this.#options.upstreamCa,
      timeoutMs: LOOK_TIMEOUT_MS,
      signal: this.#closed.signal,
    });
  }

  async #connect(authority: Authority): Promise<void> {
    const { isSelf } = this.#options;
    const timeoutMs = LOOK_TIMEOUT_MS;
    const context = { resolver: this.#resolver, timeoutMs, isSelf, onAttempt() {} };
    const dial = new Dial([candidateOf(authority)], context);
    const stop = () => dial.stop(this.#closed.signal.reason);
    const timer = setTimeout(() => dial.tick(Infinity), timeoutMs);
    this.#closed.signal.addEventListener("abort", stop);
    try {
      (await dial.connected).conn.close();
    } finally {
      clearTimeout(timer);
      this.#closed.signal.removeEventListener("abort", stop);
    }
  }
}

interface LookFailure {
  readonly message: string;
  readonly isLocal?: boolean;
  readonly isProxy?: boolean;
}
