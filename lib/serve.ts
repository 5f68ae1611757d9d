/** The whole of a running proxy: the admin server here, the connections in workers. */
import type { Config } from "./config/config.ts";
import { formatAddress } from "./protocol/address.ts";
import { formatAuthority } from "./protocol/authority.ts";
import { Prober } from "./proxy/probe.ts";
import { allocateShared, layoutFor } from "./proxy/shared_memory.ts";
import { CannotListen, isSameListener, listenOn } from "./proxy/sockets.ts";
import { Status } from "./status.ts";
import { startAdmin } from "./telemetry/admin.ts";
import type { HttpServer } from "./telemetry/http_server.ts";
import { createLog } from "./telemetry/log.ts";
import { Metrics } from "./telemetry/metrics.ts";
import { WorkerPool } from "./workers/worker_pool.ts";

/** A running proxy. */
export interface Server {
  /** Where it listens. */
  readonly address: Deno.NetAddr;
  /** Where the admin server listens, if there is one. */
  readonly adminAddress: Deno.NetAddr | undefined;
  /** Whether its end has begun. */
  readonly isShuttingDown: boolean;
  /** Resolves once its end has begun and the last connection has closed. */
  readonly finished: Promise<void>;
  /** Starts an orderly end: no new connections after the shutdown delay, then a drain. */
  shutDown(signal?: string): void;
  /** Ends at once. */
  cut(): void;
}

/** The most workers that `auto` gives: each takes some 14 MiB. */
const MAX_AUTO_WORKERS = 8;

/** An address that cannot be listened on. It has been logged. */
export class ListenError extends Error {
  readonly reason: string;

  constructor(readonly address: string, readonly flag: string, reason: string) {
    super(`cannot listen on ${address}: ${reason}`);
    this.reason = reason;
  }
}

/**
 * Starts what the configuration asks for. This isolate supervises and answers on the admin port;
 * each worker, the only one too, has an isolate of its own. The admin port opens first: a client that
 * reaches the proxy finds its health there.
 *
 * @param write Takes lines for the log.
 * @param entry The module that workers run, if not the usual one.
 * @throws {ListenError} Naming the address that cannot be listened on, and its flag.
 */
export async function serve(
  config: Config,
  version: string,
  write: (lines: string) => void,
  entry?: URL,
): Promise<Server> {
  const workers = config.workers === "auto"
    ? Math.min(navigator.hardwareConcurrency, MAX_AUTO_WORKERS)
    : config.workers;
  const layout = layoutFor(config);
  const shared = allocateShared(config, workers);
  const { logLevel: level, logFormat: format = "json", logColor: color } = config;
  const log = createLog({ level, format, color, write });
  const metrics = new Metrics(layout);
  const status = new Status({ config, version, shared, layout, metrics });
  const { adminHost = config.host, adminPort } = config;
  let admin: HttpServer | undefined;
  let adminAddress: Deno.NetAddr | undefined;
  try {
    if (adminPort !== "off") {
      const listeners = await listening(
        "--admin-port",
        adminHost,
        adminPort,
        () => listenOn({ host: adminHost, port: adminPort }),
      );
      adminAddress = listeners[0]!.addr as Deno.NetAddr;
      admin = startAdmin(listeners, {
        checks: status.checks,
        metrics: () => status.metrics(),
        tunnels: () => status.tunnels(),
      });
    }
    const pool = await listening(
      "--port",
      config.host,
      config.port,
      () => WorkerPool.start({ config, shared, layout, log, write, ...(entry && { entry }) }),
    );
    status.listening(pool);
    const prober = new Prober({
      authorities: config.upstreams,
      probe: config.probe,
      upstreamCa: config.upstreamCa,
      intervalMs: config.probeIntervalMs,
      onLook: (upstream, seconds) =>
        metrics.observe("upstream_probe_duration_seconds", seconds, formatAuthority(upstream)),
      isSelf: (conn) => isSameListener(pool.address, conn),
      log,
      states: shared.upstreamStates,
    });
    log("info", "listening", {
      address: formatAddress(pool.address),
      admin: adminAddress && formatAddress(adminAddress),
      workers,
      upstreams: config.upstreams.map(formatAuthority),
      ...limitsOf(config),
      version,
    });
    return {
      address: pool.address,
      adminAddress,
      finished: pool.finished.then(async (drained) => {
        log("info", "drained", { ...drained });
        prober.close();
        status.close();
        await admin?.close();
      }),
      get isShuttingDown() {
        return pool.isShuttingDown;
      },
      shutDown(signal) {
        if (pool.isShuttingDown) return;
        const { shutdownDelayMs, drainTimeoutMs } = config;
        log("info", "shutting down", {
          signal,
          tunnels: pool.tunnels,
          shutdownDelayMs,
          drainTimeoutMs,
        });
        pool.shutDown();
      },
      cut: () => pool.cut(),
    };
  } catch (error) {
    if (error instanceof ListenError) {
      const { address, flag, reason } = error;
      log("error", "cannot listen", { address, flag, reason });
    }
    status.close();
    await admin?.close();
    throw error;
  }
}

/** The limits and timeouts in force. */
function limitsOf(config: Config) {
  const { maxConnections, maxConnectionsPerSource, headerTimeoutMs, connectTimeoutMs } = config;
  const { idleTimeoutMs, halfCloseTimeoutMs, maxTunnelAgeMs } = config;
  return {
    maxConnections,
    maxConnectionsPerSource,
    headerTimeoutMs,
    connectTimeoutMs,
    idleTimeoutMs,
    halfCloseTimeoutMs,
    maxTunnelAgeMs,
    shutdownDelayMs: config.shutdownDelayMs,
    drainTimeoutMs: config.drainTimeoutMs,
    logOpenAfterMs: config.logOpenAfterMs,
    probe: config.probe,
  };
}

async function listening<T>(
  flag: string,
  host = "::",
  port: number,
  start: () => T | Promise<T>,
): Promise<T> {
  try {
    return await start();
  } catch (error) {
    if (!(error instanceof CannotListen)) throw error;
    throw new ListenError(formatAddress({ hostname: host, port }), flag, error.message);
  }
}
