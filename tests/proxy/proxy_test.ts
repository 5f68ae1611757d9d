import net from "node:net";
import { once } from "node:events";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { CONNECT, ESTABLISHED, neverAccepts, TestUpstream, type Tunnel } from "../harness/peers.ts";
import { TestProxy } from "../harness/proxy.ts";
import { eventually, test } from "../harness/test.ts";

test("proxy refuses clients beyond --max-connections with 503 and serves again after", async () => {
  using upstream = new TestUpstream();
  await using proxy = new TestProxy({ upstreams: [upstream.authority], maxConnections: 2 });
  using _one = await proxy.tunnel(upstream);
  const two = await proxy.tunnel(upstream);
  using refused = await proxy.connect(CONNECT);
  assertMatch(
    await refused.readText(),
    /^HTTP\/1.1 503 [^]*connection_limit_reached[^]*\r\nRetry-After: 1\r\n/,
  );
  two[Symbol.dispose]();
  await proxy.logged("tunnel");
  using _three = await proxy.tunnel(upstream);
});

test("proxy gives the slot of a refused client back though the client is still there", async () => {
  using upstream = new TestUpstream();
  await using proxy = new TestProxy({ upstreams: [upstream.authority], maxConnections: 1 });
  using refused = await proxy.connect("GET / HTTP/1.1\r\n\r\n");
  await proxy.logged("refused");
  using _served = await proxy.tunnel(upstream);
  assertMatch(await refused.readText(), /^HTTP\/1.1 405 /);
});

test("proxy lets a client with a request go before one that has waited without", async () => {
  using upstream = new TestUpstream();
  await using proxy = new TestProxy({ upstreams: [upstream.authority], maxConnections: 2 });
  using silent = await proxy.connect();
  using half = await proxy.connect("CONNECT api:4");
  using _one = await proxy.tunnel(upstream);
  assertEquals(await silent.readText(), "");
  using _two = await proxy.tunnel(upstream);
  assertMatch(await half.readText(), /^HTTP\/1.1 503 /);
});

test("proxy refuses clients beyond --max-connections-per-source", async () => {
  using upstream = new TestUpstream();
  const limits = { maxConnections: 0, maxConnectionsPerSource: 1 };
  await using proxy = new TestProxy({ ...limits, upstreams: [upstream.authority] });
  const one = await proxy.tunnel(upstream);
  using refused = await proxy.connect(CONNECT);
  assertMatch(await refused.readText(), /^HTTP\/1.1 503 [^]*one source address/);
  one[Symbol.dispose]();
  await proxy.logged("tunnel");
  using _two = await proxy.tunnel(upstream);
});

test("proxy lets nobody wait less for a source that is at its own limit", async () => {
  using upstream = new TestUpstream();
  await using proxy = new TestProxy({
    upstreams: [upstream.authority],
    host: "0.0.0.0",
    maxConnectionsPerSource: 1,
  });
  const { port } = proxy.authority;
  using _tunnel = await proxy.tunnel(upstream);
  const elsewhere = net.connect({ port, host: "127.0.0.1", localAddress: "127.0.0.2" });
  await once(elsewhere, "connect");
  await new Promise((resolve) => elsewhere.write("CONNECT api", resolve));
  using refused = await proxy.connect(CONNECT);
  assertMatch(await refused.readText(), /one source address/);
  elsewhere.write(CONNECT.slice("CONNECT api".length));
  using _accepted = await upstream.accept();
  assertMatch(String((await once(elsewhere, "data"))[0]), /^HTTP\/1.1 200 /);
  elsewhere.destroy();
  await once(elsewhere, "close");
});

test("proxy takes no limit for 0", async () => {
  using upstream = new TestUpstream();
  await using proxy = new TestProxy({
    upstreams: [upstream.authority],
    maxConnections: 0,
    headerTimeoutMs: 0,
    connectTimeoutMs: 0,
    idleTimeoutMs: 0,
    halfCloseTimeoutMs: 0,
    drainTimeoutMs: 0,
  });
  using tunnel = await proxy.tunnel(upstream);
  void proxy.proxy.shutDown();
  await tunnel.client.write("still here");
  assertEquals(await tunnel.upstream.readText(10), "still here");
  tunnel[Symbol.dispose]();
  await proxy.proxy.finished;
});

test("proxy listens on IPv6 and IPv4 alike, and counts a mapped source as IPv4", async () => {
  await using proxy = new TestProxy({
    host: undefined,
    allowFrom: [{ address: "::1", prefixBits: 128 }],
  });
  const { port } = proxy.authority;
  for (const [hostname, status] of [["127.0.0.1", 403], ["::1", 405]] as const) {
    using conn = await Deno.connect({ hostname, port });
    await conn.write(new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"));
    const answer = await new Response(conn.readable).text();
    assertMatch(answer, new RegExp(`^HTTP/1.1 ${status} `));
  }
  assertEquals((await proxy.logged("refused")).source, "127.0.0.1");
});

test("proxy numbers its connections on beyond 2 ** 31, with no sign", async () => {
  using upstream = new TestUpstream();
  await using proxy = new TestProxy({ upstreams: [upstream.authority] });
  proxy.shared.lastId[0] = 2 ** 31;
  const tunnel = await proxy.tunnel(upstream);
  tunnel[Symbol.dispose]();
  assertEquals((await proxy.logged("tunnel")).id, 2 ** 31 + 1);
});

test("shutDown() goes on serving new clients for the shutdown delay", async () => {
  using upstream = new TestUpstream();
  const delayMs = 300;
  await using proxy = new TestProxy({ upstreams: [upstream.authority], shutdownDelayMs: delayMs });
  const startMs = performance.now();
  void proxy.proxy.shutDown();
  assert(proxy.proxy.isShuttingDown);
  const late = await proxy.tunnel(upstream);
  late[Symbol.dispose]();
  await proxy.proxy.finished;
  assert(performance.now() - startMs >= delayMs - 1);
});

test("shutDown() refuses half-read heads with 503 and lets tunnels and dials go on", async () => {
  using upstream = new TestUpstream();
  using silent = await neverAccepts();
  await using proxy = new TestProxy({
    upstreams: [],
    allowedAuthorities: [upstream.authority, silent.authority],
    connectTimeoutMs: 200,
  });
  const head = ({ host, port }: { host: string; port: number }) =>
    `CONNECT ${host}:${port} HTTP/1.0\r\n\r\n`;
  using tunnel = await proxy.connect(head(upstream.authority));
  using accepted = await upstream.accept();
  await tunnel.read(ESTABLISHED.length);
  using quiet = await proxy.connect();
  using half = await proxy.connect("CONNECT a");
  using dialling = await proxy.connect(head(silent.authority));
  await proxy.logged("dialling", 2);
  void proxy.proxy.shutDown();
  assertMatch(await half.readText(), /^HTTP\/1.1 503 [^]*destination_unavailable/);
  assertEquals(await quiet.readText(), "");
  assertMatch(await dialling.readText(), /^HTTP\/1.1 504 /);
  await tunnel.write("on");
  assertEquals(await accepted.readText(2), "on");
  tunnel.close();
  accepted.close();
  await proxy.proxy.finished;
});

test("shutDown() ends in order when only clients that have sent nothing are left", async () => {
  await using proxy = new TestProxy({});
  using quiet = await proxy.connect();
  await eventually("clients served", () => proxy.served, 1);
  // The measurement of the event loop's lag has begun by then.
  await new Promise((resolve) => setTimeout(resolve, 100));
  await proxy.proxy.shutDown();
  assertEquals(await quiet.readText(), "");
  assertEquals((await proxy.proxy.finished).connections, 1);
});

test("shutDown() cuts busy tunnels when the drain timeout is over", async () => {
  using upstream = new TestUpstream();
  await using proxy = new TestProxy({ upstreams: [upstream.authority], drainTimeoutMs: 200 });
  using tunnel = await proxy.tunnel(upstream);
  void proxy.proxy.shutDown();
  const { connections, closedQuiet, cut } = await proxy.proxy.finished;
  const { end, endedBy } = await proxy.logged("tunnel");
  assertEquals({ end, endedBy }, { end: "drain", endedBy: "proxy" });
  assertEquals({ connections, closedQuiet, cut }, { connections: 1, closedQuiet: 0, cut: 1 });
  await tunnel.client.end();
});

test("shutDown() spreads the ends of quiet tunnels over the drain timeout", async () => {
  using upstream = new TestUpstream();
  await using proxy = new TestProxy({ upstreams: [upstream.authority], drainTimeoutMs: 4_000 });
  const tunnels: Tunnel[] = [];
  for (let i = 0; i < 20; i++) tunnels.push(await proxy.tunnel(upstream));
  void proxy.proxy.shutDown();
  const { closedQuiet, cut } = await proxy.proxy.finished;
  const ends = proxy.lines.filter((line) => line.msg === "tunnel");
  assert(ends.every((line) => line.end === "drain"));
  const times = ends.map((line) => Date.parse(line.time as string));
  const together = times.map((at) => times.filter((other) => Math.abs(other - at) < 100).length);
  // The first second's share goes together: that long it takes to see that they are quiet.
  assert(together.filter((count) => count > 8).length < 10, `ended together: ${together}`);
  assertEquals({ closedQuiet, cut }, { closedQuiet: 20, cut: 0 });
  for (const tunnel of tunnels) tunnel[Symbol.dispose]();
});

test("cut() ends every connection at once, whatever it is doing", async () => {
  using upstream = new TestUpstream();
  using silent = await neverAccepts();
  const proxy = new TestProxy({
    upstreams: [],
    allowedAuthorities: [upstream.authority, silent.authority],
  });
  const { host, port } = upstream.authority;
  using client = await proxy.connect(`CONNECT ${host}:${port} HTTP/1.0\r\n\r\n`);
  using _accepted = await upstream.accept();
  await client.read(ESTABLISHED.length);
  using _quiet = await proxy.connect();
  using _half = await proxy.connect("CONNECT a");
  using _refused = await proxy.connect("GET / HTTP/1.1\r\n\r\n");
  using _dialling = await proxy.connect(
    `CONNECT ${silent.authority.host}:${silent.authority.port} HTTP/1.0\r\n\r\n`,
  );
  await proxy.logged("dialling", 2);
  await proxy[Symbol.asyncDispose]();
  assertEquals(await client.readText(), "");
});
