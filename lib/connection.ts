/** One client, from its first byte to its log line. */
import { type Authority, formatAuthority } from "./authority.ts";
import { type ConnectRequest, ConnectRequestParser, MAX_HEAD_BYTES } from "./connect_request.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { Policy } from "./policy.ts";
import { Refusal, refusalResponse, REFUSALS } from "./refusal.ts";
import { isReset, Tunnel, type TunnelEnd, type TunnelLimits, writeAll } from "./tunnel.ts";
import type { Dialled, Upstreams } from "./upstream.ts";

/** What all connections of a proxy share. Times in milliseconds; 0 is no limit. */
export interface ConnectionContext extends TunnelLimits {
  readonly headerTimeoutMs: number;
  readonly policy: Policy;
  readonly upstreams: Upstreams;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly maxTunnelAgeMs: number;
  /** Called each time that a connection has come to its next phase. */
  readonly onPhase: (connection: Connection) => void;
}

/** Where a connection stands; it only ever moves down this list. */
export type Phase = "head" | "dial" | "tunnel" | "refused" | "closed";

/** Ends a connection that gets no answer: there is nobody to tell. */
class Left extends Error {
  constructor(readonly how: TunnelEnd) {
    super();
  }
}

const ESTABLISHED = new TextEncoder().encode("HTTP/1.1 200 Connection established\r\n\r\n");
/** Most heads fit; the buffer grows for the others, and for what comes early. */
const FIRST_BUFFER_BYTES = 1024;
/** A tunnel is at a quiet moment when no byte has gone through for so long. */
const QUIET_MS = 1_000;
/** By how much the greatest age of tunnels differs, so that they do not end together. */
const AGE_SPREAD = 0.1;
/** How long a refused client may take to read the answer and close. */
const LINGER_MS = 5_000;
/** What refused clients still send ends here, all in one place. */
const DISCARD = new Uint8Array(16 * 1024);

/** One client of the proxy. */
export class Connection {
  /** The client's normalised address. */
  readonly source: string;
  readonly #id: number;
  readonly #client: Deno.TcpConn;
  readonly #context: ConnectionContext;
  readonly #acceptedMs = performance.now();
  readonly #maxAgeMs: number;
  /** Rejects to end what comes before the tunnel. */
  readonly #stop = Promise.withResolvers<never>();
  #dialAbort: AbortController | undefined;
  #phase: Phase = "head";
  #phaseSinceMs = this.#acceptedMs;
  #lingers = true;
  /** All bytes from the client up to the tunnel; the first `#filled` are valid. */
  #buffer = new Uint8Array(FIRST_BUFFER_BYTES);
  #filled = 0;
  /** The read into the buffer that nobody has counted yet. */
  #nextRead: Promise<Uint8Array | null> | undefined;
  #authority: Authority | undefined;
  #tunnel: Tunnel | undefined;

  constructor(id: number, client: Deno.TcpConn, source: string, context: ConnectionContext) {
    this.#id = id;
    this.#client = client;
    this.source = source;
    this.#context = context;
    this.#maxAgeMs = context.maxTunnelAgeMs * (1 + AGE_SPREAD * (2 * Math.random() - 1));
    this.#stop.promise.catch(() => {});
  }

  /** Where it stands. */
  get phase(): Phase {
    return this.#phase;
  }

  /**
   * Serves the client until it is gone; then its sockets are closed. Never rejects.
   *
   * @param refusal Why the client is not to be served at all, if so.
   */
  async run(refusal?: Refusal): Promise<void> {
    try {
      if (refusal !== undefined) throw refusal;
      const { headBytes } = await this.#untilStopped(this.#readHead());
      const upstream = await this.#dial(this.#authority!);
      await this.#runTunnel(upstream, headBytes);
    } catch (error) {
      if (error instanceof Left) this.#logLeft(error);
      else await this.#refuse(error);
    } finally {
      this.#enter("closed");
    }
  }

  /** Ends what has taken too long. To be called often. */
  check(nowMs: number): void {
    const { headerTimeoutMs } = this.#context;
    const phaseMs = nowMs - this.#phaseSinceMs;
    if (this.#phase === "head" && headerTimeoutMs > 0 && phaseMs >= headerTimeoutMs) {
      this.#stopEarly(new Refusal("head_timeout"), "idle");
    } else if (this.#phase === "tunnel") {
      this.#tunnel?.checkSilence(nowMs);
      if (this.#maxAgeMs > 0 && phaseMs >= this.#maxAgeMs) this.closeIfQuiet(nowMs, "age");
    } else if (this.#phase === "refused" && phaseMs >= LINGER_MS) {
      this.#enter("closed");
    }
  }

  /** Closes a tunnel through which nothing goes just now, and says whether it did. */
  closeIfQuiet(nowMs: number, end: "age" | "drain"): boolean {
    const isQuiet = this.#phase === "tunnel" && this.#tunnel!.quietMs(nowMs) >= QUIET_MS;
    if (isQuiet) this.#tunnel!.cut(end);
    return isQuiet;
  }

  /** Ends the wait for a request: refused if part of it is here, else just closed. */
  stopWaiting(refusal: Refusal): void {
    if (this.#phase === "head") {
      this.#stopEarly(refusal, refusal.kind === "draining" ? "drain" : "idle");
    }
  }

  /** Ends the connection at once, whatever its phase. */
  cut(end: "drain" | "error"): void {
    this.#lingers = false;
    if (this.#phase === "tunnel") this.#tunnel!.cut(end);
    else if (this.#phase === "refused") this.#enter("closed");
    else this.#stopEarly(new Refusal("draining"), end);
  }

  #stopEarly(refusal: Refusal, end: TunnelEnd["end"]): void {
    const reason = this.#filled > 0 ? refusal : new Left({ endedBy: "proxy", end });
    this.#stop.reject(reason);
    this.#dialAbort?.abort(reason);
    this.#enter(reason === refusal ? "refused" : "closed");
  }

  #untilStopped<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#stop.promise]);
  }

  async #readHead(): Promise<ConnectRequest> {
    const parser = new ConnectRequestParser();
    for (;;) {
      const chunk = await this.#receive().catch(clientLeft);
      if (chunk === null) {
        if (this.#filled === 0) throw new Left({ endedBy: "client", end: "eof" });
        throw new Refusal("malformed_head", "it ended before its blank line");
      }
      this.#filled += chunk.length;
      const request = parser.parse(this.#buffer.subarray(0, this.#filled));
      if (request === undefined) continue;
      this.#authority = request.authority;
      if (this.#context.policy.authorityAllowed(request.authority)) return request;
      throw new Refusal("authority_denied");
    }
  }

  async #dial(authority: Authority): Promise<Dialled> {
    this.#enter("dial");
    this.#dialAbort = new AbortController();
    this.#context.log("debug", "dialling", this.#logFields());
    void this.#readAhead(this.#dialAbort);
    return await this.#context.upstreams.dial(authority, this.#dialAbort.signal);
  }

  /** Reads on during the dial: what comes early waits in the buffer, a reset stops the dial. */
  async #readAhead(dialAbort: AbortController): Promise<void> {
    try {
      while (this.#filled < MAX_HEAD_BYTES) {
        this.#nextRead = this.#receive();
        const chunk = await this.#nextRead;
        // From the dial's end on the read belongs to the tunnel, as does the end of stream.
        if (this.#phase !== "dial" || chunk === null) return;
        this.#nextRead = undefined;
        this.#filled += chunk.length;
      }
    } catch (error) {
      dialAbort.abort(new Left({ endedBy: "client", end: isReset(error) ? "reset" : "error" }));
    }
  }

  /** Reads what comes next into the buffer, behind what has been counted. */
  async #receive(): Promise<Uint8Array | null> {
    if (this.#filled === this.#buffer.length) {
      const larger = new Uint8Array(Math.min(this.#buffer.length * 4, MAX_HEAD_BYTES));
      larger.set(this.#buffer);
      this.#buffer = larger;
    }
    const room = this.#buffer.subarray(this.#filled);
    const count = await this.#client.read(room);
    return count === null ? null : room.subarray(0, count);
  }

  async #runTunnel({ conn, authority }: Dialled, headBytes: number): Promise<void> {
    const connectMs = performance.now() - this.#phaseSinceMs;
    try {
      await this.#untilStopped(writeAll(this.#client, ESTABLISHED).catch(clientLeft));
    } catch (error) {
      conn.close();
      // Part of the 200 may be out: there is no other answer any more.
      throw error instanceof Left ? error : new Left({ endedBy: "proxy", end: "drain" });
    }
    const { metrics } = this.#context;
    this.#tunnel = new Tunnel(
      this.#client,
      conn,
      this.#context,
      (from, count) =>
        metrics.addLabelled("tunnel_bytes_total", from === "client" ? "up" : "down", count),
    );
    this.#enter("tunnel");
    metrics.addLabelled("requests_total", "200", 1);
    metrics.observe("connect_duration_seconds", connectMs / 1_000);
    metrics.add("tunnels_active", 1);
    const received = this.#buffer.subarray(headBytes, this.#filled);
    const end = await this.#tunnel.run({ received, next: this.#nextRead });
    metrics.add("tunnels_active", -1);
    metrics.observe("tunnel_duration_seconds", (performance.now() - this.#phaseSinceMs) / 1_000);
    this.#enter("closed");
    this.#context.log("info", "tunnel", {
      ...this.#logFields(),
      upstream: formatAuthority(authority),
      status: 200,
      connectMs: milliseconds(connectMs),
      bytesUp: this.#tunnel.bytesUp,
      bytesDown: this.#tunnel.bytesDown,
      ...end,
    });
  }

  /** Answers so that the client can read it: not closed before the client has, or time is up. */
  async #refuse(error: unknown): Promise<void> {
    const refusal = error instanceof Refusal ? error : new Refusal("internal_error");
    const { status, error: type, level } = REFUSALS[refusal.kind];
    this.#enter("refused");
    this.#context.metrics.addLabelled("requests_total", String(status), 1);
    this.#context.metrics.addLabelled("refusals_total", type, 1);
    this.#context.log(level, "refused", {
      ...this.#logFields(),
      status,
      error: type,
      reason: refusal.message,
      cause: refusal === error ? undefined : String(error),
    });
    try {
      await writeAll(this.#client, refusalResponse(refusal));
      await this.#client.closeWrite();
      while (this.#lingers && await this.#client.read(DISCARD) !== null);
    } catch {
      // The client does not want the answer, or took too long.
    }
  }

  #logLeft({ how }: Left): void {
    const level = this.#filled === 0 ? "debug" : "info";
    this.#context.log(level, "no tunnel", { ...this.#logFields(), ...how });
  }

  #logFields() {
    return {
      id: this.#id,
      source: this.source,
      authority: this.#authority && formatAuthority(this.#authority),
      durationMs: milliseconds(performance.now() - this.#acceptedMs),
    };
  }

  #enter(phase: Phase): void {
    if (this.#phase === phase || this.#phase === "closed") return;
    this.#phase = phase;
    this.#phaseSinceMs = performance.now();
    // A tunnel owns both sockets and has closed them by itself.
    if (phase === "closed" && this.#tunnel === undefined) this.#client.close();
    this.#context.onPhase(this);
  }
}

function clientLeft(error: unknown): never {
  throw new Left({ endedBy: "client", end: isReset(error) ? "reset" : "error" });
}

/** With a tenth of a millisecond, which is what a local dial takes. */
function milliseconds(ms: number): number {
  return Math.round(ms * 10) / 10;
}
