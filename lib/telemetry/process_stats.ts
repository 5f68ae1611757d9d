/** What the process as a whole uses, under the names that Prometheus has for it. */
import type { Reading } from "./metrics.ts";

/** The standard `process_*` metrics, but for descriptors, which Deno does not let be counted. */
export async function processReadings(): Promise<Reading[]> {
  // Loaded at the first report: it takes some MiB that nobody else needs.
  const { cpuUsage } = (await import("node:process")).default;
  const { user, system } = cpuUsage();
  return [
    counter("process_cpu_seconds_total", "CPU time, user and system.", (user + system) / 1e6),
    gauge("process_resident_memory_bytes", "Resident memory.", Deno.memoryUsage().rss),
    gauge(
      "process_start_time_seconds",
      "When the process began, in seconds since the epoch.",
      performance.timeOrigin / 1_000,
    ),
  ];
}

/** A counter with one value. */
export function counter(name: string, help: string, value: number): Reading {
  return { name, type: "counter", help, samples: [{ value }] };
}

/** A gauge with one value. */
export function gauge(name: string, help: string, value: number): Reading {
  return { name, type: "gauge", help, samples: [{ value }] };
}
