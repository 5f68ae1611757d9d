import { assertEquals, assertGreater, assertMatch, assertStringIncludes } from "@std/assert";
import { Metrics, MetricsLayout, reportMetrics } from "../../lib/telemetry/metrics.ts";
import { REFUSALS } from "../../lib/protocol/refusal.ts";
import { CONNECT, nobody, TestUpstream } from "../harness/peers.ts";
import { NO_READINGS, sampleOf } from "../harness/proxy.ts";
import { test } from "../harness/test.ts";
import { TestServer } from "../harness/server.ts";

const LAYOUT = new MetricsLayout({ upstream: ["a:1"], peer: [] });

/** Name, type and the names of the labels, of everything that a whole server tells. */
const EXPECTED = [
  "api_server_proxy_connections_total counter",
  "api_server_proxy_connections_active gauge",
  "api_server_proxy_requests_total counter code",
  "api_server_proxy_refusals_total counter error",
  "api_server_proxy_limit_refusals_total counter limit",
  "api_server_proxy_tunnels_active gauge",
  "api_server_proxy_peer_tunnels_active gauge peer",
  "api_server_proxy_tunnel_bytes_total counter direction",
  "api_server_proxy_connect_duration_seconds histogram le",
  "api_server_proxy_upstream_connects_total counter upstream,result",
  "api_server_proxy_upstream_probe_duration_seconds histogram upstream,le",
  "api_server_proxy_first_byte_duration_seconds histogram le",
  "api_server_proxy_tunnel_duration_seconds histogram le",
  "api_server_proxy_accept_errors_total counter",
  "api_server_proxy_event_loop_lag_seconds gauge",
  "api_server_proxy_connections_limit gauge",
  "api_server_proxy_upstream_up gauge upstream",
  "api_server_proxy_draining gauge",
  "api_server_proxy_workers gauge",
  "api_server_proxy_worker_restarts_total counter",
  "api_server_proxy_build_info gauge version,deno",
  "process_cpu_seconds_total counter",
  "process_resident_memory_bytes gauge",
  "process_start_time_seconds gauge",
];

/** What a report has, in the form of {@linkcode EXPECTED}. */
function familiesOf(report: string): string[] {
  return report.split(/^(?=# HELP )/m).map((family) => {
    const [, name = "", type = ""] = /^# HELP (\S+) \S.*\.\n# TYPE \1 (\S+)\n/.exec(family) ?? [];
    const samples = family.split("\n").slice(2).filter((line) => line !== "");
    assertGreater(samples.length, 0, family);
    const labels = new Set<string>();
    for (const sample of samples) {
      assertMatch(sample, new RegExp(`^${name}(_bucket|_sum|_count)?(\\{[^}]*\\})? [\\d.e+-]+$`));
      for (const [, label = ""] of sample.matchAll(/(\w+)="/g)) labels.add(label);
    }
    return [name, type, [...labels].join(",")].join(" ").trim();
  });
}

function flagsFor(upstream: TestUpstream, ...more: string[]): string[] {
  return [`--upstream=127.0.0.1:${upstream.authority.port}`, ...more];
}

test("/metrics has every name with its help, type and labels, and no other", async () => {
  using upstream = new TestUpstream();
  await using test = await TestServer.start(flagsFor(upstream, "--allow-from=cl01=127.0.0.0/8"));
  const { status, body } = await test.get("/metrics");
  assertEquals(status, 200);
  assertEquals(familiesOf(body), EXPECTED);
});

test("/metrics counts the bytes of live tunnels, each way", async () => {
  using upstream = new TestUpstream();
  await using test = await TestServer.start(flagsFor(upstream));
  using tunnel = await test.tunnel(upstream);
  await tunnel.client.write("up".repeat(50));
  await tunnel.upstream.read(100);
  await tunnel.upstream.write("down");
  await tunnel.client.read(4);
  await test.metricIs('tunnel_bytes_total{direction="up"}', 100);
  await test.metricIs('tunnel_bytes_total{direction="down"}', 4);
  assertEquals(await test.metric("tunnels_active"), 1);
  assertEquals(await test.metric("tunnel_duration_seconds_count"), 0);
});

test("/metrics: what is active goes back to zero, what was counted stays", async () => {
  using upstream = new TestUpstream();
  await using test = await TestServer.start(flagsFor(upstream));
  for (let i = 0; i < 3; i++) (await test.tunnel(upstream))[Symbol.dispose]();
  await test.metricIs("tunnels_active", 0);
  await test.metricIs("connections_active", 0);
  const { body } = await test.get("/metrics");
  for (
    const sample of [
      "connections_total",
      'requests_total{code="200"}',
      "connect_duration_seconds_count",
      "tunnel_duration_seconds_count",
      'tunnel_duration_seconds_bucket{le="+Inf"}',
    ]
  ) assertEquals(sampleOf(body, sample), 3, sample);
});

const REFUSED = [
  ["a malformed head", "CONNECT\r\n\r\n", "400", "http_request_error"],
  ["another method", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "405", "http_request_error"],
  ["an authority that is not allowed", CONNECT, "403", "http_request_denied"],
  ["another version", "CONNECT a:1 HTTP/3.0\r\n\r\n", "505", "http_protocol_error"],
] as const;

for (const [what, head, code, error] of REFUSED) {
  test(`/metrics counts ${what} under ${code} and ${error}`, async () => {
    using upstream = new TestUpstream();
    await using test = await TestServer.start(flagsFor(upstream, "--allowed-hosts=else:443"));
    {
      using client = await test.connect(head);
      assertStringIncludes(await client.readText(), `HTTP/1.1 ${code} `);
    }
    assertEquals(await test.metric(`requests_total{code="${code}"}`), 1);
    assertEquals(await test.metric(`refusals_total{error="${error}"}`), 1);
    assertEquals(await test.metric('requests_total{code="200"}'), 0);
  });
}

test("/metrics counts an upstream that refuses under 502", async () => {
  const { host, port } = nobody();
  await using test = await TestServer.start([`--upstream=${host}:${port}`]);
  using client = await test.connect(CONNECT);
  await client.readText();
  assertEquals(await test.metric('requests_total{code="502"}'), 1);
  assertEquals(await test.metric('refusals_total{error="connection_refused"}'), 1);
  assertEquals(await test.metric("connect_duration_seconds_count"), 0);
});

test("/metrics: nothing that a client sends becomes a label or a line", async () => {
  using upstream = new TestUpstream();
  await using test = await TestServer.start(flagsFor(upstream, "--allowed-hosts=else:443"));
  const before = (await test.get("/metrics")).body.split("\n").length;
  for (
    const head of [
      "CONNECT forged:1 HTTP/1.1\r\nHost: forged:1\r\n\r\n",
      "FORGED x HTTP/1.1\r\nHost: forged\r\n\r\n",
      'CONNECT forged"}:1 HTTP/1.1\r\nforged: forged\r\n\r\n',
      "CONNECT a:1 FORGED/9.9\r\n\r\n",
    ]
  ) {
    using client = await test.connect(head);
    await client.readText();
  }
  const { body } = await test.get("/metrics");
  assertEquals(body.match(/forged/i), null);
  assertEquals(body.split("\n").length, before);
});

test("reportMetrics() has every status and error that can occur, at zero from the start", () => {
  const report = reportMetrics([new Metrics(LAYOUT)], NO_READINGS);
  const codes = [...report.matchAll(/requests_total\{code="(\d+)"\} 0/g)].map(([, code]) => code);
  const errors = [...report.matchAll(/refusals_total\{error="(\w+)"\} 0/g)].map(([, name]) => name);
  const refusals = Object.values(REFUSALS);
  assertEquals(new Set(codes), new Set(["200", ...refusals.map(({ status }) => `${status}`)]));
  assertEquals(new Set(errors), new Set(refusals.map(({ error }) => error)));
  assertEquals([codes.length, errors.length], [new Set(codes).size, new Set(errors).size]);
});

test("a histogram counts a bound itself into its bucket, and all into +Inf", () => {
  const metrics = new Metrics(LAYOUT);
  for (const seconds of [0.0001, 0.0005, 0.0006, 1, 30, 31, 1e9]) {
    metrics.observe("connect_duration_seconds", seconds);
  }
  const report = reportMetrics([metrics], NO_READINGS);
  const bucket = (le: string) => sampleOf(report, `connect_duration_seconds_bucket{le="${le}"}`);
  assertEquals([bucket("0.0005"), bucket("0.001"), bucket("0.5")], [2, 3, 3]);
  assertEquals([bucket("1"), bucket("30"), bucket("+Inf")], [4, 5, 7]);
  assertEquals(sampleOf(report, "connect_duration_seconds_count"), 7);
  assertEquals(sampleOf(report, "connect_duration_seconds_sum"), 1e9 + 62.0012);
});

test("buckets go up, from half a millisecond to 30 s and from 10 ms to days", () => {
  const report = reportMetrics([new Metrics(LAYOUT)], NO_READINGS);
  const bounds = (name: string) =>
    [...report.matchAll(new RegExp(`${name}_bucket\\{le="([\\d.]+)"\\}`, "g"))].map(([, le]) =>
      Number(le)
    );
  for (
    const [name, first, last] of [
      ["connect_duration_seconds", 0.0005, 30],
      ["tunnel_duration_seconds", 0.01, 7 * 86_400],
    ] as const
  ) {
    const found = bounds(name);
    assertEquals([found[0], found.at(-1)], [first, last]);
    assertEquals(found, found.toSorted((a, b) => a - b));
  }
});

test("reportMetrics() adds workers up, but takes the worst lag", () => {
  const workers = [new Metrics(LAYOUT), new Metrics(LAYOUT), new Metrics(LAYOUT)];
  workers.forEach((metrics, i) => {
    metrics.add("connections_total", i + 1);
    metrics.add("tunnels_active", i);
    metrics.add("tunnel_bytes_total", 10 ** i, "down");
    metrics.observe("tunnel_duration_seconds", 60 * i);
    metrics.set("event_loop_lag_seconds", i === 1 ? 0.75 : 0.25);
  });
  const report = reportMetrics(workers, NO_READINGS);
  assertEquals(sampleOf(report, "connections_total"), 6);
  assertEquals(sampleOf(report, "tunnels_active"), 3);
  assertEquals(sampleOf(report, 'tunnel_bytes_total{direction="down"}'), 111);
  assertEquals(sampleOf(report, 'tunnel_bytes_total{direction="up"}'), 0);
  assertEquals(sampleOf(report, 'tunnel_duration_seconds_bucket{le="60"}'), 2);
  assertEquals(sampleOf(report, "tunnel_duration_seconds_sum"), 180);
  assertEquals(sampleOf(report, "event_loop_lag_seconds"), 0.75);
});

test("resetGauges() forgets what was going on, not what was counted", () => {
  const metrics = new Metrics(LAYOUT);
  metrics.add("connections_total", 5);
  metrics.add("connections_active", 3);
  metrics.add("tunnels_active", 2);
  metrics.observe("connect_duration_seconds", 1);
  metrics.resetGauges();
  const report = reportMetrics([metrics], NO_READINGS);
  assertEquals(sampleOf(report, "connections_total"), 5);
  assertEquals(sampleOf(report, "connect_duration_seconds_count"), 1);
  assertEquals(sampleOf(report, "connections_active"), 0);
  assertEquals(sampleOf(report, "tunnels_active"), 0);
});

test("reportMetrics() escapes label values", () => {
  const readings = {
    ...NO_READINGS,
    api_server_proxy_upstream_up: [{ labels: { upstream: 'a"b\\c\nd' }, value: 1 }],
  };
  assertStringIncludes(
    reportMetrics([new Metrics(LAYOUT)], readings),
    '\napi_server_proxy_upstream_up{upstream="a\\"b\\\\c\\nd"} 1\n',
  );
});
