import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { type Check, startAdmin } from "../../lib/telemetry/admin.ts";
import type { HttpServer } from "../../lib/telemetry/http_server.ts";
import { Peer } from "../harness/peers.ts";
import { test } from "../harness/test.ts";

const METRICS = "a_total 1\n";
const TUNNELS = "[]\n";

/** An admin server with checks that a test can let fail. */
class TestAdmin implements AsyncDisposable {
  readonly failures: Record<string, string | undefined> = {};
  readonly address: Deno.NetAddr;
  readonly #admin: HttpServer;

  constructor(metrics: () => Promise<string> = () => Promise.resolve(METRICS)) {
    const check = (name: string): Check => ({ name, failure: () => this.failures[name] });
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.address = listener.addr as Deno.NetAddr;
    this.#admin = startAdmin([listener], {
      checks: [check("shutdown"), { ...check("upstream"), informative: true }],
      metrics,
      tunnels: () => Promise.resolve(TUNNELS),
    });
  }

  async connect(text = ""): Promise<Peer> {
    const { hostname, port } = this.address;
    const peer = new Peer(await Deno.connect({ hostname, port }));
    await peer.write(text);
    return peer;
  }

  /** Sends one request and reads up to the end of the connection. */
  async ask(path: string, method = "GET", host = "admin") {
    using peer = await this.connect(
      `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
    );
    const text = await peer.readText();
    const end = text.indexOf("\r\n\r\n");
    return {
      status: Number(text.split(" ")[1]),
      head: text.slice(0, end),
      body: text.slice(end + 4),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#admin.close();
  }
}

const OK = [
  ["/livez", "ok"],
  ["/readyz", "ok"],
  ["/readyz/ping", "ok"],
  ["/readyz/shutdown", "ok"],
  ["/readyz/upstream", "ok"],
  [
    "/readyz?verbose=true",
    "[+]ping ok\n[+]shutdown ok\n[+]upstream ok (does not count)\nreadyz check passed\n",
  ],
  ["/livez?verbose", "[+]ping ok\nlivez check passed\n"],
  ["/readyz/shutdown?verbose", "[+]shutdown ok\nreadyz check passed\n"],
  ["/metrics", METRICS],
  ["/tunnels", TUNNELS],
] as const;

for (const [path, expected] of OK) {
  test(`startAdmin() answers GET and HEAD of ${path}`, async () => {
    await using test = new TestAdmin();
    const { status, body, head } = await test.ask(path);
    assertEquals({ status, body }, { status: 200, body: expected });
    assertMatch(head, /^cache-control: no-cache, no-store$/im);
    const headOnly = await test.ask(path, "HEAD");
    assertEquals({ status: headOnly.status, body: headOnly.body }, { status: 200, body: "" });
    assertMatch(headOnly.head, new RegExp(`^content-length: ${expected.length}\r?$`, "im"));
  });
}

for (
  const path of [
    ...["/", "//", "/favicon.ico", "/metrics/", "/metricsx", "/livez/", "/livez/upstream"],
    ...["/readyz/", "/readyz/nothing", "/readyz/upstream/x", "/readyz/%70ing"],
    ...["/constructor", "/__proto__", "/toString/x", "*"],
  ]
) {
  test(`startAdmin() answers 404 to ${path}`, async () => {
    await using test = new TestAdmin();
    const { status, body } = await test.ask(path, path === "*" ? "OPTIONS" : "GET");
    assertEquals(status, 404);
    assertMatch(
      body,
      /^not found: there are \/livez, \/readyz with \/readyz\/CHECK, \/metrics and \/tunnels\n$/,
    );
  });
}

for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"]) {
  test(`startAdmin() answers 405 to ${method}, and says what it takes`, async () => {
    await using test = new TestAdmin();
    for (const path of ["/livez", "/readyz/upstream", "/metrics"]) {
      const { status, head } = await test.ask(path, method);
      assertEquals(status, 405);
      assertMatch(head, /^allow: GET, HEAD$/im);
    }
  });
}

test("startAdmin() answers a client that speaks TLS, which would wait for it", async () => {
  await using test = new TestAdmin();
  using peer = await test.connect("\x16\x03\x01\x02");
  assertMatch(await peer.readText(), /^HTTP\/1\.1 400 /);
});

test("startAdmin() gives the content type that Prometheus asks for", async () => {
  await using test = new TestAdmin();
  const { head } = await test.ask("/metrics");
  assertMatch(head, /^content-type: text\/plain; version=0\.0\.4; charset=utf-8$/im);
});

for (const host of ["a b[", "a:99999", "%zz", "x/../y?z#"]) {
  test(`startAdmin() does not stumble over Host: ${host}`, async () => {
    await using test = new TestAdmin();
    const { status } = await test.ask("/readyz", "GET", host);
    // What HTTP itself refuses is not ours to judge.
    assert(status === 200 || status === 400 || status === 404, `${status}`);
  });
}

test("startAdmin() tells every check once one fails, each time anew", async () => {
  await using test = new TestAdmin();
  test.failures.shutdown = "shutting down";
  assertEquals(await test.ask("/readyz").then(({ status, body }) => ({ status, body })), {
    status: 503,
    body: "[+]ping ok\n[-]shutdown failed: shutting down\n[+]upstream ok (does not count)\n" +
      "readyz check failed\n",
  });
  assertEquals((await test.ask("/readyz/shutdown")).status, 503);
  assertEquals((await test.ask("/livez")).status, 200);
  test.failures.shutdown = undefined;
  assertEquals((await test.ask("/readyz")).status, 200);
});

test("startAdmin() tells an informative check that fails, but does not hang on it", async () => {
  await using test = new TestAdmin();
  test.failures.upstream = "nobody there";
  assertEquals((await test.ask("/readyz")).status, 200);
  const verbose = await test.ask("/readyz?verbose");
  assertEquals(verbose.status, 200);
  assertStringIncludes(verbose.body, "[-]upstream failed: nobody there (does not count)\n");
  const single = await test.ask("/readyz/upstream");
  assertEquals(single.status, 503);
  assertEquals(single.body, "[-]upstream failed: nobody there\nreadyz check failed\n");
});

test("startAdmin() answers 500 when there are no metrics, and prints nothing", async () => {
  const printed: unknown[] = [];
  const { error } = console;
  console.error = (...args: unknown[]) => void printed.push(args);
  try {
    await using test = new TestAdmin(() => Promise.reject(new Error("no numbers")));
    const { status, body } = await test.ask("/metrics");
    assertEquals({ status, body }, { status: 500, body: "failed: no numbers\n" });
    assertEquals((await test.ask("/livez")).status, 200);
    assertEquals(printed, []);
  } finally {
    console.error = error;
  }
});

/** Scrapers that would hold a server that waited for them. */
const SLOW: Record<string, (test: TestAdmin) => Promise<Peer>> = {
  "says nothing": (test) => test.connect(),
  "sends half a request": (test) => test.connect("GET /metrics HTTP/1.1\r\nHos"),
  "announces a body that never comes": (test) =>
    test.connect("POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"),
  "never reads": async (test) => {
    const peer = await test.connect();
    void peer.write("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2_000)).catch(() => {});
    return peer;
  },
};

for (const [what, connect] of Object.entries(SLOW)) {
  test(`startAdmin() serves others while a scraper ${what}, and ends without it`, async () => {
    const text = METRICS.repeat(5_000);
    await using test = new TestAdmin(() => Promise.resolve(text));
    using _first = await connect(test);
    using _second = await connect(test);
    for (let i = 0; i < 5; i++) assertEquals((await test.ask("/metrics")).body, text);
  });
}

test("startAdmin() leaves nothing behind when it is closed while a report is made", async () => {
  const asked = Promise.withResolvers<void>(), report = Promise.withResolvers<string>();
  {
    await using test = new TestAdmin(() => {
      asked.resolve();
      return report.promise;
    });
    using _peer = await test.connect("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    await asked.promise;
  }
  report.resolve(METRICS);
  // Its connection ends now.
  await new Promise((resolve) => setTimeout(resolve, 0));
});
