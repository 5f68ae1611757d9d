/** The kernel's limit of memory holds for what runs in it, and for nothing else. */
import { assertEquals, assertGreater, assertLessOrEqual } from "@std/assert";
import { run } from "./child_process.ts";
import { MemoryLimit, whyNoMemoryLimit } from "./memory_limit.ts";
import { ProxyProcess } from "./process.ts";
import { test } from "./test.ts";

const MIB = 1024 * 1024;
const KILLED = 128 + 9;
const skip = await whyNoMemoryLimit();

test("a process that takes more than its limit of memory is killed", async () => {
  await using limit = await MemoryLimit.create(64 * MIB);
  // It keeps the last line, which has no end.
  const { code } = await run([...limit.prefix, "sh", "-c", "head -c 128M /dev/zero | tail"]);
  assertEquals(code, KILLED);
}, { skip });

test("the proxy runs within a limit of memory, which says what it has used", async () => {
  await using limit = await MemoryLimit.create(256 * MIB);
  await using proxy = await ProxyProcess.start({
    prefix: limit.prefix,
    flags: ["--upstream=127.0.0.1:1"],
  });
  const { peakResidentBytes } = await proxy.usage();
  assertGreater(peakResidentBytes, 10 * MIB);
  assertGreater(await limit.peakBytes(), 10 * MIB);
  assertLessOrEqual(await limit.peakBytes(), 256 * MIB);
}, { skip });
