/** What operators learn of one tunnel: its metrics, its log lines, its row in `/tunnels`. */
import type { Candidate } from "./dial.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { Side, Tunnel, TunnelEnd } from "./tunnel.ts";

/** What is known of a client, at whatever time. */
export type ClientFields = {
  readonly id: number;
  readonly source: string;
  readonly sourcePort: number;
  /** The name of the client's cluster, if it has one. */
  readonly peer: string | undefined;
  readonly authority: string | undefined;
  readonly durationMs: number;
};

/** A client whose tunnel it is. */
export interface TunnelClient {
  /** What is known of it now. */
  logFields(nowMs: number): ClientFields;
}

/** A live tunnel, as operators see it. */
export interface TunnelInfo extends Omit<ClientFields, "authority" | "durationMs"> {
  readonly upstream: string;
  /** Our address towards the upstream: its own log has that port. */
  readonly local: string;
  /** When it came up, in ISO 8601. */
  readonly since: string;
  /** How long no byte has gone through. */
  readonly idleMs: number;
  /** From client to upstream. */
  readonly bytesUp: number;
  /** From upstream to client. */
  readonly bytesDown: number;
  readonly worker: number;
}

/** Where records go, the same for all tunnels of a worker. */
export interface TunnelRecordContext {
  readonly log: Log;
  readonly metrics: Metrics;
  /** Which of the workers this one is. */
  readonly worker: number;
  /** A tunnel older than this is logged while it lives. Milliseconds; 0 is never. */
  readonly logOpenAfterMs: number;
}

/** How a tunnel came up. */
export interface TunnelOrigin {
  readonly peer: string | undefined;
  readonly candidate: Candidate;
  readonly local: string;
  readonly connectMs: number;
  /** When it came up, by the clock of `performance.now()`: a call that costs, so it is read once. */
  readonly sinceMs: number;
}

/** The record of one tunnel, from when it comes up. */
export class TunnelRecord {
  readonly origin: TunnelOrigin;
  readonly #context: TunnelRecordContext;
  readonly #client: TunnelClient;
  /** When the client's first byte had gone through. */
  #firstSentMs = 0;
  /** From then to the upstream's first byte. */
  #firstByteMs = 0;
  #isLoggedOpen = false;

  constructor(context: TunnelRecordContext, client: TunnelClient, origin: TunnelOrigin) {
    this.#context = context;
    this.#client = client;
    this.origin = origin;
    const { metrics } = context;
    metrics.add("requests_total", 1, "200");
    metrics.observe("connect_duration_seconds", origin.connectMs / 1_000);
    this.#countActive(1);
  }

  /** Bytes of that side have gone out at the other. */
  addBytes(from: Side, count: number): void {
    const direction = from === "client" ? "up" : "down";
    this.#context.metrics.add("tunnel_bytes_total", count, direction);
    if (this.#firstByteMs === 0 && count > 0) this.#timeFirstByte(from);
  }

  /** Logs a tunnel that has become old. To be called often. */
  tick(nowMs: number, tunnel: Tunnel): void {
    const { logOpenAfterMs, log } = this.#context;
    const isOld = logOpenAfterMs > 0 && nowMs - this.origin.sinceMs >= logOpenAfterMs;
    if (!isOld || this.#isLoggedOpen) return;
    this.#isLoggedOpen = true;
    log("info", "opened", this.#fields(nowMs, tunnel));
  }

  /** The tunnel is over. */
  end(nowMs: number, end: TunnelEnd, tunnel: Tunnel): void {
    const { metrics, log } = this.#context;
    this.#countActive(-1);
    metrics.observe("tunnel_duration_seconds", (nowMs - this.origin.sinceMs) / 1_000);
    log("info", "tunnel", { ...this.#fields(nowMs, tunnel), ...end });
  }

  /** What operators see of it just now. */
  describe(nowMs: number, tunnel: Tunnel): TunnelInfo {
    const { id, source, sourcePort, peer } = this.#client.logFields(nowMs);
    return {
      id,
      source,
      sourcePort,
      peer,
      upstream: this.origin.candidate.name,
      local: this.origin.local,
      since: new Date(Date.now() - (nowMs - this.origin.sinceMs)).toISOString(),
      idleMs: Math.round(tunnel.quietMs(nowMs)),
      bytesUp: tunnel.bytesUp,
      bytesDown: tunnel.bytesDown,
      worker: this.#context.worker,
    };
  }

  #countActive(change: 1 | -1): void {
    const { metrics } = this.#context;
    metrics.add("tunnels_active", change);
    const { peer } = this.origin;
    if (peer !== undefined) metrics.add("peer_tunnels_active", change, peer);
  }

  /** A server that hangs still accepts, and may even send something: it does not answer. */
  #timeFirstByte(from: Side): void {
    if (from === "client") {
      if (this.#firstSentMs === 0) this.#firstSentMs = performance.now();
    } else if (this.#firstSentMs > 0) {
      this.#firstByteMs = performance.now() - this.#firstSentMs;
      this.#context.metrics.observe("first_byte_duration_seconds", this.#firstByteMs / 1_000);
    }
  }

  #fields(nowMs: number, { bytesUp, bytesDown }: Tunnel) {
    const { candidate, local, connectMs } = this.origin;
    return {
      ...this.#client.logFields(nowMs),
      upstream: candidate.name,
      local,
      status: 200,
      connectMs: tenths(connectMs),
      firstByteMs: this.#firstByteMs === 0 ? undefined : tenths(this.#firstByteMs),
      bytesUp,
      bytesDown,
    };
  }
}

/** Milliseconds with a tenth, which is what a local dial takes. */
export function tenths(ms: number): number {
  return Math.round(ms * 10) / 10;
}
