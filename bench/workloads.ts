/** What is measured under load: work done a second, and CPU time for each piece of it. */
import type { Load } from "./load.ts";
import type { Process } from "../tests/harness/child_process.ts";
import type { Running } from "./contenders.ts";

/** One way to use a proxy. */
export interface Workload {
  readonly id: string;
  readonly title: string;
  readonly workload: "connections" | "round-trips" | "down" | "up";
  readonly parallel: number;
  readonly messageBytes?: number;
  /** What CPU time is told for, if for anything. */
  readonly cpuOf?: string;
}

/** Everything of the table, in its order. */
export const WORKLOADS: readonly Workload[] = [
  {
    id: "connections",
    title: "connections, 64 at once",
    workload: "connections",
    parallel: 64,
    cpuOf: "a connection",
  },
  {
    id: "round-trips",
    title: "512 B there and back, 64 tunnels",
    workload: "round-trips",
    parallel: 64,
    messageBytes: 512,
    cpuOf: "a round trip",
  },
  {
    id: "messages",
    title: "4 KiB there and back, 64 tunnels",
    workload: "round-trips",
    parallel: 64,
    messageBytes: 4096,
  },
  { id: "down-1", title: "bulk down, 1 tunnel", workload: "down", parallel: 1 },
  { id: "up-1", title: "bulk up, 1 tunnel", workload: "up", parallel: 1 },
  { id: "down-8", title: "bulk down, 8 tunnels", workload: "down", parallel: 8 },
  { id: "up-8", title: "bulk up, 8 tunnels", workload: "up", parallel: 8 },
];

/** What one run of a workload has shown. */
export interface Measured {
  /** Operations, or bytes of bulk, a second. */
  readonly rate: number;
  /** For one operation, or one byte. */
  readonly cpuMicroseconds: number;
}

/** CPU time that a proxy has used so far; none where no process stands in between. */
export async function cpuMicroseconds(process: Process | undefined): Promise<number> {
  return process === undefined ? 0 : (await process.usage()).cpuMs * 1_000;
}

/** Runs a workload through a proxy once. */
export async function measure(
  load: Load,
  proxy: Running,
  workload: Workload,
  seconds: number,
): Promise<Measured> {
  const { address, connect } = proxy;
  const cpuBefore = await cpuMicroseconds(proxy.process);
  const done = await load.run({ ...workload, address, connect, seconds });
  const cpu = await cpuMicroseconds(proxy.process) - cpuBefore;
  const amount = done.operations || done.bytes;
  return { rate: amount / done.seconds, cpuMicroseconds: cpu / amount };
}
