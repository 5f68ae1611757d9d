/** Memory that all workers of a proxy share: what is counted over all of them. */
import { type Config, peerNames } from "../config/config.ts";
import { formatAuthority } from "../protocol/authority.ts";
import { allocateSources, forgetHolder, type SharedSources } from "./source_table.ts";
import { Metrics, MetricsLayout } from "../telemetry/metrics.ts";

/** One entry a worker, but for ids and upstreams. It can be sent to a worker, and is the same there. */
export interface SharedMemory {
  /** The id of the newest connection. */
  readonly lastId: Uint32Array;
  /** Clients being served: the total, then of each slot of the sources. */
  readonly served: readonly Int32Array[];
  readonly sources: SharedSources;
  /** Clients of each worker that look for a slot: see room.ts. */
  readonly roomWanted: Int32Array;
  /** The id of the client of each worker that has waited longest with its request; 0: none waits. */
  readonly oldestWaiting: Uint32Array;
  /** The cells of each worker's metrics. */
  readonly metrics: readonly Float64Array[];
  /** Each worker adds 1 every {@linkcode MAX_TICK_INTERVAL_MS} or sooner; 0: it is not there. */
  readonly ticks: Uint32Array;
  /** What probes have found, one entry an upstream: see probe.ts. */
  readonly upstreamStates: Int32Array;
}

/** What the size of the memory depends on. */
type SharedConfig = Pick<
  Config,
  "upstreams" | "maxConnections" | "maxConnectionsPerSource" | "credentials" | "allowFrom"
>;

/** The longest time between two ticks of a worker that is not blocked. */
export const MAX_TICK_INTERVAL_MS = 250;

/** Makes the memory for that many workers, all zero. */
export function allocateShared(config: SharedConfig, workers: number): SharedMemory {
  const limitsSources = config.maxConnectionsPerSource > 0;
  const sources = allocateSources(config.maxConnections);
  const sourceSlots = limitsSources ? sources.keys.length / 2 : 0;
  const { cellCount } = layoutFor(config);
  const ints = (count: number) => new Int32Array(new SharedArrayBuffer(count * 4));
  const floats = (count: number) => new Float64Array(new SharedArrayBuffer(count * 8));
  const each = <T>(make: () => T) => Array.from({ length: workers }, make);
  return {
    lastId: new Uint32Array(new SharedArrayBuffer(4)),
    served: each(() => ints(1 + sourceSlots)),
    sources,
    roomWanted: ints(workers),
    oldestWaiting: new Uint32Array(new SharedArrayBuffer(workers * 4)),
    metrics: each(() => floats(cellCount)),
    ticks: new Uint32Array(new SharedArrayBuffer(workers * 4)),
    upstreamStates: ints(config.upstreams.length),
  };
}

/** Where the cells of the metrics are under that configuration: the same in each isolate. */
export function layoutFor(
  config: Pick<Config, "upstreams" | "credentials" | "allowFrom">,
): MetricsLayout {
  return new MetricsLayout({
    upstream: config.upstreams.map(formatAuthority),
    peer: peerNames(config),
  });
}

/** Resets the gauges of a worker that has ended; its counters stay. */
export function forgetWorker(shared: SharedMemory, layout: MetricsLayout, worker: number): void {
  shared.served[worker]!.fill(0);
  forgetHolder(shared.sources, worker);
  shared.oldestWaiting[worker] = 0;
  shared.roomWanted[worker] = 0;
  shared.ticks[worker] = 0;
  new Metrics(layout, shared.metrics[worker]).resetGauges();
}
