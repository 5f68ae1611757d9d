import { assertGreater, assertLess } from "@std/assert";
import { processReadings } from "../../lib/telemetry/process_stats.ts";
import { test } from "../harness/test.ts";

async function readings() {
  return new Map<string, number>(Object.entries(await processReadings()));
}

test("processReadings() counts seconds of CPU that only grow", async () => {
  const before = (await readings()).get("process_cpu_seconds_total")!;
  let after = before;
  // Work until it shows, however slow the machine is.
  while (after === before) after = (await readings()).get("process_cpu_seconds_total")!;
  assertGreater(after, before);
  assertLess(after, performance.now() / 1_000 * navigator.hardwareConcurrency + 60);
});

test("processReadings() gives the start in seconds, and memory in bytes", async () => {
  const values = await readings();
  const nowSeconds = Date.now() / 1_000;
  assertLess(values.get("process_start_time_seconds")!, nowSeconds);
  assertGreater(values.get("process_start_time_seconds")!, nowSeconds - 86_400);
  assertGreater(values.get("process_resident_memory_bytes")!, 10 * 1024 * 1024);
});
