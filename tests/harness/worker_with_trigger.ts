/** A worker like every other, but that it fails when a test says so. */
/// <reference lib="deno.worker" />
import "../../lib/workers/worker_main.ts";
import type { ToWorker } from "../../lib/workers/worker_main.ts";
import { channelName, type Trigger, type TriggerConfig } from "./worker_trigger.ts";

self.addEventListener("message", (event) => {
  const { data } = event as MessageEvent<ToWorker>;
  if (data.kind !== "start") return;
  const { goOn, upstreams } = data.config as TriggerConfig;
  const channel = new BroadcastChannel(channelName(upstreams[0]!.port));
  channel.onmessage = ({ data: { worker, how } }: MessageEvent<Trigger>) => {
    if (worker !== data.worker) return;
    if (how === "throw") throw new Error("told to throw");
    if (how === "reject") void Promise.reject(new Error("told to reject"));
    if (how === "crash") {
      Event.prototype.preventDefault = () => {};
      throw new Error("told to crash");
    }
    if (how !== "block") return;
    Atomics.store(goOn, 1, 1);
    while (Atomics.load(goOn, 0) === 0);
  };
});
