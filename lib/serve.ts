/** The whole of a running proxy: its workers, and the admin server that tells of them. */
import { type Admin, type Check, startAdmin } from "./telemetry/admin.ts";
import { formatAddress } from "./protocol/address.ts";
import { formatAuthority } from "./protocol/authority.ts";
import type { Config } from "./config/config.ts";
import { isSameListener, onHost } from "./proxy/sockets.ts";
import { createLog } from "./telemetry/log.ts";
import { Metrics, type Reading, reportMetrics } from "./telemetry/metrics.ts";
import { counter, gauge, processReadings } from "./telemetry/process_stats.ts";
import { isUp, Prober } from "./proxy/probe.ts";
import { MAX_TICK_INTERVAL_MS, Proxy } from "./proxy/proxy.ts";
import { allocateShared, sharedClockMs, type SharedMemory } from "./proxy/shared_memory.ts";
import { Workers } from "./workers/worker_pool.ts";

/** Something that takes connections until it is told to end. */
export interface Server {
  /** Where it listens. */
  readonly address: Deno.NetAddr;
  /** Where the admin server listens, if there is one. */
  readonly adminAddress: Deno.NetAddr | undefined;
  /** Whether it has been told to end. */
  readonly isShuttingDown: boolean;
  /** Resolves once it has been told to end and the last connection is gone. */
  readonly finished: Promise<void>;
  /** Ends in order: see {@linkcode Proxy.shutDown}. */
  shutDown(): void;
  /** Ends at once. */
  cut(): void;
}

/**
 * Starts what the configuration asks for. One worker runs right here; more of
 * them have an isolate each.
 *
 * @param write Takes lines for the log.
 * @param entry The module that workers run, if not the usual one.
 * @throws {Error} Naming the address that cannot be listened on.
 */
export async function serve(
  config: Config,
  version: string,
  write: (lines: string) => void,
  entry?: URL,
): Promise<Server> {
  const count = config.workers === "auto" ? navigator.hardwareConcurrency : config.workers;
  const limitsSources = config.maxConnectionsPerSource > 0;
  const shared = allocateShared(count, config.upstreams.length, limitsSources);
  const { logLevel: level, logFormat: format = "json", logColor: color } = config;
  const log = createLog({ level, format, color, write });
  const server = await listening<Proxy | Workers>(
    config.host,
    config.port,
    () =>
      count === 1
        ? new Proxy(config, log, shared)
        : Workers.start({ config, shared, log, write, ...(entry && { entry }) }),
  );
  let admin: Admin | undefined;
  try {
    if (config.adminPort !== "off") {
      const metrics = () => report(config, version, shared, server);
      const checks = readyChecks(config, shared, server);
      const { adminHost = config.host, adminPort: port } = config;
      admin = await listening(
        adminHost,
        port,
        () => onHost(adminHost, (hostname) => startAdmin({ hostname, port, checks, metrics, log })),
      );
    }
  } catch (error) {
    server.cut();
    throw error;
  }
  const prober = new Prober({
    authorities: config.upstreams,
    intervalMs: config.probeIntervalMs,
    isSelf: (conn) => isSameListener(server.address, conn),
    log,
    states: shared.upstreamStates,
  });
  log("info", "listening", {
    address: formatAddress(server.address),
    admin: admin && formatAddress(admin.address),
    workers: count,
    upstreams: config.upstreams.map(formatAuthority),
    version,
  });
  const finished = server.finished.then((drained) => {
    log("info", "drained", { ...drained });
    prober.close();
    return admin?.close();
  });
  return {
    address: server.address,
    adminAddress: admin?.address,
    finished,
    get isShuttingDown() {
      return server.isShuttingDown;
    },
    shutDown() {
      const { shutdownDelayMs, drainTimeoutMs } = config;
      if (!server.isShuttingDown) log("info", "shutting down", { shutdownDelayMs, drainTimeoutMs });
      void server.shutDown();
    },
    cut: () => server.cut(),
  };
}

/** @throws {Error} Naming the address when there is no listening on it. */
async function listening<T>(host = "::", port: number, start: () => T | Promise<T>): Promise<T> {
  try {
    return await start();
  } catch (error) {
    const address = formatAddress({ hostname: host, port });
    throw new Error(`cannot listen on ${address}: ${(error as Error).message}`);
  }
}

function readyChecks(config: Config, shared: SharedMemory, server: Proxy | Workers) {
  const shutdown: Check = {
    name: "shutdown",
    failure: () => server.isShuttingDown ? "the proxy is shutting down" : undefined,
  };
  // With every replica unready for it, clients would get no answer instead of an honest 502.
  const upstream: Check = {
    name: "upstream",
    informative: true,
    failure: () =>
      upstreamsUp(config, shared).some(Boolean) ? undefined : "no API server can be reached",
  };
  return config.upstreams.length === 0 ? [shutdown] : [shutdown, upstream];
}

function upstreamsUp(config: Config, { upstreamStates }: SharedMemory): boolean[] {
  return config.upstreams.map((_, index) => isUp(upstreamStates, index));
}

/** A worker that is blocked cannot say so: its lag is set here, until it sets it itself again. */
function tellBlockedWorkers({ metrics, lastTickMs }: SharedMemory): void {
  const nowMs = sharedClockMs();
  metrics.forEach((cells, worker) => {
    const lateMs = nowMs - lastTickMs[worker]! - MAX_TICK_INTERVAL_MS;
    // Short ones are the worker's own to tell, and exactly.
    if (lastTickMs[worker] === 0 || lateMs < MAX_TICK_INTERVAL_MS) return;
    new Metrics(cells).set("event_loop_lag_seconds", lateMs / 1_000);
  });
}

async function report(
  config: Config,
  version: string,
  shared: SharedMemory,
  server: Proxy | Workers,
): Promise<string> {
  tellBlockedWorkers(shared);
  const up = upstreamsUp(config, shared);
  const readings: Reading[] = [
    {
      name: "api_server_proxy_upstream_up",
      type: "gauge",
      help: "Whether the API server can be reached.",
      samples: config.upstreams.map((authority, at) => ({
        labels: { upstream: formatAuthority(authority) },
        value: Number(up[at]),
      })),
    },
    gauge(
      "api_server_proxy_draining",
      "Whether the proxy is shutting down.",
      Number(server.isShuttingDown),
    ),
    gauge("api_server_proxy_workers", "Event loops that share the port.", shared.metrics.length),
    counter(
      "api_server_proxy_worker_restarts_total",
      "Workers that have died and were started again.",
      server instanceof Workers ? server.restarts : 0,
    ),
    {
      name: "api_server_proxy_build_info",
      type: "gauge",
      help: "What is running.",
      samples: [{ labels: { version, deno: Deno.version.deno }, value: 1 }],
    },
    ...await processReadings(),
  ];
  return reportMetrics(shared.metrics.map((cells) => new Metrics(cells)), readings);
}
