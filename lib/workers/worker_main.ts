/** The entry of one worker: a proxy in an isolate of its own, led by messages. */
/// <reference lib="deno.worker" />
import type { Config } from "../config/config.ts";
import { createLog, createSink } from "../telemetry/log.ts";
import { shareLargeBuffers } from "../proxy/buffers.ts";
import type { Drained } from "../proxy/drain.ts";
import { Proxy } from "../proxy/proxy.ts";
import type { TunnelInfo } from "../proxy/tunnel_record.ts";
import type { SharedMemory } from "../proxy/shared_memory.ts";

/** From the supervisor to a worker. */
export type ToWorker =
  | {
    readonly kind: "start";
    readonly config: Config;
    readonly shared: SharedMemory;
    readonly worker: number;
  }
  /** That client, and others, are to make room. */
  | { readonly kind: "makeRoom"; readonly client: number }
  | { readonly kind: "listTunnels"; readonly request: number }
  | { readonly kind: "shutDown" | "cut" };

/** From a worker to the supervisor. */
export type FromWorker =
  | { readonly kind: "listening"; readonly address: Deno.NetAddr }
  | { readonly kind: "cannotListen"; readonly reason: string }
  | { readonly kind: "log"; readonly lines: string }
  /** That client of that worker is to make room for one of this worker. */
  | { readonly kind: "roomWanted"; readonly worker: number; readonly client: number }
  | {
    readonly kind: "tunnels";
    readonly tunnels: readonly TunnelInfo[];
    /** Of which question it is the answer. */
    readonly request: number;
  }
  /** The last message: all connections have closed. */
  | { readonly kind: "finished"; readonly drained: Drained; readonly failure: string | undefined };

const send = (message: FromWorker) => self.postMessage(message);

const sink = createSink((lines) => {
  send({ kind: "log", lines });
  return Promise.resolve();
});
let proxy: Proxy | undefined;
let failure: string | undefined;

self.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  if (data.kind === "start") start(data);
  else if (data.kind === "shutDown") void proxy?.shutDown();
  else if (data.kind === "listTunnels") {
    send({ kind: "tunnels", tunnels: proxy!.listTunnels(), request: data.request });
  } else if (data.kind === "makeRoom") void proxy?.makeRoom(data.client);
  else proxy?.cut();
};

// An uncaught error ends this worker, but its tunnels are logged first.
function fail(event: Event, error: unknown): void {
  event.preventDefault();
  if (proxy === undefined) throw error;
  failure ??= error instanceof Error ? error.stack ?? error.message : String(error);
  proxy.cut("error");
}
self.addEventListener("error", (event) => fail(event, event.error));
self.addEventListener("unhandledrejection", (event) => fail(event, event.reason));

function start({ config, shared, worker }: ToWorker & { kind: "start" }): void {
  const { logLevel: level, logFormat: format = "json", logColor: color } = config;
  const log = createLog({ level, format, color, write: sink.write });
  try {
    shareLargeBuffers(shared.metrics.length);
    const onRoomWanted = (worker: number, client: number) =>
      send({ kind: "roomWanted", worker, client });
    proxy = new Proxy(config, log, shared, worker, onRoomWanted);
  } catch (error) {
    return send({ kind: "cannotListen", reason: (error as Error).message });
  }
  send({ kind: "listening", address: proxy.address });
  void proxy.finished.then(async (drained) => {
    await sink.flush();
    send({ kind: "finished", drained, failure });
    self.close();
  });
}
