import net from "node:net";
import { once } from "node:events";
import { assertEquals, assertGreaterOrEqual, assertLess } from "@std/assert";
import type { Config } from "../../lib/config/config.ts";
import {
  CONNECT,
  connectResettable,
  ESTABLISHED,
  type Peer,
  TestUpstream,
  type Tunnel,
} from "../harness/peers.ts";
import { type LogLine, TestProxy } from "../harness/proxy.ts";
import { eventually, test } from "../harness/test.ts";

const MIB = 1024 * 1024;

/** Runs a test with a tunnel that is up. */
function tunnelTest(
  name: string,
  fn: (tunnel: Tunnel, proxy: TestProxy) => Promise<void>,
  config: Partial<Config> = {},
  options: { skip?: boolean } = {},
): void {
  test(`tunnel ${name}`, async () => {
    using upstream = new TestUpstream();
    await using proxy = new TestProxy({ ...config, upstreams: [upstream.authority] });
    using tunnel = await proxy.tunnel(upstream);
    await fn(tunnel, proxy);
  }, options);
}

function ending({ end, endedBy }: LogLine) {
  return { end, endedBy };
}

/** Bytes that differ from place to place, so that a lost or moved one shows. */
function pattern(length: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i, 2_654_435_761);
  return new Uint8Array(words.buffer, 0, length);
}

async function sha256(bytes: Uint8Array): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>);
  return new Uint8Array(hash).toHex();
}

/** Writes until the other end and all between take no more. */
async function fillUp(peer: Peer): Promise<{ stuck: Promise<unknown>; sentBytes: number }> {
  const chunk = new Uint8Array(64 * 1024);
  let sentBytes = 0;
  for (;;) {
    const write = peer.conn.write(chunk);
    const tick = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => tick.resolve(undefined), 200);
    const count = await Promise.race([write, tick.promise]);
    clearTimeout(timer);
    if (count === undefined) return { stuck: write.catch(() => {}), sentBytes };
    sentBytes += count;
  }
}

/** What `timer_active` of /proc/net/tcp says while keep-alive runs. */
const KEEP_ALIVE_TIMER = "02";

/** The timer of the proxy's own end of a connection, as the kernel tells it. */
async function timerAtOtherEnd(
  { localAddr, remoteAddr }: Deno.TcpConn,
): Promise<string | undefined> {
  // Not by Deno itself, which reads /proc only with all permissions there are.
  const { stdout } = await new Deno.Command("cat", { args: ["/proc/net/tcp"] }).output();
  const rows = new TextDecoder().decode(stdout).split("\n").map((row) => row.trim().split(/\s+/));
  const isOther = (row: readonly string[]) =>
    row[1] === asInProc(remoteAddr) && row[2] === asInProc(localAddr);
  return rows.find(isOther)?.[5]?.slice(0, 2);
}

/** `0100007F:1FB6`: the bytes of the IPv4 address, the last one first, and the port. */
function asInProc(addr: Deno.Addr): string {
  const { hostname, port } = addr as Deno.NetAddr;
  const hex = (value: number | string, digits: number) =>
    Number(value).toString(16).toUpperCase().padStart(digits, "0");
  return `${hostname.split(".").reverse().map((byte) => hex(byte, 2)).join("")}:${hex(port, 4)}`;
}

test("tunnel gives the upstream first what came behind the head", async () => {
  using upstream = new TestUpstream();
  await using proxy = new TestProxy({ upstreams: [upstream.authority] });
  using client = await proxy.connect(CONNECT + "early ");
  using accepted = await upstream.accept();
  assertEquals(await client.readText(ESTABLISHED.length), ESTABLISHED);
  await client.write("late");
  await client.closeWrite();
  assertEquals(await accepted.readText(), "early late");
});

test("tunnel loses nothing of what comes while the upstream is being dialled", async () => {
  using upstream = new TestUpstream();
  await using proxy = new TestProxy({ upstreams: [upstream.authority] });
  const sent = pattern(300_000);
  using client = await proxy.connect(CONNECT);
  const writing = client.write(sent).then(() => client.closeWrite());
  using accepted = await upstream.accept();
  assertEquals(await sha256(await accepted.readAll()), await sha256(sent));
  await writing;
});

tunnelTest("passes the client's half-close on and goes on the other way", async (tunnel, proxy) => {
  await tunnel.client.write("question");
  await tunnel.client.closeWrite();
  assertEquals(await tunnel.upstream.readText(), "question");
  await tunnel.upstream.write("answer");
  await tunnel.upstream.closeWrite();
  assertEquals(await tunnel.client.readText(), "answer");
  assertEquals(ending(await proxy.logged("tunnel")), { end: "eof", endedBy: "client" });
});

tunnelTest(
  "passes the upstream's half-close on and goes on the other way",
  async (tunnel, proxy) => {
    await tunnel.upstream.write("greeting");
    await tunnel.upstream.closeWrite();
    assertEquals(await tunnel.client.readText(), "greeting");
    await tunnel.client.write("farewell");
    await tunnel.client.closeWrite();
    assertEquals(await tunnel.upstream.readText(), "farewell");
    assertEquals(ending(await proxy.logged("tunnel")), { end: "eof", endedBy: "upstream" });
  },
);

test("tunnel closes the upstream when the client resets", async () => {
  using upstream = new TestUpstream();
  await using proxy = new TestProxy({ upstreams: [upstream.authority] });
  const client = await connectResettable(proxy.authority);
  client.write(CONNECT);
  using accepted = await upstream.accept();
  await once(client, "data");
  client.resetAndDestroy();
  await accepted.end();
  assertEquals(ending(await proxy.logged("tunnel")), { end: "reset", endedBy: "client" });
});

test(
  "tunnel delivers what the upstream had sent before it reset, then closes the client",
  async () => {
    const server = net.createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as net.AddressInfo;
    await using proxy = new TestProxy({ upstreams: [{ host: "127.0.0.1", port }] });
    using client = await proxy.connect(CONNECT);
    const [accepted] = await once(server, "connection") as [net.Socket];
    const sent = pattern(100_000);
    await new Promise((resolve) => accepted.write(sent, resolve));
    const received = await client.read(ESTABLISHED.length + sent.length);
    accepted.resetAndDestroy();
    assertEquals(await sha256(received.subarray(ESTABLISHED.length)), await sha256(sent));
    await client.end();
    assertEquals(ending(await proxy.logged("tunnel")), { end: "reset", endedBy: "upstream" });
    server.close();
    await once(server, "close");
  },
);

tunnelTest(
  "delivers all of 16 MiB though the sender has closed and the reader had paused",
  async (tunnel) => {
    const sent = pattern(16 * MIB);
    const writing = tunnel.upstream.write(sent).then(() => tunnel.upstream.close());
    await tunnel.client.closeWrite();
    await tunnel.client.read(1);
    const rest = await tunnel.client.readAll();
    await writing;
    assertEquals(await sha256(rest), await sha256(sent.subarray(1)));
  },
);

tunnelTest("copies 32 MiB both ways at once unchanged", async (tunnel, proxy) => {
  const up = pattern(32 * MIB);
  const down = up.toReversed();
  const [atUpstream, atClient] = await Promise.all([
    tunnel.upstream.readAll(),
    tunnel.client.readAll(),
    tunnel.client.write(up).then(() => tunnel.client.closeWrite()),
    tunnel.upstream.write(down).then(() => tunnel.upstream.closeWrite()),
  ]);
  assertEquals(await sha256(atUpstream), await sha256(up));
  assertEquals(await sha256(atClient), await sha256(down));
  const { bytesUp, bytesDown } = await proxy.logged("tunnel");
  assertEquals({ bytesUp, bytesDown }, { bytesUp: up.length, bytesDown: down.length });
});

tunnelTest(
  "is closed when no byte has gone either way for the idle timeout",
  async (tunnel, proxy) => {
    assertEquals(await tunnel.client.end(), "eof");
    assertEquals(await tunnel.upstream.end(), "eof");
    assertEquals(ending(await proxy.logged("tunnel")), { end: "idle", endedBy: "proxy" });
  },
  { idleTimeoutMs: 60 },
);

tunnelTest(
  "is closed when the other side is silent for the half-close timeout",
  async (tunnel, proxy) => {
    await tunnel.client.closeWrite();
    assertEquals(await tunnel.client.end(), "eof");
    const line = await proxy.logged("tunnel");
    assertEquals(ending(line), { end: "half_close_timeout", endedBy: "proxy" });
    assertGreaterOrEqual(line.durationMs as number, 60);
  },
  { halfCloseTimeoutMs: 60 },
);

tunnelTest(
  "is idle when a byte waits for a reader that reads none",
  async (tunnel, proxy) => {
    const { stuck } = await fillUp(tunnel.client);
    assertEquals(ending(await proxy.logged("tunnel")), { end: "idle", endedBy: "proxy" });
    tunnel.client.close();
    await stuck;
  },
  { idleTimeoutMs: 1_000 },
);

tunnelTest("holds a fast sender back when the reader is slow", async (tunnel, proxy) => {
  const { stuck, sentBytes } = await fillUp(tunnel.upstream);
  // Sockets hold some MiB; what the proxy itself holds is one buffer.
  const received = tunnel.client.readAll();
  await stuck;
  await tunnel.upstream.closeWrite();
  assertEquals((await received).length, sentBytes + 64 * 1024);
  await tunnel.client.closeWrite();
  assertEquals(ending(await proxy.logged("tunnel")), { end: "eof", endedBy: "upstream" });
});

tunnelTest(
  "spends little on an upstream that sends without end to a client that is gone, and not for long",
  async (tunnel, proxy) => {
    let sentBytes = 0;
    const chunk = new Uint8Array(64 * 1024);
    const sending = (async () => {
      for (;;) sentBytes += await tunnel.upstream.conn.write(chunk);
    })().catch(() => {});
    await tunnel.client.read(1);
    // With bytes unread: a reset, as from any client that has been killed.
    tunnel.client.close();
    await proxy.logged("tunnel");
    await sending;
    // Read as fast as it comes this would be some hundred MiB; sockets hold some MiB.
    assertLess(sentBytes, 48 * MIB);
  },
  { halfCloseTimeoutMs: 0 },
);

tunnelTest(
  "lets the kernel find out a peer that has vanished, on both sides",
  async (tunnel) => {
    for (const { conn } of [tunnel.client, tunnel.upstream]) {
      await eventually("keep-alive timer", () => timerAtOtherEnd(conn), KEEP_ALIVE_TIMER);
    }
  },
  {},
  { skip: Deno.build.os !== "linux" },
);

tunnelTest("does not wait for more before it passes on what it has", async (tunnel) => {
  for (let i = 0; i < 200; i++) {
    await tunnel.client.write("?");
    assertEquals(await tunnel.upstream.readText(1), "?");
    await tunnel.upstream.write("!");
    assertEquals(await tunnel.client.readText(1), "!");
  }
});

tunnelTest("sends small parts at once, without Nagle's wait for an answer", async (tunnel) => {
  const rounds = 100;
  tunnel.client.conn.setNoDelay();
  const startMs = performance.now();
  for (let i = 0; i < rounds; i++) {
    // The second part would wait for the acknowledgement of the first: 40 ms on Linux.
    await tunnel.client.write("head");
    assertEquals(await tunnel.upstream.readText(4), "head");
    await tunnel.client.write("body");
    assertEquals(await tunnel.upstream.readText(4), "body");
    await tunnel.upstream.write("ok");
    await tunnel.client.read(2);
  }
  assertLess(performance.now() - startMs, rounds * 20);
});

test("tunnel carries IPv6 as it carries IPv4", async () => {
  using upstream = new TestUpstream("::1");
  await using proxy = new TestProxy({ upstreams: [upstream.authority], host: "::1" });
  using tunnel = await proxy.tunnel(upstream);
  await tunnel.client.write("six");
  assertEquals(await tunnel.upstream.readText(3), "six");
  tunnel.client.close();
  tunnel.upstream.close();
  assertEquals((await proxy.logged("tunnel")).source, "::1");
});
