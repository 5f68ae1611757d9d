import { assertEquals, assertThrows } from "@std/assert";
import { type Authority, formatAuthority } from "../../lib/protocol/authority.ts";
import { DialFailure } from "../../lib/proxy/dial_failure.ts";
import { Upstreams, type UpstreamsOptions } from "../../lib/proxy/upstreams.ts";
import { Metrics, MetricsLayout } from "../../lib/telemetry/metrics.ts";
import { TestUpstream } from "../harness/peers.ts";
import { test } from "../harness/test.ts";

const ANY: Authority = { host: "127.0.0.1", port: 1 };

function upstreams(options: Partial<UpstreamsOptions>): Upstreams {
  return new Upstreams({
    authorities: [],
    allowedAuthorities: [],
    connectTimeoutMs: 4_000,
    isSelf: () => false,
    log: () => {},
    metrics: new Metrics(
      new MetricsLayout({ upstream: (options.authorities ?? []).map(formatAuthority), peer: [] }),
    ),
    states: new Int32Array(options.authorities?.length ?? 0),
    ...options,
  });
}

/** Which upstream a dial reaches. */
async function reached(from: Upstreams, requested = ANY): Promise<Authority> {
  const { conn, candidate } = await from.dial(requested).connected;
  conn.close();
  return candidate.authority;
}

test("dial() reaches the first upstream while it is there", async () => {
  using first = new TestUpstream();
  using second = new TestUpstream();
  const dialler = upstreams({ authorities: [first.authority, second.authority] });
  assertEquals(await reached(dialler), first.authority);
  assertEquals(await reached(dialler), first.authority);
});

test("dial() goes to the next upstream when one refuses, and stays there", async () => {
  using first = new TestUpstream();
  using second = new TestUpstream();
  using third = new TestUpstream();
  const authorities = [first, second, third].map(({ authority }) => authority);
  const dialler = upstreams({ authorities });
  first.stopListening();
  assertEquals(await reached(dialler), second.authority);
  second.stopListening();
  assertEquals(await reached(dialler), third.authority);
  using _again = new TestUpstream("127.0.0.1", second.authority.port);
  assertEquals(await reached(dialler), third.authority);
});

test("dial() dials what is asked for when there are no upstreams", async () => {
  using upstream = new TestUpstream();
  const dialler = upstreams({ allowedAuthorities: [ANY, upstream.authority] });
  assertEquals(await reached(dialler, upstream.authority), upstream.authority);
});

test("dial() tries an upstream that probes call down after the others", async () => {
  using first = new TestUpstream();
  using second = new TestUpstream();
  const states = new Int32Array([-1, 0]);
  const dialler = upstreams({ authorities: [first.authority, second.authority], states });
  assertEquals(await reached(dialler), second.authority);
});

test("dial() tries upstreams in order when probes call all of them down", async () => {
  using first = new TestUpstream();
  using second = new TestUpstream();
  const states = new Int32Array([-1, -1]);
  const dialler = upstreams({ authorities: [first.authority, second.authority], states });
  assertEquals(await reached(dialler), first.authority);
});

test("dial() passes over an upstream that is an api-server-proxy, and refuses when all are", async () => {
  using first = new TestUpstream();
  using second = new TestUpstream();
  const authorities = [first.authority, second.authority];
  const one = upstreams({ authorities, states: new Int32Array([-2, -1]) });
  assertEquals(await reached(one), second.authority);
  const all = upstreams({ authorities, states: new Int32Array([-2, -2]) });
  const failure = assertThrows(() => all.dial(ANY), DialFailure);
  assertEquals([failure.kind, failure.cause], ["upstream_is_proxy", "ELOOP"]);
});
