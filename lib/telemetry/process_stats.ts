/** What the process as a whole uses, under the names that Prometheus has for it. */

/** The standard `process_*` metrics, but for descriptors, which Deno does not let be counted. */
export async function processReadings() {
  // Loaded at the first report: it takes some MiB that nothing else needs.
  const { cpuUsage } = (await import("node:process")).default;
  const { user, system } = cpuUsage();
  return {
    process_cpu_seconds_total: (user + system) / 1e6,
    process_resident_memory_bytes: Deno.memoryUsage().rss,
    process_start_time_seconds: performance.timeOrigin / 1_000,
  };
}
