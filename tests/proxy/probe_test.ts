import { assertEquals, assertGreaterOrEqual, assertStringIncludes } from "@std/assert";
import { type Authority, formatAuthority } from "../../lib/protocol/authority.ts";
import { isDown, isProxy, isUp, Prober, type ProberOptions } from "../../lib/proxy/probe.ts";
import { CA, OTHER_CA, TlsServer } from "../harness/api_server.ts";
import { nobody, type Peer, TestUpstream } from "../harness/peers.ts";
import { TestProxy } from "../harness/proxy.ts";
import { eventually, test } from "../harness/test.ts";

/** A prober that looks again and again, and what it has logged. */
class Probing implements Disposable {
  readonly states: Int32Array;
  readonly lines: { level: string; msg: string; reason: unknown }[] = [];
  readonly looks: string[] = [];
  readonly #prober: Prober;

  constructor(authorities: readonly Authority[], options: Partial<ProberOptions> = {}) {
    this.states = new Int32Array(authorities.length);
    this.#prober = new Prober({
      authorities,
      probe: "readyz",
      upstreamCa: undefined,
      intervalMs: 10,
      isSelf: () => false,
      log: (level, msg, fields) => {
        const { reason } = fields as { reason?: string };
        if (level !== "debug") this.lines.push({ level, msg, reason });
      },
      onLook: (upstream) => this.looks.push(formatAuthority(upstream)),
      states: this.states,
      ...options,
    });
  }

  async until(check: (states: Int32Array, upstream: number) => boolean, upstream = 0) {
    await eventually(check.name, () => check(this.states, upstream), true);
  }

  /** Waits until the first upstream is down. @returns The reason. */
  async whyDown(): Promise<unknown> {
    await this.until(isDown);
    return this.lines.at(-1)!.reason;
  }

  [Symbol.dispose](): void {
    this.#prober.close();
  }
}

/** Serves what is no API server. */
function serving(handle: (peer: Peer) => Promise<void>): TestUpstream {
  const upstream = new TestUpstream();
  void upstream.serve(handle);
  return upstream;
}

for (const status of [200, 204, 401, 403]) {
  test(`an API server whose /readyz answers ${status} is up`, async () => {
    await using server = new TlsServer(status);
    using probing = new Probing([server.authority]);
    await probing.until(isUp);
    assertEquals(probing.lines, []);
    assertEquals(server.handshakeErrors, 0);
  });
}

test("a probe asks for /readyz without credentials, and ends the connection in order", async () => {
  await using server = new TlsServer();
  using probing = new Probing([server.authority], { intervalMs: 60_000 });
  await probing.until(isUp);
  const [request = "", ...more] = server.requests;
  assertEquals(more, []);
  assertEquals(request.split("\r\n").toSorted(), [
    ...["", "", "Accept: */*", "Connection: close", "GET /readyz HTTP/1.1"],
    `Host: ${formatAuthority(server.authority)}`,
    "User-Agent: api-server-proxy",
  ]);
});

for (const status of [500, 503, 302, 404, 429]) {
  test(`an API server whose /readyz answers ${status} is down after two failures`, async () => {
    await using server = new TlsServer(status);
    using probing = new Probing([server.authority]);
    assertEquals(await probing.whyDown(), `GET /readyz answers ${status}`);
    // Two looks, and whichever came before this test went on.
    assertGreaterOrEqual(server.requests.length, 2);
    assertEquals(probing.lines.map(({ level, msg }) => [level, msg]), [
      ["warn", "upstream probe failed"],
      ["error", "upstream is down"],
    ]);
  });
}

test("an upstream that is down is reported once, and once that it is up again", async () => {
  await using server = new TlsServer(500);
  using probing = new Probing([server.authority]);
  await probing.until(isDown);
  await eventually("it was looked at often", () => probing.looks.length > 5, true);
  server.status = 200;
  await probing.until(isUp);
  assertEquals(probing.lines.map(({ level, msg }) => [level, msg]), [
    ["warn", "upstream probe failed"],
    ["error", "upstream is down"],
    ["info", "upstream is up again"],
  ]);
});

test("one failure alone does not make an upstream down", async () => {
  await using server = new TlsServer();
  server.answerOnce(500);
  using probing = new Probing([server.authority]);
  await probing.until(isUp);
  server.answerOnce(500);
  await eventually("it was looked at again", () => server.requests.length >= 6, true);
  assertEquals(probing.lines.map(({ level, msg }) => [level, msg]), [
    ["warn", "upstream probe failed"],
    ["warn", "upstream probe failed"],
  ]);
});

const REASONS: readonly [name: string, (peer: Peer) => Promise<void>, reason: string][] = [
  ["speaks HTTP", async (peer) => {
    await peer.conn.read(new Uint8Array(1_000));
    await peer.write("HTTP/1.0 400 Bad Request\r\n\r\n");
    await peer.closeWrite();
  }, "it speaks no TLS"],
  ["speaks TLS 1.0", async (peer) => {
    await peer.conn.read(new Uint8Array(1_000));
    // An alert (RFC 5246 §7.2): fatal, protocol_version.
    await peer.write(new Uint8Array([21, 3, 1, 0, 2, 2, 70]));
    await peer.readAll();
  }, "it speaks no TLS of version 1.2 or newer"],
  [
    "closes at once",
    async () => {},
    "it closes the connection before the TLS handshake is complete",
  ],
];
for (const [name, handle, reason] of REASONS) {
  test(`an upstream that ${name} is down, and the log says why`, async () => {
    using upstream = serving(handle);
    using probing = new Probing([upstream.authority]);
    assertEquals(await probing.whyDown(), reason);
  });
}

test("an upstream that refuses connections is down, and the log says why", async () => {
  using probing = new Probing([nobody()]);
  assertEquals(await probing.whyDown(), "API server refused the connection (ECONNREFUSED)");
});

test("an upstream that says nothing gets no answer within 5 s, and one behind it is not waited for", async () => {
  using hanging = serving(async (peer) => void await peer.readAll());
  await using server = new TlsServer();
  using probing = new Probing([hanging.authority, server.authority]);
  await probing.until(isUp, 1);
  assertEquals(await probing.whyDown(), "no answer within 5 s");
});

test("with a CA, an upstream is up if its certificate is signed by it, whatever its name", async () => {
  await using server = new TlsServer();
  using probing = new Probing([server.authority], { upstreamCa: CA });
  await probing.until(isUp);
});

test("with a CA, another server is down, and its handshake is completed all the same", async () => {
  await using server = new TlsServer();
  using probing = new Probing([server.authority], { upstreamCa: OTHER_CA });
  assertEquals(await probing.whyDown(), "its certificate is not signed by --upstream-ca");
  assertEquals(server.handshakeErrors, 0);
});

test("an upstream that is an api-server-proxy is found at once", async () => {
  await using proxy = new TestProxy({});
  using probing = new Probing([proxy.authority], { intervalMs: 60_000 });
  await probing.until(isProxy);
  assertEquals(isDown(probing.states, 0), true);
  assertStringIncludes(String(probing.lines.at(-1)!.reason), "is an api-server-proxy");
});

test("probe tcp: whoever accepts is up, and who does not is down", async () => {
  using hanging = serving(async (peer) => void await peer.readAll());
  using probing = new Probing([hanging.authority, nobody()], { probe: "tcp" });
  await probing.until(isUp, 0);
  await probing.until(isDown, 1);
});

test("probe tcp: our own listener is no upstream", async () => {
  using upstream = serving(async (peer) => void await peer.readAll());
  using probing = new Probing([upstream.authority], { probe: "tcp", isSelf: () => true });
  await probing.until(isDown);
});

test("probe off: nothing is looked at", async () => {
  await using server = new TlsServer();
  using probing = new Probing([server.authority], { probe: "off" });
  await new Promise((resolve) => setTimeout(resolve, 100));
  assertEquals([probing.looks, server.requests], [[], []]);
});
