/** Isolates that are one proxy: started, started again when one dies, ended together. */
import type { Config } from "../config/config.ts";
import { awakeDelay, delay } from "../telemetry/delay.ts";
import type { TunnelInfo } from "../proxy/tunnel_record.ts";
import type { Log } from "../telemetry/log.ts";
import type { Drained } from "../proxy/drain.ts";
import { forgetWorker, type SharedMemory } from "../proxy/shared_memory.ts";
import { CannotListen, listenOn } from "../proxy/sockets.ts";
import { Metrics, type MetricsLayout } from "../telemetry/metrics.ts";
import type { FromWorker, ToWorker } from "./worker_main.ts";

/**
 * The pause before a worker is started again is doubled from the first to the last of these, until one
 * has lived for the last of them.
 */
const FIRST_RESTART_PAUSE_MS = 100, LAST_RESTART_PAUSE_MS = 10_000;
/** How late a worker may be with its end; one that is blocked never comes to it. */
const LATE_MS = 750;
/** How long a worker may take to list its tunnels. */
const ANSWER_TIMEOUT_MS = 500;

/** What it takes to start workers. */
export interface WorkerPoolOptions {
  /** `port` and `host` are those of all; their sockets share the port. */
  readonly config: Config;
  readonly shared: SharedMemory;
  readonly layout: MetricsLayout;
  readonly log: Log;
  /** Takes the log lines of the workers. */
  readonly write: (lines: string) => void;
  /** The module that a worker runs. */
  readonly entry?: URL;
}

/** The workers of a proxy. */
export class WorkerPool {
  /** Where all of them listen. */
  readonly address: Deno.NetAddr;
  /** Resolves once they have been shut down and the last connection has closed. */
  readonly finished: Promise<Drained>;
  readonly #options: WorkerPoolOptions;
  readonly #live = new Map<Worker, number>();
  readonly #finish = Promise.withResolvers<void>();
  /** Of each worker that has ended without an error. */
  readonly #drained: Drained[] = [];
  readonly #shutdown = new AbortController();
  readonly #gone = new AbortController();
  #endSinceMs = NaN;
  /** When the last worker of each index was started, and how long the next one will have to wait. */
  readonly #startedMs: number[] = [];
  readonly #restartPausesMs = new Map<number, number>();
  #restarts = 0;
  /** How often the tunnels have been asked for. */
  #requests = 0;

  private constructor(options: WorkerPoolOptions, first: Worker, address: Deno.NetAddr) {
    this.#options = options;
    this.address = address;
    this.finished = this.#finish.promise.then(() => {
      this.#gone.abort();
      return sumOf(this.#drained);
    });
    this.#adopt(first, 0);
  }

  /**
   * Starts as many workers as the shared memory is for.
   *
   * @throws {CannotListen} When one of them cannot. The first one takes the port for all.
   * @throws {Error} When one of them does not start. Then none is left.
   */
  static async start(options: WorkerPoolOptions): Promise<WorkerPool> {
    setEventInterval();
    const { config, shared } = options;
    // Workers listen with SO_REUSEPORT: make sure that no other process shares the port.
    if (shared.metrics.length > 1 && config.port !== 0) {
      for (const listener of listenOn(config)) listener.close();
    }
    const { worker, address } = await launch(options, 0);
    const pool = new WorkerPool(
      { ...options, config: { ...config, port: address.port } },
      worker,
      address,
    );
    const others = shared.metrics.length - 1;
    const launches = await Promise.allSettled(
      Array.from({ length: others }, (_, i) => pool.#launch(i + 1)),
    );
    const failed = launches.find((launch) => launch.status === "rejected");
    if (failed === undefined) return pool;
    for (const worker of pool.#live.keys()) worker.terminate();
    throw failed.reason;
  }

  /** Whether their end has begun. */
  get isShuttingDown(): boolean {
    return this.#shutdown.signal.aborted;
  }

  /** How many workers have died and been started again. */
  get restarts(): number {
    return this.#restarts;
  }

  /** Tunnels that are up in all of them. */
  get tunnels(): number {
    const { layout, shared } = this.#options;
    return shared.metrics
      .map((cells) => new Metrics(layout, cells).get("tunnels_active"))
      .reduce((sum, count) => sum + count, 0);
  }

  /** The live tunnels of all workers that answer within half a second. */
  async listTunnels(): Promise<TunnelInfo[]> {
    const request = this.#requests++;
    const answers = [...this.#live.keys()].map((worker) => this.#tunnelsOf(worker, request));
    return (await Promise.all(answers)).flat();
  }

  async #tunnelsOf(worker: Worker, request: number): Promise<readonly TunnelInfo[]> {
    const answer = Promise.withResolvers<readonly TunnelInfo[]>();
    const onMessage = ({ data }: MessageEvent<FromWorker>) => {
      // The answer to an earlier question may come late.
      if (data.kind === "tunnels" && data.request === request) answer.resolve(data.tunnels);
    };
    const over = new AbortController();
    void awakeDelay(ANSWER_TIMEOUT_MS, over.signal).then(() => answer.resolve([]));
    worker.addEventListener("message", onMessage);
    worker.postMessage({ kind: "listTunnels", request } satisfies ToWorker);
    try {
      return await answer.promise;
    } finally {
      over.abort();
      worker.removeEventListener("message", onMessage);
    }
  }

  /** Each worker serves for the shutdown delay, then drains. */
  shutDown(): void {
    this.#end("shutDown");
    const { shutdownDelayMs, drainTimeoutMs } = this.#options.config;
    if (drainTimeoutMs > 0) void this.#terminateAfter(shutdownDelayMs + drainTimeoutMs + LATE_MS);
  }

  /** Each worker ends all its connections at once. */
  cut(): void {
    this.#end("cut");
    void this.#terminateAfter(LATE_MS);
  }

  #end(kind: "shutDown" | "cut"): void {
    if (!this.isShuttingDown) this.#endSinceMs = performance.now();
    this.#shutdown.abort();
    for (const worker of this.#live.keys()) worker.postMessage({ kind } satisfies ToWorker);
  }

  /** Terminates those that have not ended by then. Their tunnels cannot be logged. */
  async #terminateAfter(ms: number): Promise<void> {
    await awakeDelay(ms, this.#gone.signal);
    for (const [worker, index] of this.#live) {
      worker.terminate();
      const connections = this.#options.shared.served[index]![0]!;
      const durationMs = Math.round(performance.now() - this.#endSinceMs);
      this.#drained.push({ durationMs, connections, closedQuiet: 0, cut: connections });
      this.#onEnd(worker, index, "did not answer");
    }
  }

  async #launch(index: number): Promise<void> {
    const { worker } = await launch(this.#options, index);
    this.#adopt(worker, index);
    // It may have started while the others were being shut down.
    if (this.isShuttingDown) worker.postMessage({ kind: "cut" } satisfies ToWorker);
  }

  #adopt(worker: Worker, index: number): void {
    this.#live.set(worker, index);
    this.#startedMs[index] = performance.now();
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      if (data.kind === "log") this.#options.write(data.lines);
      else if (data.kind === "roomWanted") this.#makeRoom(data.worker, data.client);
      else if (data.kind === "finished") {
        if (this.isShuttingDown) this.#drained.push(data.drained);
        this.#onEnd(worker, index, data.failure);
      }
    };
    worker.onerror = (event) => {
      event.preventDefault();
      worker.terminate();
      this.#onEnd(worker, index, event.message);
    };
  }

  #makeRoom(index: number, client: number): void {
    for (const [worker, its] of this.#live) {
      if (its === index) worker.postMessage({ kind: "makeRoom", client } satisfies ToWorker);
    }
  }

  #onEnd(worker: Worker, index: number, failure: string | undefined): void {
    // Its last message may come after the error that has ended it.
    if (!this.#live.delete(worker)) return;
    forgetWorker(this.#options.shared, this.#options.layout, index);
    if (failure !== undefined) {
      this.#options.log("error", "worker died", { worker: index, failure });
    }
    if (!this.isShuttingDown) void this.#restart(index);
    else if (this.#live.size === 0) this.#finish.resolve();
  }

  async #restart(index: number): Promise<void> {
    if (performance.now() - this.#startedMs[index]! >= LAST_RESTART_PAUSE_MS) {
      this.#restartPausesMs.delete(index);
    }
    for (;;) {
      const pauseMs = this.#restartPausesMs.get(index) ?? FIRST_RESTART_PAUSE_MS;
      this.#restartPausesMs.set(index, Math.min(pauseMs * 2, LAST_RESTART_PAUSE_MS));
      await delay(pauseMs, this.#shutdown.signal);
      if (this.isShuttingDown) break;
      try {
        await this.#launch(index);
        this.#restarts++;
        return;
      } catch (error) {
        this.#options.log("error", "worker does not start", {
          worker: index,
          error: String(error),
        });
      }
    }
    if (this.#live.size === 0) this.#finish.resolve();
  }
}

/** What several drains come to, at the same time. */
function sumOf(drains: readonly Drained[]): Drained {
  const sum = (count: keyof Drained) => drains.reduce((sum, drain) => sum + drain[count], 0);
  return {
    durationMs: Math.max(0, ...drains.map(({ durationMs }) => durationMs)),
    connections: sum("connections"),
    closedQuiet: sum("closedQuiet"),
    cut: sum("cut"),
  };
}

/** Starts one worker and waits until it listens. */
async function launch(
  { config, shared, entry = new URL("./worker_main.ts", import.meta.url) }: WorkerPoolOptions,
  index: number,
): Promise<{ worker: Worker; address: Deno.NetAddr }> {
  const worker = new Worker(entry, { type: "module" });
  const { promise, resolve, reject } = Promise.withResolvers<Deno.NetAddr>();
  worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
    if (data.kind === "listening") resolve(data.address);
    else if (data.kind === "cannotListen") reject(new CannotListen(data.reason));
  };
  worker.onerror = (event) => {
    event.preventDefault();
    reject(new Error(event.message));
  };
  worker.postMessage({ kind: "start", config, shared, worker: index } satisfies ToWorker);
  try {
    return { worker, address: await promise };
  } catch (error) {
    worker.terminate();
    throw error;
  }
}

/**
 * Has the runtime of each worker look for new readiness at every turn, not at every 61st: a new
 * connection would wait for up to a second beside bulk transfers. Deno reads the variable when it
 * makes a runtime; a value set by the user stays.
 */
function setEventInterval(): void {
  const name = "DENO_TOKIO_EVENT_INTERVAL";
  if ((Deno.env.get(name) ?? "") === "") Deno.env.set(name, "1");
}
