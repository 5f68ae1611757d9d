/** Places are counted exactly and come back whatever a client does; a head has one time limit. */
import { once } from "node:events";
import { assertEquals, assertLess, assertMatch } from "@std/assert";
import type { Config } from "../../lib/config/config.ts";
import { parseConfig } from "../../lib/config/config.ts";
import { Admission } from "../../lib/proxy/admission.ts";
import { sourceKey } from "../../lib/proxy/source_table.ts";
import { allocateShared } from "../../lib/proxy/shared_memory.ts";
import {
  CONNECT,
  connectResettable,
  ESTABLISHED,
  neverAccepts,
  nobody,
  Peer,
  TestUpstream,
  type Tunnel as TunnelEnds,
} from "../harness/peers.ts";
import { TestProxy } from "../harness/proxy.ts";
import { eventually, test } from "../harness/test.ts";

const SOURCE = sourceKey("10.0.0.1", undefined);
const REFUSED = "too_many_connections";
/** How many may be there at once in these tests. */
const LIMIT = 3;

interface Path {
  readonly name: string;
  readonly config?: (silent: Config["upstreams"]) => Partial<Config>;
  /** The message of the line that tells of its end. */
  readonly line: "tunnel" | "refused" | "no tunnel";
  /** What takes a slot and gives it back; resolves when the client has seen the end. */
  readonly take: (proxy: TestProxy, upstream: TestUpstream) => Promise<void>;
}

/** The answer, which is that one; a tunnel has no end that could be waited for. */
async function readRefusal(peer: Peer, status: number): Promise<string> {
  assertEquals(await peer.readText(12), `HTTP/1.1 ${status}`);
  return await peer.readText();
}

/** A client that sends that and reads the answer. */
function answered(head: string, status: number, config?: Path["config"]): Omit<Path, "name"> {
  const take = async (proxy: TestProxy) => {
    using peer = await proxy.connect(head);
    await readRefusal(peer, status);
  };
  return { take, line: "refused", ...(config && { config }) };
}

/** A client that resets once the proxy has come so far. */
function resets(head: string, config?: Path["config"]): Omit<Path, "name"> {
  const take = async (proxy: TestProxy) => {
    const socket = await connectResettable(proxy.authority);
    const dials = proxy.lines.filter(({ msg }) => msg === "dialling").length;
    await eventually("the client has a slot", () => proxy.served, 1);
    if (head !== "") await new Promise((resolve) => socket.write(head, resolve));
    if (head === CONNECT) await proxy.logged("dialling", dials + 1);
    const closed = once(socket, "close");
    socket.resetAndDestroy();
    await closed;
  };
  return { take, line: "no tunnel", ...(config && { config }) };
}

const PATHS: readonly Path[] = [
  {
    name: "a tunnel that its client ends",
    line: "tunnel",
    take: async (proxy, upstream) => (await proxy.tunnel(upstream))[Symbol.dispose](),
  },
  {
    name: "a tunnel that its upstream ends",
    line: "tunnel",
    async take(proxy, upstream) {
      using tunnel = await proxy.tunnel(upstream);
      tunnel.upstream.close();
      await tunnel.client.end();
    },
  },
  {
    name: "a tunnel that is idle",
    line: "tunnel",
    config: () => ({ idleTimeoutMs: 40 }),
    async take(proxy, upstream) {
      using tunnel = await proxy.tunnel(upstream);
      await tunnel.client.end();
    },
  },
  { name: "a malformed head", ...answered("CONNECT\r\n\r\n", 400) },
  {
    name: "a body announced",
    ...answered(`${CONNECT.slice(0, -2)}Content-Length: 1\r\n\r\n`, 400),
  },
  {
    name: "a forbidden authority",
    ...answered(CONNECT, 403, () => ({ allowedAuthorities: [{ host: "x", port: 1 }] })),
  },
  {
    name: "a forbidden source",
    ...answered(CONNECT, 403, () => ({ allowFrom: [{ address: "10.0.0.0", prefixBits: 8 }] })),
  },
  { name: "another method", ...answered("GET / HTTP/1.1\r\n\r\n", 405) },
  { name: "a head that takes too long", ...answered("C", 408, () => ({ headerTimeoutMs: 40 })) },
  { name: "a request line too long", ...answered("x".repeat(9_000), 414) },
  { name: "a head too long", ...answered(`CONNECT a:1 HTTP/1.0\r\nx: ${"y".repeat(17_000)}`, 431) },
  { name: "another version", ...answered("CONNECT a:1 HTTP/2.0\r\n\r\n", 505) },
  { name: "a refused dial", ...answered(CONNECT, 502, () => ({ upstreams: [nobody()] })) },
  {
    name: "a dial that takes too long",
    ...answered(CONNECT, 504, (silent) => ({ upstreams: silent, connectTimeoutMs: 40 })),
  },
  {
    name: "a client that says nothing for too long",
    line: "no tunnel",
    config: () => ({ headerTimeoutMs: 40 }),
    async take(proxy) {
      using peer = await proxy.connect();
      assertEquals(await peer.readText(), "");
    },
  },
  {
    name: "a client that closes before a byte",
    line: "no tunnel",
    take: async (proxy) => (await proxy.connect()).close(),
  },
  {
    name: "a client that closes in its head",
    line: "refused",
    take: async (proxy) => (await proxy.connect("CONNECT a")).close(),
  },
  { name: "a client that resets before a byte", ...resets("") },
  { name: "a client that resets in its head", ...resets("CONNECT a") },
  {
    name: "a client that resets during the dial",
    ...resets(CONNECT, (silent) => ({ upstreams: silent, connectTimeoutMs: 0 })),
  },
];

for (const { name, take, config, line } of PATHS) {
  test(`a slot is counted and comes back: ${name}`, async () => {
    using upstream = new TestUpstream();
    using silent = await neverAccepts();
    await using proxy = new TestProxy({
      upstreams: [upstream.authority],
      maxConnections: LIMIT,
      ...config?.([silent.authority]),
    });
    // More of them than slots: one that stays taken would show in the end.
    for (let i = 1; i <= 2 * LIMIT; i++) {
      await take(proxy, upstream);
      await proxy.logged(line, i);
      assertEquals(proxy.served, 0);
    }
  });
}

test("exactly --max-connections are served, the next is told when to come again", async () => {
  using upstream = new TestUpstream();
  await using proxy = new TestProxy({ upstreams: [upstream.authority], maxConnections: LIMIT });
  for (let round = 1; round <= 3; round++) {
    const tunnels: TunnelEnds[] = [];
    for (let i = 0; i < LIMIT; i++) tunnels.push(await proxy.tunnel(upstream));
    for (let i = 0; i < 2 * LIMIT; i++) {
      using refused = await proxy.connect(CONNECT);
      assertMatch(await readRefusal(refused, 503), /\r\nRetry-After: 1\r\n/);
    }
    assertEquals(proxy.served, LIMIT);
    for (const tunnel of tunnels) tunnel[Symbol.dispose]();
    await proxy.logged("tunnel", round * LIMIT);
    assertEquals(proxy.served, 0);
  }
});

for (const { given, most } of [{ given: [], most: 4_096 }, { given: ["0"], most: Infinity }]) {
  test(`--max-connections ${given[0] ?? "unset"} serves ${most} at once`, () => {
    const flags = ["--upstream=a:1", ...given.map((value) => `--max-connections=${value}`)];
    const invocation = parseConfig(flags, () => undefined);
    if (invocation.kind !== "run") throw new Error("the test's own flags are wrong");
    const admission = new Admission(invocation.config, allocateShared(invocation.config, 1), 0);
    const clients = Math.min(most, 10_000);
    for (let i = 0; i < clients; i++) assertEquals(admission.enter(SOURCE), undefined);
    assertEquals(admission.enter(SOURCE)?.kind, most > clients ? undefined : REFUSED);
  });
}

test("a source at its own limit pushes nobody out of a full proxy", async () => {
  using upstream = new TestUpstream();
  await using proxy = new TestProxy({
    upstreams: [upstream.authority],
    host: undefined,
    maxConnections: 2,
    maxConnectionsPerSource: 1,
  });
  const { port } = proxy.authority;
  const connect = async (hostname: string, text = "") => {
    const peer = new Peer(await Deno.connect({ hostname, port }));
    await peer.write(text);
    return peer;
  };
  using one = await connect("127.0.0.1", CONNECT);
  using _atUpstream = await upstream.accept();
  await one.read(ESTABLISHED.length);
  using elsewhere = await connect("::1");
  await eventually("both have a slot", () => proxy.served, 2);
  using again = await connect("127.0.0.1", CONNECT);
  await readRefusal(again, 503);
  await elsewhere.write(CONNECT);
  assertEquals(await elsewhere.readText(ESTABLISHED.length), ESTABLISHED);
  using _alsoAtUpstream = await upstream.accept();
});

test("a client that sends a byte now and then has no more time for its head", async () => {
  using upstream = new TestUpstream();
  const headerTimeoutMs = 400, MOST_BYTES = 10 * headerTimeoutMs / 20;
  await using proxy = new TestProxy({ upstreams: [upstream.authority], headerTimeoutMs });
  using client = await proxy.connect("CONNECT ");
  const answer = client.readText();
  let bytes = 0;
  const drip = setInterval(() => {
    // Were each byte to count anew, it would have gone on so far.
    if (++bytes === MOST_BYTES) client.closeWrite();
    else if (bytes < MOST_BYTES) void client.write("1").catch(() => {});
  }, 20);
  const text = await answer;
  clearInterval(drip);
  assertMatch(text, /^HTTP\/1.1 408 /);
  assertLess(bytes, MOST_BYTES);
});
