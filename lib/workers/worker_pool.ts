/** Several isolates as one proxy: started, watched, started again, ended together. */
import type { Config } from "../config/config.ts";
import { delay } from "../telemetry/delay.ts";
import type { Log } from "../telemetry/log.ts";
import type { Drained } from "../proxy/proxy.ts";
import { forgetWorker, type SharedMemory } from "../proxy/shared_memory.ts";
import type { FromWorker, ToWorker } from "./worker_main.ts";

/** The pause before a worker is started again is doubled from the first to the last of these. */
const FIRST_RESTART_PAUSE_MS = 100, LAST_RESTART_PAUSE_MS = 10_000;
/** How late a worker may be with its end; one that is blocked never comes to it. */
const LATE_MS = 1_000;
const MAX_TIMER_MS = 2 ** 31 - 1;

/** What it takes to start workers. */
export interface WorkersOptions {
  /** `port` and `host` are those of all; their sockets share the port. */
  readonly config: Config;
  readonly shared: SharedMemory;
  readonly log: Log;
  /** Takes the log lines of the workers. */
  readonly write: (lines: string) => void;
  /** The module that a worker runs. */
  readonly entry?: URL;
}

/** The workers of a proxy. */
export class Workers {
  /** Where all of them listen. */
  readonly address: Deno.NetAddr;
  /** Resolves once they have been shut down and the last connection is gone. */
  readonly finished: Promise<Drained>;
  readonly #options: WorkersOptions;
  readonly #live = new Map<Worker, number>();
  readonly #finish = Promise.withResolvers<void>();
  /** Of each worker that has ended in order. */
  readonly #drained: Drained[] = [];
  readonly #shutdown = new AbortController();
  readonly #gone = new AbortController();
  #restarts = 0;

  private constructor(options: WorkersOptions, first: Worker, address: Deno.NetAddr) {
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
   * @throws {Error} When the first one cannot listen. It takes the port for all.
   */
  static async start(options: WorkersOptions): Promise<Workers> {
    const { worker, address } = await launch(options, 0);
    const config = { ...options.config, host: address.hostname, port: address.port };
    const workers = new Workers({ ...options, config }, worker, address);
    const others = options.shared.metrics.length - 1;
    await Promise.all(Array.from({ length: others }, (_, i) => workers.#launch(i + 1)));
    return workers;
  }

  /** Whether they have been told to end. */
  get isShuttingDown(): boolean {
    return this.#shutdown.signal.aborted;
  }

  /** How many workers have died and been started again. */
  get restarts(): number {
    return this.#restarts;
  }

  /** Each worker goes on for the shutdown delay and drains then. */
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
    this.#shutdown.abort();
    for (const worker of this.#live.keys()) worker.postMessage({ kind } satisfies ToWorker);
  }

  /** Ends those that have not ended by then. What they were serving cannot be logged. */
  async #terminateAfter(ms: number): Promise<void> {
    await delay(Math.min(ms, MAX_TIMER_MS), this.#gone.signal);
    for (const [worker, index] of this.#live) {
      worker.terminate();
      this.#onEnd(worker, index, "did not answer");
    }
  }

  async #launch(index: number): Promise<void> {
    const { worker } = await launch(this.#options, index);
    this.#adopt(worker, index);
    // It may have come up while the others were told to end.
    if (this.isShuttingDown) worker.postMessage({ kind: "cut" } satisfies ToWorker);
  }

  #adopt(worker: Worker, index: number): void {
    this.#live.set(worker, index);
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      if (data.kind === "log") this.#options.write(data.lines);
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

  #onEnd(worker: Worker, index: number, failure: string | undefined): void {
    this.#live.delete(worker);
    forgetWorker(this.#options.shared, index);
    if (failure !== undefined) {
      this.#options.log("error", "worker died", { worker: index, failure });
    }
    if (!this.isShuttingDown) void this.#restart(index);
    else if (this.#live.size === 0) this.#finish.resolve();
  }

  async #restart(index: number): Promise<void> {
    for (
      let pauseMs = FIRST_RESTART_PAUSE_MS;;
      pauseMs = Math.min(pauseMs * 2, LAST_RESTART_PAUSE_MS)
    ) {
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
  { config, shared, entry = new URL("./worker_main.ts", import.meta.url) }: WorkersOptions,
  index: number,
): Promise<{ worker: Worker; address: Deno.NetAddr }> {
  const worker = new Worker(entry, { type: "module" });
  const { promise, resolve, reject } = Promise.withResolvers<Deno.NetAddr>();
  worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
    if (data.kind === "listening") resolve(data.address);
    else if (data.kind === "cannotListen") reject(new Error(data.reason));
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
