/** Memory that every worker of a proxy sees: what is counted over all of them. */
import { CELLS, Metrics } from "../telemetry/metrics.ts";

/** One entry a worker, but for ids and upstreams. It can be sent to a worker, and is the same there. */
export interface SharedMemory {
  /** The id of the newest connection. */
  readonly lastId: Uint32Array;
  /** Clients being served: the total, then by a hash of their source. */
  readonly served: readonly Int32Array[];
  /** {@linkcode CELLS} numbers each. */
  readonly metrics: readonly Float64Array[];
  /** When each worker last looked after its connections: {@linkcode sharedClockMs}; 0: it is not there. */
  readonly lastTickMs: Float64Array;
  /** What probes have found, one entry an upstream: see probe.ts. */
  readonly upstreamStates: Int32Array;
}

/** Room for the sources of a worker. Memory is paid for where it is touched. */
const SOURCE_SLOTS = 2 ** 20;

/** Makes the memory, all zero. Slots for sources cost nothing where they are not limited. */
export function allocateShared(
  workers: number,
  upstreams: number,
  limitsSources: boolean,
): SharedMemory {
  const ints = (count: number) => new Int32Array(new SharedArrayBuffer(count * 4));
  const floats = (count: number) => new Float64Array(new SharedArrayBuffer(count * 8));
  const each = <T>(make: () => T) => Array.from({ length: workers }, make);
  return {
    lastId: new Uint32Array(new SharedArrayBuffer(4)),
    served: each(() => ints(1 + (limitsSources ? SOURCE_SLOTS : 0))),
    metrics: each(() => floats(CELLS)),
    lastTickMs: floats(workers),
    upstreamStates: ints(upstreams),
  };
}

/** Milliseconds on a clock that is the same in all workers. */
export function sharedClockMs(): number {
  return performance.timeOrigin + performance.now();
}

/** Forgets what a worker that is gone was doing; what it had done counts on. */
export function forgetWorker(shared: SharedMemory, worker: number): void {
  shared.served[worker]!.fill(0);
  shared.lastTickMs[worker] = 0;
  new Metrics(shared.metrics[worker]).resetGauges();
}
