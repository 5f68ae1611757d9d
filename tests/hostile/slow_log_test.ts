/** A log that nobody reads holds up neither the clients nor the end of the process. */
import { assertEquals, assertGreater } from "@std/assert";
import { CONNECT, TestUpstream } from "../harness/peers.ts";
import { test } from "../harness/test.ts";
import { echo, goodTunnel, many } from "../harness/crowd.ts";
import { afterShell } from "../harness/child_process.ts";
import { ProxyProcess } from "../harness/process.ts";

/** What a pipe holds on Linux unless it is told otherwise. */
const PIPE_BYTES = 64 * 1024;
const CLIENTS = 1_500;

test("the proxy serves while its log is not read, and tells all when it is", async () => {
  using upstream = new TestUpstream();
  const serving = upstream.serve(echo);
  {
    const { host, port } = upstream.authority;
    await using program = await ProxyProcess.start({ flags: [`--upstream=${host}:${port}`] });
    await goodTunnel(program, upstream.authority);
    await program.metrics();
    const before = await program.usage();
    const readOn = program.stopReadingLog();
    await many(CLIENTS, () => goodTunnel(program, upstream.authority));
    await program.settled(before);
    const seen = program.lines("tunnel").length;
    readOn();
    await program.logged("tunnel", CLIENTS + 1);
    const bytes = JSON.stringify(program.lines("tunnel").slice(seen)).length;
    assertGreater(bytes, 3 * PIPE_BYTES);
    assertEquals(program.lines("log lines dropped"), []);
  }
  upstream[Symbol.dispose]();
  await serving;
});

test("the proxy ends though nobody reads its log", async () => {
  await using program = await ProxyProcess.start({ flags: ["--upstream=127.0.0.1:1"] });
  const readOn = program.stopReadingLog();
  await many(CLIENTS, async () => {
    using refused = await program.connect(CONNECT);
    await refused.readText();
  });
  program.signal("SIGTERM");
  const code = await program.exitCode();
  readOn();
  assertEquals(code, 0);
});

/** Has standard error give up instead of wait when the pipe is full: some runtimes make it so. */
const NON_BLOCKING_STDERR = "python3 -c 'import fcntl, os; " +
  "fcntl.fcntl(2, fcntl.F_SETFL, fcntl.fcntl(2, fcntl.F_GETFL) | os.O_NONBLOCK)'";

test("a log pipe that does not block and is full for a while gets every line, whole", async () => {
  using upstream = new TestUpstream();
  const serving = upstream.serve(echo);
  {
    const { host, port } = upstream.authority;
    await using program = await ProxyProcess.start({
      prefix: afterShell(NON_BLOCKING_STDERR),
      flags: [`--upstream=${host}:${port}`],
    });
    const readOn = program.stopReadingLog();
    await many(CLIENTS, () => goodTunnel(program, upstream.authority));
    readOn();
    await program.logged("tunnel", CLIENTS);
    assertEquals(program.lines("log lines dropped"), []);
  }
  upstream[Symbol.dispose]();
  await serving;
});
