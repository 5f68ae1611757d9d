/** The proxy as a process of a test: its log as it grows, its signals, its namespace. */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { output } from "./child_process.ts";
import { ProxyProcess, whyNotPid1 } from "./process.ts";
import { test } from "./test.ts";

const FLAGS = ["--upstream=127.0.0.1:1"];

test("a proxy that ends before it listens fails its test with what it has printed", async () => {
  await assertRejects(() => ProxyProcess.start({ flags: ["--nonsense"] }), Error, "--nonsense");
});

test("a proxy that is PID 1 has its own number and gets its signals", async () => {
  await using proxy = await ProxyProcess.start({ flags: FLAGS, isPid1: true });
  const status = await output(["cat", `/proc/${proxy.pid}/status`]);
  assertMatch(status, /^NSpid:\t\d+\t1$/m);
  assertEquals(await proxy.terminate(), 0);
  assertEquals(proxy.lines("drained").length, 1);
}, { skip: await whyNotPid1() });
