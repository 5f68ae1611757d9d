import { assertEquals, assertGreater, assertLess } from "@std/assert";
import { processReadings } from "../../lib/telemetry/process_stats.ts";
import { test } from "../harness/test.ts";

async function readings() {
  const all = await processReadings();
  return new Map(all.map(({ name, samples }) => [name, samples[0]!.value]));
}

test("processReadings() has the standard names and types", async () => {
  const types = (await processReadings()).map(({ name, type }) => `${name} ${type}`);
  assertEquals(types, [
    "process_cpu_seconds_total counter",
    "process_resident_memory_bytes gauge",
    "process_start_time_seconds gauge",
  ]);
});

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
