/** Start and end of the process: signals, ports that others hold, and what stands still meanwhile. */
import { assertEquals, assertMatch } from "@std/assert";
import { getAvailablePort } from "@std/net/get-available-port";
import { connectTo, ESTABLISHED, TestUpstream } from "../harness/peers.ts";
import { echo, goodTunnel, headFor, many, openTunnel } from "../harness/crowd.ts";
import { testInNetwork } from "../harness/network.ts";
import { ProxyProcess, whyNotPid1 } from "../harness/process.ts";
import { eventually, test } from "../harness/test.ts";

/** Runs a test with an upstream that echoes. */
async function withUpstream(fn: (upstream: TestUpstream, flag: string) => Promise<void>) {
  using upstream = new TestUpstream();
  const serving = upstream.serve(echo);
  await fn(upstream, `--upstream=127.0.0.1:${upstream.authority.port}`);
  upstream[Symbol.dispose]();
  await serving;
}

for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
  test(`${signal} begins an orderly end, and the log names it with the tunnels that are up`, async () => {
    await withUpstream(async (upstream, flag) => {
      await using program = await ProxyProcess.start({ flags: [flag, "--drain-timeout=30s"] });
      using _tunnel = await openTunnel(program, upstream.authority);
      program.signal(signal);
      const line = await program.logged("shutting down");
      assertEquals([line.signal, line.tunnels], [signal, 1]);
      assertEquals(await program.ended(), 0);
      assertEquals(program.lines("tunnel").map(({ end }) => end), ["drain"]);
    });
  });
}

for (const isPid1 of [false, true]) {
  test(
    `a signal that comes as soon as the proxy port is open ends it in order${
      isPid1 ? ", as PID 1" : ""
    }`,
    async () => {
      for (let start = 0; start < 5; start++) {
        const port = getAvailablePort();
        await using program = await ProxyProcess.spawn({
          port,
          isPid1,
          flags: ["--upstream=127.0.0.1:1"],
        });
        await eventually(
          "the port is open",
          () =>
            Deno.connect({ hostname: "127.0.0.1", port }).then(
              (conn) => (conn.close(), true),
              () => false,
            ),
          true,
        );
        program.signal("SIGTERM");
        assertEquals(await program.ended(), 0);
        assertEquals(program.lines("drained").length, 1);
      }
    },
    { skip: isPid1 ? await whyNotPid1() : undefined },
  );
}

test("whoever reaches the proxy port finds the admin port open", async () => {
  for (let start = 0; start < 5; start++) {
    const port = getAvailablePort(), adminPort = getAvailablePort();
    await using program = await ProxyProcess.spawn({
      port,
      flags: ["--upstream=127.0.0.1:1", `--admin-port=${adminPort}`],
    });
    await eventually("the port is open", () =>
      Deno.connect({ hostname: "127.0.0.1", port }).then(
        (conn) => (conn.close(), true),
        () => false,
      ), true);
    const livez = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";
    using admin = await connectTo({ host: "127.0.0.1", port: adminPort }, livez);
    assertMatch(await admin.readText(), /^HTTP\/1.1 200 /);
    await program.terminate();
  }
});

test("a client that does not read cannot hold up the end beyond the drain timeout", async () => {
  using upstream = new TestUpstream();
  const push = async () => {
    const peer = await upstream.accept();
    const chunk = new Uint8Array(64 * 1024);
    while (await peer.write(chunk).then(() => true, () => false));
  };
  const pushing = push();
  await using program = await ProxyProcess.start({
    flags: [
      `--upstream=127.0.0.1:${upstream.authority.port}`,
      "--drain-timeout=1s",
      "--probe=off",
    ],
  });
  using client = await program.connect(headFor(upstream.authority));
  await client.readText(ESTABLISHED.length);
  program.signal("SIGTERM");
  assertEquals(await program.ended(), 0);
  assertEquals(program.lines("drained")[0]!.cut, 1);
  await pushing;
});

for (const workers of [1, 2]) {
  test(`a second instance with ${workers} workers on the same port ends, and leaves the first alone`, async () => {
    await withUpstream(async (upstream, flag) => {
      await using first = await ProxyProcess.start({ flags: [flag, "--workers=2"] });
      using tunnel = await openTunnel(first, upstream.authority);
      const { port } = first.authority;
      await using second = await ProxyProcess.spawn({
        port,
        flags: [flag, `--workers=${workers}`],
      });
      assertEquals(await second.ended(), 1);
      const [line] = second.lines("cannot listen");
      assertEquals([line!.address, line!.flag], [`127.0.0.1:${port}`, "--port"]);
      assertMatch(String(line!.reason), /in use/i);
      await tunnel.write("ping");
      assertEquals(await tunnel.readText(4), "ping");
      await many(50, () => goodTunnel(first, upstream.authority));
      // All of them, and the second has had none.
      await first.logged("tunnel", 50);
    });
  });
}

test("what came while the process stood still is read before anybody is judged late", async () => {
  await withUpstream(async (upstream, flag) => {
    await using program = await ProxyProcess.start({
      flags: [flag, "--header-timeout=2s", "--idle-timeout=3s"],
    });
    using tunnel = await openTunnel(program, upstream.authority);
    using late = await program.connect(headFor(upstream.authority).slice(0, 9));
    program.signal("SIGSTOP");
    await tunnel.write("ping");
    await late.write(headFor(upstream.authority).slice(9));
    using fresh = await program.connect(headFor(upstream.authority));
    // Longer than both timeouts: it is the time itself that the test is about.
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    program.signal("SIGCONT");
    assertEquals(await late.readText(ESTABLISHED.length), ESTABLISHED);
    assertEquals(await fresh.readText(ESTABLISHED.length), ESTABLISHED);
    assertEquals(await tunnel.readText(4), "ping");
  });
});

/** Longer than a drain timeout of 2 s, and than what an end may be late. */
const STANDSTILL_MS = 5_000;

for (const workers of [1, 2]) {
  test(`a process of ${workers} workers that stands still while it drains still logs every tunnel`, async () => {
    await withUpstream(async (upstream, flag) => {
      await using program = await ProxyProcess.start({
        flags: [flag, `--workers=${workers}`, "--drain-timeout=2s"],
      });
      await using tunnels = new AsyncDisposableStack();
      for (let i = 0; i < 6; i++) tunnels.use(await openTunnel(program, upstream.authority));
      program.signal("SIGTERM");
      await program.logged("shutting down");
      program.signal("SIGSTOP");
      // It is the time itself that the test is about.
      await new Promise((resolve) => setTimeout(resolve, STANDSTILL_MS));
      program.signal("SIGCONT");
      assertEquals(await program.ended(), 0);
      assertEquals(program.lines("tunnel").map(({ end }) => end), Array(6).fill("drain"));
      const [drained] = program.lines("drained");
      assertEquals(drained!.connections, 6);
      assertEquals(Number(drained!.cut) + Number(drained!.closedQuiet), 6);
      assertEquals(program.lines("worker died"), []);
    });
  });
}

testInNetwork(
  "IPv4 and IPv6 clients are served where the kernel keeps them apart (net.ipv6.bindv6only)",
  import.meta.url,
  async () => {
    await using program = await ProxyProcess.start({
      host: "",
      flags: ["--upstream=127.0.0.1:1"],
    });
    const { port } = program.authority;
    for (const host of ["127.0.0.1", "::1"]) {
      using client = await connectTo({ host, port }, "CONNECT a:1 HTTP/1.0\r\n\r\n");
      assertMatch(await client.readText(), /^HTTP\/1.1 502 /);
    }
  },
  { setUp: "sysctl -qw net.ipv6.bindv6only=1" },
);
