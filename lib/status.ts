/** What a running proxy reports: its metrics, and the checks of its readiness. */
import type { Config } from "./config/config.ts";
import { type Authority, formatAuthority } from "./protocol/authority.ts";
import type { TunnelInfo } from "./proxy/tunnel_record.ts";
import { isUp } from "./proxy/probe.ts";
import { MAX_TICK_INTERVAL_MS, type SharedMemory } from "./proxy/shared_memory.ts";
import type { Check } from "./telemetry/admin.ts";
import { Metrics, type MetricsLayout, reportMetrics } from "./telemetry/metrics.ts";
import { processReadings } from "./telemetry/process_stats.ts";

/** How often workers are checked for progress. */
const WATCH_INTERVAL_MS = 250;

/** What the status needs from the pool of workers. */
export interface Workers {
  readonly isShuttingDown: boolean;
  readonly restarts: number;
  /** The live tunnels of all workers that answer in time. */
  listTunnels(): Promise<TunnelInfo[]>;
}

/** What it takes to know how a proxy is doing. */
export interface StatusOptions {
  readonly config: Config;
  readonly version: string;
  readonly shared: SharedMemory;
  readonly layout: MetricsLayout;
  /** What is counted outside of workers. */
  readonly metrics: Metrics;
}

/** The state of a proxy. Workers count in shared memory, so a blocked one does not delay a report. */
export class Status {
  readonly #options: StatusOptions;
  readonly #lastTicks: Uint32Array;
  /** When each worker last made progress. */
  readonly #seenMs: number[];
  readonly #watch: ReturnType<typeof setInterval>;
  #watchedMs = performance.now();
  #workers: Workers | undefined;

  constructor(options: StatusOptions) {
    this.#options = options;
    this.#lastTicks = options.shared.ticks.slice();
    this.#seenMs = Array.from(this.#lastTicks, () => this.#watchedMs);
    this.#watch = setInterval(() => this.#look(), WATCH_INTERVAL_MS);
  }

  /** From now on the proxy port is open. */
  listening(workers: Workers): void {
    this.#workers = workers;
  }

  close(): void {
    clearInterval(this.#watch);
  }

  /** What `/readyz` looks at. */
  get checks(): readonly Check[] {
    const shutdown: Check = {
      name: "shutdown",
      failure: () => {
        if (this.#workers === undefined) return "the proxy is starting";
        return this.#workers.isShuttingDown ? "the proxy is shutting down" : undefined;
      },
    };
    // If every replica became unready, clients would get no answer at all instead of a 502.
    const upstream: Check = {
      name: "upstream",
      informative: true,
      failure: () => this.#upstreamsUp().some(Boolean) ? undefined : "no API server can be reached",
    };
    return this.#probed.length === 0 ? [shutdown] : [shutdown, upstream];
  }

  /** The metrics in the text format of Prometheus. */
  async metrics(): Promise<string> {
    this.#look();
    this.#reportBlockedWorkers();
    const { config, version, shared, layout, metrics } = this.#options;
    const counted = shared.metrics.map((cells) => new Metrics(layout, cells));
    const up = this.#upstreamsUp();
    return reportMetrics([...counted, metrics], {
      api_server_proxy_connections_limit: config.maxConnections,
      api_server_proxy_upstream_up: this.#probed.map((authority, at) => ({
        labels: { upstream: formatAuthority(authority) },
        value: Number(up[at]),
      })),
      api_server_proxy_draining: Number(this.#workers?.isShuttingDown ?? false),
      api_server_proxy_workers: shared.metrics.length,
      api_server_proxy_worker_restarts_total: this.#workers?.restarts ?? 0,
      api_server_proxy_build_info: [{ labels: { version, deno: Deno.version.deno }, value: 1 }],
      ...await processReadings(),
    });
  }

  /** The live tunnels, the oldest first, as JSON. */
  async tunnels(): Promise<string> {
    const tunnels = await this.#workers?.listTunnels() ?? [];
    return JSON.stringify(
      tunnels.toSorted((a, b) => Date.parse(a.since) - Date.parse(b.since) || a.id - b.id),
    ) + "\n";
  }

  /** The upstreams of which it is known whether they live. */
  get #probed(): readonly Authority[] {
    const { upstreams, probe } = this.#options.config;
    return probe === "off" ? [] : upstreams;
  }

  #upstreamsUp(): boolean[] {
    return this.#probed.map((_, index) => isUp(this.#options.shared.upstreamStates, index));
  }

  #look(): void {
    const nowMs = performance.now();
    // While this isolate stood still too, the workers cannot be judged.
    const ownLateMs = Math.max(0, nowMs - this.#watchedMs - WATCH_INTERVAL_MS);
    this.#watchedMs = nowMs;
    this.#options.shared.ticks.forEach((ticks, worker) => {
      if (ticks === this.#lastTicks[worker]) this.#seenMs[worker]! += ownLateMs;
      else this.#seenMs[worker] = nowMs;
      this.#lastTicks[worker] = ticks;
    });
  }

  /** A blocked worker cannot report its lag: it is set here until the worker does so again. */
  #reportBlockedWorkers(): void {
    const { shared, layout } = this.#options;
    shared.metrics.forEach((cells, worker) => {
      const lateMs = this.#watchedMs - this.#seenMs[worker]! - MAX_TICK_INTERVAL_MS;
      // The worker itself reports short lags, exactly. A worker that has not started has no ticks.
      if (shared.ticks[worker] === 0 || lateMs < 2 * MAX_TICK_INTERVAL_MS) return;
      new Metrics(layout, cells).set("event_loop_lag_seconds", lateMs / 1_000);
    });
  }
}
