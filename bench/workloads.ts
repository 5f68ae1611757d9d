/** What is measured of proxies that run, one after the other, in each round. */
import type { Process } from "../tests/harness/child_process.ts";
import { samplesOf } from "../tests/harness/metrics_report.ts";
import type { Running } from "./contenders.ts";
import type { Job, Load } from "./load.ts";
import type { Figure } from "./report.ts";

/** Few clients take few samples. */
const BESIDE_BULK_FACTOR = 4;
const LIVEZ_INTERVAL_MS = 20;

/** One way to use a proxy. */
export interface Workload {
  readonly id: string;
  /** What one run of it shows, in the order of the table. */
  readonly figures: readonly Figure[];
  /** For how many times as long as the others it has to run. */
  readonly factor?: number;
  /**
   * Runs it through a proxy once.
   *
   * @returns A value for each figure; `undefined` where this contender has none.
   */
  measure(load: Load, proxy: Running, seconds: number): Promise<(number | undefined)[]>;
}

/** Everything of the table, in its order. */
export const WORKLOADS: readonly Workload[] = [
  rate("connections", "connections, 64 at once", {
    job: { workload: "connections", parallel: 64 },
    cpuOf: "a connection",
  }),
  rate("round-trips", "512 B there and back, 64 tunnels", {
    job: { workload: "round-trips", parallel: 64, messageBytes: 512 },
    cpuOf: "a round trip",
  }),
  rate("messages", "4 KiB there and back, 64 tunnels", {
    job: { workload: "round-trips", parallel: 64, messageBytes: 4096 },
  }),
  rate("down-1", "bulk down, 1 tunnel", {
    job: { workload: "down", parallel: 1 },
    cpuOf: "a MB down, 1 tunnel",
  }),
  rate("up-1", "bulk up, 1 tunnel", {
    job: { workload: "up", parallel: 1 },
    cpuOf: "a MB up, 1 tunnel",
  }),
  rate("down-8", "bulk down, 8 tunnels", {
    job: { workload: "down", parallel: 8 },
    cpuOf: "a MB down, 8 tunnels",
  }),
  rate("up-8", "bulk up, 8 tunnels", {
    job: { workload: "up", parallel: 8 },
    cpuOf: "a MB up, 8 tunnels",
  }),
  besideBulk(8),
  besideBulk(32),
];

/** CPU time that a proxy has used so far, in microseconds; 0 where no process stands in between. */
export async function cpuMicroseconds(process: Process | undefined): Promise<number> {
  return process === undefined ? 0 : (await process.usage()).cpuMs * 1_000;
}

/** Work done a second, and the CPU time of each piece of it where `cpuOf` names the piece. */
function rate(
  id: string,
  title: string,
  { job, cpuOf }: {
    readonly job: Pick<Job, "workload" | "parallel" | "messageBytes">;
    readonly cpuOf?: string;
  },
): Workload {
  const isBulk = job.workload === "down" || job.workload === "up";
  const done: Figure = { title, better: "higher", unit: isBulk ? "bytes a second" : "a second" };
  const cpu: Figure = { title: `CPU time of ${cpuOf}`, better: "lower", unit: "microseconds" };
  return {
    id,
    figures: cpuOf === undefined ? [done] : [done, cpu],
    async measure(load, { address, connect, process }, seconds) {
      const before = await cpuMicroseconds(process);
      const result = await load.run({ ...job, address, connect, seconds });
      const used = await cpuMicroseconds(process) - before;
      const amount = result.operations || result.bytes;
      return [amount / result.seconds, process && used / (isBulk ? amount / 1e6 : amount)];
    },
  };
}

/** What others wait for while downloads go at full speed. */
function besideBulk(downloads: number): Workload {
  const title = (what: string) => `beside ${downloads} downloads: ${what}`;
  const time = (what: string): Figure => ({
    title: title(what),
    better: "lower",
    unit: "milliseconds",
  });
  return {
    id: `beside-${downloads}`,
    factor: BESIDE_BULK_FACTOR,
    figures: [
      time("connect and first echo, median"),
      time("connect and first echo, p99"),
      time("echo of 64 B, median"),
      time("echo of 64 B, p99"),
      { title: title("their bytes"), better: "higher", unit: "bytes a second" },
      time("/livez, worst"),
      time("event_loop_lag_seconds, worst"),
    ],
    async measure(load, { address, connect, admin }, seconds) {
      const over = new AbortController();
      const livez = admin === undefined ? undefined : worstLivezMs(admin, over.signal);
      const { firstEcho, echo, bytes, ...result } = await load.run({
        ...{ workload: "beside-bulk", address, connect },
        ...{ parallel: downloads, messageBytes: 64, seconds },
      });
      over.abort();
      return [
        ...[firstEcho!.p50, firstEcho!.p99, echo!.p50, echo!.p99, bytes / result.seconds],
        ...[await livez, admin === undefined ? undefined : await loopLagMs(admin)],
      ];
    },
  };
}

/** The longest time that `/livez` has taken, asked again and again until the signal. */
async function worstLivezMs(admin: string, over: AbortSignal): Promise<number> {
  let worstMs = 0;
  while (!over.aborted) {
    const beganMs = performance.now();
    await (await fetch(`http://${admin}/livez`)).text();
    worstMs = Math.max(worstMs, performance.now() - beganMs);
    await new Promise((resolve) => setTimeout(resolve, LIVEZ_INTERVAL_MS));
  }
  return worstMs;
}

/** The longest time of late that it says its event loops have let something wait. */
async function loopLagMs(admin: string): Promise<number> {
  const text = await (await fetch(`http://${admin}/metrics`)).text();
  return 1_000 * samplesOf(text).get("api_server_proxy_event_loop_lag_seconds")!;
}
