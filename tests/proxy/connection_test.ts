import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { MAX_HEAD_BYTES } from "../../lib/protocol/connect_request.ts";
import {
  CONNECT,
  connectResettable,
  ESTABLISHED,
  neverAccepts,
  nobody,
  TestUpstream,
} from "../harness/peers.ts";
import { TestProxy } from "../harness/proxy.ts";
import { test } from "../harness/test.ts";

/** The status line and the fields of a refusal, and its body. */
function parseResponse(text: string) {
  const [head = "", body = ""] = text.split("\r\n\r\n");
  const [statusLine = "", ...lines] = head.split("\r\n");
  const fields = new Map(lines.map((line) => line.split(": ") as [string, string]));
  return { statusLine, fields, body };
}

const REFUSED_HEADS = [
  { name: "GET", sent: "GET /version HTTP/1.1\r\nHost: api\r\n\r\n", status: 405 },
  { name: "a malformed head", sent: "CONNECT api:443 HTTP/1.1\nHost: api\n\n", status: 400 },
  { name: "a body", sent: CONNECT.replace("Host", "Content-Length: 3\r\nHost"), status: 400 },
  { name: "HTTP/2", sent: "CONNECT api:443 HTTP/2.0\r\n\r\n", status: 505 },
  { name: "a long line", sent: `CONNECT ${"a".repeat(9_000)}`, status: 414 },
  {
    name: "a long head",
    sent: `CONNECT a:1 HTTP/1.1\r\nX: ${"a".repeat(MAX_HEAD_BYTES)}`,
    status: 431,
  },
  { name: "a TLS ClientHello", sent: "\x16\x03\x01\x02\x00\x01\x00", status: 400 },
];

for (const { name, sent, status } of REFUSED_HEADS) {
  test(`connection answers ${name} with ${status}, complete, and closes`, async () => {
    await using proxy = new TestProxy({});
    using client = await proxy.connect(sent);
    const { statusLine, fields, body } = parseResponse(await client.readText());
    assertMatch(statusLine, new RegExp(`^HTTP/1.1 ${status} \\S`));
    assertEquals(Number(fields.get("Content-Length")), body.length);
    assertEquals(fields.get("Connection"), "close");
    assertEquals((await proxy.logged("refused")).status, status);
  });
}

test("connection answers HEAD without a body, at whichever byte it is refused", async () => {
  await using proxy = new TestProxy({ headerTimeoutMs: 40 });
  for (const sent of ["HEAD / HTTP/1.1\r\n", "\r\nHEAD / HTTP/1.1\r\n", "HEAD /slow"]) {
    using client = await proxy.connect(sent);
    const { statusLine, fields, body } = parseResponse(await client.readText());
    assertMatch(statusLine, /^HTTP\/1.1 40[58] /);
    assertEquals([Number(fields.get("Content-Length")) > 0, body], [true, ""], sent);
  }
});

test("connection answers HEAD without a body, and others with one, where nothing is read first", async () => {
  await using proxy = new TestProxy({ allowFrom: [{ address: "10.0.0.0", prefixBits: 8 }] });
  for (const sent of ["HEAD / HTTP/1.1\r\n\r\n", CONNECT, ""]) {
    using client = await proxy.connect(sent);
    const { statusLine, body } = parseResponse(await client.readText());
    assertMatch(statusLine, /^HTTP\/1.1 403 /);
    assertEquals(body === "", sent.startsWith("HEAD"), sent);
  }
});

test("connection takes IPv6 without brackets where the target decides nothing, and logs it with them", async () => {
  const sent = "CONNECT fd00::1:6443 HTTP/1.1\r\nHost: fd00::1:6443\r\n\r\n";
  using upstream = new TestUpstream();
  await using proxy = new TestProxy({ upstreams: [upstream.authority] });
  using client = await proxy.connect(sent);
  assertEquals(await client.readText(ESTABLISHED.length), ESTABLISHED);
  assertEquals((await proxy.logged("dialling")).authority, "[fd00::1]:6443");

  const allowedAuthorities = [{ host: "fd00::1", port: 6443 }];
  await using strict = new TestProxy({ upstreams: [upstream.authority], allowedAuthorities });
  using other = await strict.connect(sent);
  assertMatch(await other.readText(), /^HTTP\/1.1 400 /);
});

test("connection lets a client read its refusal though it goes on sending", async () => {
  await using proxy = new TestProxy({});
  using client = await proxy.connect("POST / HTTP/1.1\r\nHost: api\r\n\r\n");
  const junk = new Uint8Array(256 * 1024);
  for (let i = 0; i < 16; i++) await client.write(junk);
  await client.closeWrite();
  assertMatch(await client.readText(), /^HTTP\/1.1 405 /);
});

test("connection ends a half-sent head with 400", async () => {
  await using proxy = new TestProxy({});
  using client = await proxy.connect("CONNECT api:443 HT");
  await client.closeWrite();
  assertMatch(await client.readText(), /^HTTP\/1.1 400 /);
  assertEquals((await proxy.logged("refused")).error, "http_request_error");
});

test("connection answers 408 when the head is not complete in time", async () => {
  await using proxy = new TestProxy({ headerTimeoutMs: 40 });
  using client = await proxy.connect("CONNECT api:443 HT");
  assertMatch(await client.readText(), /^HTTP\/1.1 408 /);
});

test("connection closes a client that sends nothing, and logs that at debug level only", async () => {
  await using proxy = new TestProxy({ headerTimeoutMs: 40 });
  using client = await proxy.connect();
  assertEquals(await client.readText(), "");
  const { level, end, endedBy } = await proxy.logged("no tunnel");
  assertEquals({ level, end, endedBy }, { level: "debug", end: "idle", endedBy: "proxy" });
});

test("connection logs a probe that connects and closes at debug level only", async () => {
  await using proxy = new TestProxy({});
  (await proxy.connect()).close();
  const { level, end, endedBy } = await proxy.logged("no tunnel");
  assertEquals({ level, end, endedBy }, { level: "debug", end: "eof", endedBy: "client" });
});

test("connection answers 403 for an authority that is not allowed, without dialling", async () => {
  using upstream = new TestUpstream();
  await using proxy = new TestProxy({
    upstreams: [upstream.authority],
    allowedAuthorities: [{ host: "kubernetes.default.svc", port: 443 }],
  });
  using client = await proxy.connect(CONNECT);
  const { statusLine, fields } = parseResponse(await client.readText());
  assertMatch(statusLine, /^HTTP\/1.1 403 Host not allowed/);
  assertStringIncludes(fields.get("Proxy-Status")!, "error=http_request_denied");
  assertEquals((await proxy.logged("refused")).level, "warn");
});

test("connection serves every spelling of an allowed authority", async () => {
  using upstream = new TestUpstream();
  await using proxy = new TestProxy({
    upstreams: [upstream.authority],
    allowedAuthorities: [{ host: "kubernetes.default.svc", port: 443 }, {
      host: "::1",
      port: 6443,
    }],
  });
  for (const target of ["KUBERNETES.default.svc.:443", "[0:0:0:0:0:0:0:1]:6443"]) {
    using client = await proxy.connect(`CONNECT ${target} HTTP/1.1\r\nHost: x\r\n\r\n`);
    using _accepted = await upstream.accept();
    assertEquals(await client.readText(ESTABLISHED.length), ESTABLISHED);
  }
});

test("connection dials what the client asks for when there is no upstream", async () => {
  using upstream = new TestUpstream();
  const { host, port } = upstream.authority;
  await using proxy = new TestProxy({ upstreams: [], allowedAuthorities: [upstream.authority] });
  using client = await proxy.connect(`CONNECT ${host}:${port} HTTP/1.0\r\n\r\n`);
  using _accepted = await upstream.accept();
  assertEquals(await client.readText(ESTABLISHED.length), ESTABLISHED);
});

test("connection answers 403 for a source that is not allowed", async () => {
  await using proxy = new TestProxy({ allowFrom: [{ address: "10.0.0.0", prefixBits: 8 }] });
  using client = await proxy.connect(CONNECT);
  assertMatch(await client.readText(), /^HTTP\/1.1 403 Source address not allowed/);
});

test("connection answers 502 when the upstream refuses", async () => {
  await using proxy = new TestProxy({ upstreams: [nobody()] });
  using client = await proxy.connect(CONNECT);
  const { statusLine, fields } = parseResponse(await client.readText());
  assertEquals(statusLine, "HTTP/1.1 502 API server refused the connection");
  assertStringIncludes(fields.get("Proxy-Status")!, "error=connection_refused");
  const { level, authority, status } = await proxy.logged("refused");
  assertEquals({ level, authority, status }, { level: "error", authority: "api:443", status: 502 });
});

test("connection answers 502 when the upstream's name is not found", async () => {
  await using proxy = new TestProxy({ upstreams: [{ host: "api.invalid", port: 443 }] });
  using client = await proxy.connect(CONNECT);
  assertMatch(await client.readText(), /^HTTP\/1.1 502 .*\r\n[^]*error=dns_error/);
});

test("connection answers 504 when the upstream does not accept in time", async () => {
  using silent = await neverAccepts();
  await using proxy = new TestProxy({ upstreams: [silent.authority], connectTimeoutMs: 50 });
  using client = await proxy.connect(CONNECT);
  assertMatch(await client.readText(), /^HTTP\/1.1 504 .*\r\n[^]*error=connection_timeout/);
});

test("connection answers 502 when the upstream is the proxy itself, whatever its name", async () => {
  await using proxy = new TestProxy({ upstreams: [], host: undefined });
  const { port } = proxy.authority;
  for (const host of ["127.0.0.1", "127.0.0.2", "localhost"]) {
    const head = `CONNECT ${host}:${port} HTTP/1.0\r\n\r\n`;
    using client = await proxy.connect(head);
    assertMatch(await client.readText(), /^HTTP\/1.1 502 .*\r\n[^]*error=proxy_loop_detected/);
  }
});

test("connection stops dialling when its client resets", async () => {
  using silent = await neverAccepts();
  await using proxy = new TestProxy({ upstreams: [silent.authority], connectTimeoutMs: 60_000 });
  const client = await connectResettable(proxy.authority);
  // Bytes that come early must not hide the reset that follows.
  client.write(CONNECT + "early");
  await proxy.logged("dialling");
  client.resetAndDestroy();
  const { end, endedBy, authority } = await proxy.logged("no tunnel");
  assertEquals({ end, endedBy, authority }, {
    end: "reset",
    endedBy: "client",
    authority: "api:443",
  });
});

test("connection serves a client that ends its stream during the dial", async () => {
  using upstream = new TestUpstream();
  await using proxy = new TestProxy({ upstreams: [upstream.authority] });
  using client = await proxy.connect(CONNECT + "all I say");
  await client.closeWrite();
  using accepted = await upstream.accept();
  assertEquals(await accepted.readText(), "all I say");
  await accepted.write("answer");
  await accepted.closeWrite();
  assertEquals(await client.readText(), ESTABLISHED + "answer");
});

test("connection closes a tunnel that is too old at a quiet moment", async () => {
  using upstream = new TestUpstream();
  await using proxy = new TestProxy({ upstreams: [upstream.authority], maxTunnelAgeMs: 50 });
  using tunnel = await proxy.tunnel(upstream);
  assertEquals(await tunnel.client.end(), "eof");
  const { end, endedBy } = await proxy.logged("tunnel");
  assertEquals({ end, endedBy }, { end: "age", endedBy: "proxy" });
});

test("connection logs a tunnel when it has ended, with everything to join on", async () => {
  using upstream = new TestUpstream();
  await using proxy = new TestProxy({ upstreams: [upstream.authority] });
  using tunnel = await proxy.tunnel(upstream);
  const { port: sourcePort } = tunnel.client.conn.localAddr as Deno.NetAddr;
  const { port: localPort } = tunnel.upstream.conn.remoteAddr as Deno.NetAddr;
  await tunnel.client.write("12345");
  await tunnel.client.closeWrite();
  await tunnel.upstream.readAll();
  await tunnel.upstream.write("123");
  await tunnel.upstream.closeWrite();
  await tunnel.client.readAll();
  const { time, connectMs, firstByteMs, durationMs, ...line } = await proxy.logged("tunnel");
  assertEquals(
    [typeof time, typeof connectMs, typeof firstByteMs, typeof durationMs],
    ["string", "number", "number", "number"],
  );
  const { host, port } = upstream.authority;
  assertEquals(line, {
    level: "info",
    msg: "tunnel",
    id: 1,
    source: "127.0.0.1",
    sourcePort,
    authority: "api:443",
    upstream: `${host}:${port}`,
    local: `127.0.0.1:${localPort}`,
    status: 200,
    bytesUp: 5,
    bytesDown: 3,
    endedBy: "client",
    end: "eof",
  });
});

test("connection that has been refused for its slowness dials nothing, whatever comes then", async () => {
  using upstream = new TestUpstream();
  await using proxy = new TestProxy({ upstreams: [upstream.authority], headerTimeoutMs: 50 });
  using client = await proxy.connect(CONNECT.slice(0, -2));
  assertMatch(await client.readText(), /^HTTP\/1\.1 408 /);
  await client.write(CONNECT.slice(-2));
  await client.closeWrite();
  // What comes next has been dialled after whatever that could have dialled.
  using _tunnel = await proxy.tunnel(upstream);
  assertEquals(proxy.lines.filter(({ msg }) => msg === "dialling").length, 1);
});

test("connection that is cut just as the upstream is there leaves neither side open", async () => {
  using upstream = new TestUpstream();
  for (let i = 0; i < 50; i++) {
    await using proxy = new TestProxy({ upstreams: [upstream.authority] });
    using client = await proxy.connect(CONNECT);
    using accepted = await upstream.accept();
    for (let turn = 0; turn < i % 5; turn++) await Promise.resolve();
    proxy.proxy.cut();
    await accepted.end();
    await client.end();
  }
});

test("connection logs a tunnel as opened while it lives, once, and says nothing of short ones", async () => {
  using upstream = new TestUpstream();
  await using proxy = new TestProxy({ upstreams: [upstream.authority], logOpenAfterMs: 200 });
  (await proxy.tunnel(upstream))[Symbol.dispose]();
  await proxy.logged("tunnel");
  using tunnel = await proxy.tunnel(upstream);
  await tunnel.client.write("12345");
  const opened = await proxy.logged("opened");
  assertEquals([opened.id, opened.bytesUp, opened.end], [2, 5, undefined]);
  tunnel[Symbol.dispose]();
  await proxy.logged("tunnel", 2);
  assertEquals(proxy.lines.filter(({ msg }) => msg === "opened").length, 1);
});

test("connection observes how long the upstream took to say something to the client", async () => {
  using upstream = new TestUpstream();
  await using proxy = new TestProxy({ upstreams: [upstream.authority] });
  using tunnel = await proxy.tunnel(upstream);
  await tunnel.client.write("hello");
  await tunnel.upstream.readText(5);
  assertEquals(proxy.metric("first_byte_duration_seconds_count"), 0);
  await tunnel.upstream.write("at last");
  await tunnel.client.readText(7);
  assertEquals(proxy.metric("first_byte_duration_seconds_count"), 1);
  await tunnel.client.write("again");
  await tunnel.upstream.readText(5);
  await tunnel.upstream.write("again");
  await tunnel.client.readText(5);
  assertEquals(proxy.metric("first_byte_duration_seconds_count"), 1);
});
