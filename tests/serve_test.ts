/** The whole proxy with its admin server, one worker. `tests/workers_test.ts` has several. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { getAvailablePort } from "@std/net/get-available-port";
import { serve } from "../lib/serve.ts";
import {
  CONNECT,
  ESTABLISHED,
  listenOnceFree,
  nobody,
  Peer,
  TestUpstream,
} from "./harness/peers.ts";
import { test } from "./harness/test.ts";
import { configOf, TestServer } from "./harness/server.ts";

function flagsFor(upstream: TestUpstream, ...more: string[]): string[] {
  return [`--upstream=127.0.0.1:${upstream.authority.port}`, ...more];
}

test("serve() tells where it listens, in the log too", async () => {
  using upstream = new TestUpstream();
  await using test = await TestServer.start(flagsFor(upstream));
  const { address, adminAddress } = test.server;
  const { time: _time, ...line } = await test.logged("listening");
  assertEquals(line, {
    level: "info",
    msg: "listening",
    address: `127.0.0.1:${address.port}`,
    admin: `127.0.0.1:${adminAddress!.port}`,
    workers: 1,
    upstreams: [`127.0.0.1:${upstream.authority.port}`],
    maxConnections: 4_096,
    maxConnectionsPerSource: 0,
    headerTimeoutMs: 10_000,
    connectTimeoutMs: 4_000,
    idleTimeoutMs: 4 * 3_600_000,
    halfCloseTimeoutMs: 60_000,
    maxTunnelAgeMs: 0,
    shutdownDelayMs: 0,
    drainTimeoutMs: 25_000,
    logOpenAfterMs: 10_000,
    probe: "readyz",
    version: "0.0.0-test",
  });
});

test("serve() is live and not ready while it drains, and serves tunnels meanwhile", async () => {
  using upstream = new TestUpstream();
  await using test = await TestServer.start(flagsFor(upstream));
  using tunnel = await test.tunnel(upstream);
  assertEquals((await test.get("/readyz")).status, 200);
  assertEquals(await test.metric("draining"), 0);
  test.server.shutDown();
  const ready = await test.get("/readyz");
  assertEquals(ready.status, 503);
  assertMatch(ready.body, /^\[\+\]ping ok\n\[-\]shutdown failed: the proxy is shutting down\n/);
  assertEquals((await test.get("/livez")).status, 200);
  assertEquals(await test.metric("draining"), 1);
  await tunnel.client.write("?");
  assertEquals(await tunnel.upstream.readText(1), "?");
});

test("serve() goes on accepting for the shutdown delay, though it is not ready", async () => {
  using upstream = new TestUpstream();
  await using test = await TestServer.start(flagsFor(upstream, "--shutdown-delay=1h"));
  test.server.shutDown();
  assertEquals((await test.get("/readyz")).status, 503);
  using _tunnel = await test.tunnel(upstream);
});

test("serve() tells of an upstream that cannot be reached, and is ready all the same", async () => {
  const { host, port } = nobody();
  const upstream = `${host}:${port}`;
  await using test = await TestServer.start([`--upstream=${upstream}`]);
  assertEquals(await test.metric(`upstream_up{upstream="${upstream}"}`), 0);
  assertEquals((await test.get("/readyz")).status, 200);
  const { status, body } = await test.get("/readyz/upstream");
  assertEquals(status, 503);
  assertMatch(body, /^\[-\]upstream failed: no API server can be reached\n/);
});

test("serve() says nothing of upstreams that it does not probe", async () => {
  await using test = await TestServer.start(["--upstream=127.0.0.1:1", "--probe=off"]);
  assertEquals((await test.get("/readyz/upstream")).status, 404);
  assertEquals((await test.get("/metrics")).body.includes("upstream_up{"), false);
});

test("serve() sees by its probes that an upstream is up, goes down and comes back", async () => {
  const first = new TestUpstream();
  const { host, port } = first.authority;
  const sample = `upstream_up{upstream="${host}:${port}"}`;
  await using test = await TestServer.start([`--upstream=${host}:${port}`], {
    probe: "tcp",
    probeIntervalMs: 5,
  });
  await test.metricIs(sample, 1);
  assertEquals((await test.get("/readyz/upstream")).status, 200);
  first[Symbol.dispose]();
  await test.metricIs(sample, 0);
  assertEquals((await test.get("/readyz/upstream")).status, 503);
  await test.logged("upstream is down");
  using _second = await listenOnceFree({ host, port });
  await test.metricIs(sample, 1);
  await test.logged("upstream is up again");
  assertEquals((await test.get("/readyz/upstream")).status, 200);
});

test("serve() has no upstream check where clients say where to go", async () => {
  const config = { ...configOf(["--allowed-hosts=a:1"]), upstreams: [] };
  const server = await serve(config, "test", () => {});
  const { hostname, port } = server.adminAddress!;
  using peer = new Peer(await Deno.connect({ hostname, port }));
  await peer.write("GET /readyz?verbose HTTP/1.0\r\n\r\n");
  assertMatch(
    await peer.readText(),
    /\r\n\r\n\[\+\]ping ok\n\[\+\]shutdown ok\nreadyz check passed/,
  );
  server.cut();
  await server.finished;
});

test("serve() has no admin server when there is to be none", async () => {
  using upstream = new TestUpstream();
  await using test = await TestServer.start(flagsFor(upstream, "--admin-port=off"));
  assertEquals(test.server.adminAddress, undefined);
  using _tunnel = await test.tunnel(upstream);
});

test("serve() names the admin address that is taken, and gives the other port back", async () => {
  using upstream = new TestUpstream();
  const { host, port } = upstream.authority;
  const free = { host, port: getAvailablePort() };
  const flags = flagsFor(upstream, `--port=${free.port}`, `--admin-port=${port}`);
  await assertRejects(
    () => TestServer.start(flags),
    Error,
    `cannot listen on ${host}:${port}: `,
  );
  using _listener = await listenOnceFree(free);
});

test("serve() ends though a scraper has sent half a request or reads nothing", async () => {
  using upstream = new TestUpstream();
  await using test = await TestServer.start(flagsFor(upstream));
  const { hostname, port } = test.server.adminAddress!;
  using half = new Peer(await Deno.connect({ hostname, port }));
  await half.write("GET /metrics HT");
  using greedy = new Peer(await Deno.connect({ hostname, port }));
  void greedy.write("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1_000)).catch(() => {});
  assertEquals((await test.get("/readyz")).status, 200);
  test.server.shutDown();
  await test.server.finished;
});

test("serve() answers scrapers and kubelets while many tunnels are busy", async () => {
  using upstream = new TestUpstream();
  await using test = await TestServer.start(flagsFor(upstream));
  using tunnels = new DisposableStack();
  const block = new Uint8Array(16 * 1024);
  let isOver = false;
  const pumps: Promise<unknown>[] = [];
  for (let i = 0; i < 24; i++) {
    const { client, upstream: other } = tunnels.use(await test.tunnel(upstream));
    const write = async () => {
      while (!isOver) await client.write(block);
    };
    const read = async () => {
      while (!isOver) if ((await other.read(1024)).length === 0) return;
    };
    pumps.push(write().catch(() => {}), read().catch(() => {}));
  }
  const bytes = 'tunnel_bytes_total{direction="up"}';
  const before = await test.metric(bytes);
  for (let i = 0; i < 3; i++) {
    assertEquals((await test.get("/livez")).body, "ok");
    assertEquals((await test.get("/readyz")).body, "ok");
    assertEquals(await test.metric("tunnels_active"), 24);
  }
  while (await test.metric(bytes) <= before);
  isOver = true;
  tunnels.dispose();
  await Promise.all(pumps);
});

test("serve() gives ids that no two connections share", async () => {
  using upstream = new TestUpstream();
  await using test = await TestServer.start(flagsFor(upstream, "--workers=2"));
  for (let i = 0; i < 20; i++) {
    using client = await test.connect(CONNECT);
    using _accepted = await upstream.accept();
    assertEquals(await client.readText(ESTABLISHED.length), ESTABLISHED);
  }
  await test.logged("tunnel", 20);
  const ids = test.lines.filter(({ msg }) => msg === "tunnel").map(({ id }) => id);
  assertEquals(new Set(ids).size, 20);
  assert(ids.every((id) => Number(id) > 0));
});
