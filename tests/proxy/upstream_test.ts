import { assertEquals, assertLess, assertRejects } from "@std/assert";
import type { Authority } from "../../lib/protocol/authority.ts";
import { Refusal } from "../../lib/protocol/refusal.ts";
import { Dial, type Dialled, Upstreams, type UpstreamsOptions } from "../../lib/proxy/upstream.ts";
import { neverAccepts, nobody, TestUpstream } from "../harness/peers.ts";
import { test } from "../harness/test.ts";

const ANY: Authority = { host: "127.0.0.1", port: 1 };

function upstreams(options: Partial<UpstreamsOptions>): Upstreams & Disposable {
  const made = new Upstreams({
    authorities: [],
    connectTimeoutMs: 4_000,
    probeIntervalMs: 0,
    isSelf: () => false,
    log: () => {},
    isTeller: true,
    up: new Float64Array(options.authorities?.length ?? 0),
    ...options,
  });
  return Object.assign(made, { [Symbol.dispose]: () => made.close() });
}

/** Dials with a clock as the proxy has one. */
async function dial(from: Upstreams, requested = ANY): Promise<Dialled> {
  const dial = new Dial();
  const clock = setInterval(() => dial.check(performance.now()), 5);
  try {
    return await from.dial(requested, dial);
  } finally {
    clearInterval(clock);
  }
}

/** Which upstream a dial reaches. */
async function reached(from: Upstreams): Promise<Authority> {
  const { conn, authority } = await dial(from);
  conn.close();
  return authority;
}

test("dial() reaches the first upstream while it is there", async () => {
  using first = new TestUpstream();
  using second = new TestUpstream();
  using dialler = upstreams({ authorities: [first.authority, second.authority] });
  assertEquals(await reached(dialler), first.authority);
  assertEquals(await reached(dialler), first.authority);
});

test("dial() goes to the next upstream when one refuses, and stays there", async () => {
  using first = new TestUpstream();
  using second = new TestUpstream();
  using third = new TestUpstream();
  const authorities = [first, second, third].map(({ authority }) => authority);
  using dialler = upstreams({ authorities });
  first.stopListening();
  assertEquals(await reached(dialler), second.authority);
  second.stopListening();
  assertEquals(await reached(dialler), third.authority);
  using _again = new TestUpstream("127.0.0.1", second.authority.port);
  assertEquals(await reached(dialler), third.authority);
});

test("dial() gives the first of two upstreams half of the connect timeout", async () => {
  using silent = await neverAccepts();
  using second = new TestUpstream();
  const hourMs = 3_600_000;
  const authorities = [silent.authority, second.authority];
  using dialler = upstreams({ authorities, connectTimeoutMs: 2 * hourMs });
  const dial = new Dial();
  const dialled = dialler.dial(ANY, dial);
  // Its clock is this test: an hour is over.
  dial.check(performance.now() + hourMs);
  const giveUp = setTimeout(() => dial.stop(new Error("it is still at the first")), 20_000);
  const { conn, authority } = await dialled.finally(() => clearTimeout(giveUp));
  conn.close();
  assertEquals(authority, second.authority);
});

test("dial() leaves time for the next upstream when one swallows the attempt", async () => {
  using silent = await neverAccepts();
  using second = new TestUpstream();
  using dialler = upstreams({
    authorities: [silent.authority, second.authority],
    connectTimeoutMs: 200,
  });
  assertEquals(await reached(dialler), second.authority);
});

test("dial() refuses with what the last upstream answered when all fail", async () => {
  using silent = await neverAccepts();
  const authorities = [silent.authority, nobody()];
  using dialler = upstreams({ authorities, connectTimeoutMs: 100 });
  const error = await assertRejects(() => dial(dialler), Refusal);
  assertEquals(error.kind, "upstream_refused");
});

test("dial() keeps all attempts together within the connect timeout", async () => {
  using one = await neverAccepts();
  using two = await neverAccepts();
  using dialler = upstreams({
    authorities: [one.authority, two.authority],
    connectTimeoutMs: 400,
  });
  const startMs = performance.now();
  const error = await assertRejects(() => dial(dialler), Refusal);
  assertEquals(error.kind, "upstream_timeout");
  // Twice the timeout is what attempts of their own would take.
  assertLess(performance.now() - startMs, 800);
});

test("dial() dials what is asked for when there are no upstreams", async () => {
  using upstream = new TestUpstream();
  using dialler = upstreams({});
  const { conn, authority } = await dial(dialler, upstream.authority);
  conn.close();
  assertEquals(authority, upstream.authority);
});

test("dial() rejects with what it was stopped with, at once", async () => {
  using silent = await neverAccepts();
  using dialler = upstreams({ authorities: [silent.authority], connectTimeoutMs: 0 });
  const stopped = new Dial();
  const dialling = dialler.dial(ANY, stopped);
  stopped.stop(new RangeError("enough"));
  await assertRejects(() => dialling, RangeError, "enough");
});

const LINK_LOCAL: Authority = { host: "fe80::1", port: 443 };
const MULTICAST: Authority = { host: "224.0.0.1", port: 443 };
for (const [name, authority] of Object.entries({ LINK_LOCAL, MULTICAST })) {
  test(`dial() calls an address without a route unreachable: ${name}`, async () => {
    using dialler = upstreams({ authorities: [authority], connectTimeoutMs: 2_000 });
    const error = await assertRejects(() => dial(dialler), Refusal);
    assertEquals(error.kind, "upstream_unreachable");
  });
}

test("dial() closes a connection that has come out at the proxy itself", async () => {
  using upstream = new TestUpstream();
  using dialler = upstreams({ authorities: [upstream.authority], isSelf: () => true });
  const error = await assertRejects(() => dial(dialler), Refusal);
  assertEquals(error.kind, "upstream_is_proxy");
});

test("probes call an upstream down after two failures, and up again, once each", async () => {
  const upstream = new TestUpstream();
  const { authority } = upstream;
  const lines: { level: string; msg: string }[] = [];
  let wanted = Promise.withResolvers<void>();
  const log: UpstreamsOptions["log"] = (level, msg) => {
    lines.push({ level, msg });
    wanted.resolve();
  };
  void upstream.serve(() => Promise.resolve());
  using _dialler = upstreams({ authorities: [authority], probeIntervalMs: 10, log });
  upstream[Symbol.dispose]();
  await wanted.promise;
  wanted = Promise.withResolvers<void>();
  using again = new TestUpstream(authority.host, authority.port);
  void again.serve(() => Promise.resolve());
  await wanted.promise;
  assertEquals(lines, [
    { level: "error", msg: "upstream is down" },
    { level: "info", msg: "upstream is up again" },
  ]);
});

test("dial() tries an upstream that probes call down after the others", async () => {
  using first = new TestUpstream();
  using second = new TestUpstream();
  void second.serve(() => Promise.resolve());
  const down = Promise.withResolvers<void>();
  using dialler = upstreams({
    authorities: [first.authority, second.authority],
    probeIntervalMs: 10,
    log: (_level, msg) => msg === "upstream is down" && down.resolve(),
  });
  first.stopListening();
  await down.promise;
  assertEquals(await reached(dialler), second.authority);
});
