/** Clients that have a name: by a secret, or by the block that their address is in. */
import { assertEquals, assertFalse, assertMatch } from "@std/assert";
import type { Config } from "../../lib/config/config.ts";
import { CONNECT, ESTABLISHED, TestUpstream } from "../harness/peers.ts";
import { TestProxy } from "../harness/proxy.ts";
import { test } from "../harness/test.ts";

const SECRETS = { cl01: ["first secret", "second secret"], cl02: ["another secret"] };

const credentials = await Promise.all(
  Object.entries(SECRETS).flatMap(([name, secrets]) =>
    secrets.map(async (secret) => {
      const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(secret));
      return { name, sha256: new Uint8Array(hash).toHex() };
    })
  ),
);

function connectAs(name: string, secret: string): string {
  const field = `Proxy-Authorization: Basic ${btoa(`${name}:${secret}`)}\r\n`;
  return CONNECT.replace("\r\n\r\n", `\r\n${field}\r\n`);
}

function proxyFor(upstream: TestUpstream, config: Partial<Config> = {}): TestProxy {
  return new TestProxy({ upstreams: [upstream.authority], credentials, ...config });
}

const [FIRST = "", SECOND = ""] = SECRETS.cl01, [OTHER = ""] = SECRETS.cl02;

test("proxy serves a client with a secret of its name, and logs and counts it as that peer", async () => {
  using upstream = new TestUpstream();
  await using proxy = proxyFor(upstream);
  using one = await proxy.connect(connectAs("cl01", FIRST));
  assertEquals(await one.readText(ESTABLISHED.length), ESTABLISHED);
  using two = await proxy.connect(connectAs("cl01", SECOND));
  assertEquals(await two.readText(ESTABLISHED.length), ESTABLISHED);
  using three = await proxy.connect(connectAs("cl02", OTHER));
  assertEquals(await three.readText(ESTABLISHED.length), ESTABLISHED);
  const accepted = [await upstream.accept(), await upstream.accept(), await upstream.accept()];
  assertEquals(proxy.metric('peer_tunnels_active{peer="cl01"}'), 2);
  assertEquals(proxy.metric('peer_tunnels_active{peer="cl02"}'), 1);
  const live = proxy.proxy.listTunnels().map(({ peer }) => peer);
  assertEquals(live.toSorted(), ["cl01", "cl01", "cl02"]);
  for (const peer of [one, two, three, ...accepted]) peer.close();
  await proxy.logged("tunnel", 3);
  const ended = proxy.lines.filter(({ msg }) => msg === "tunnel").map(({ peer }) => peer);
  assertEquals(ended.toSorted(), ["cl01", "cl01", "cl02"]);
});

test("proxy answers 407 to a client without a secret, at once, and takes its slot back", async () => {
  using upstream = new TestUpstream();
  await using proxy = proxyFor(upstream, { maxConnections: 1 });
  for (const head of [CONNECT, connectAs("cl01", FIRST).replace("Basic", "Digest")]) {
    using client = await proxy.connect(head);
    const answer = await client.readText();
    assertMatch(answer, /^HTTP\/1.1 407 Credentials for the API server proxy missing\r\n/);
    assertMatch(answer, /\r\nProxy-Authenticate: Basic realm="api-server-proxy"\r\n/);
  }
  using good = await proxy.connect(connectAs("cl01", FIRST));
  assertEquals(await good.readText(ESTABLISHED.length), ESTABLISHED);
});

test("proxy answers a wrong secret after a pause, in which the client holds no slot", async () => {
  using upstream = new TestUpstream();
  await using proxy = proxyFor(upstream, { maxConnections: 1 });
  using wrong = await proxy.connect(connectAs("cl01", OTHER));
  let isAnswered = false;
  const answer = wrong.readText().finally(() => isAnswered = true);
  assertEquals((await proxy.logged("refused")).status, 407);
  using good = await proxy.connect(connectAs("cl01", FIRST));
  assertEquals(await good.readText(ESTABLISHED.length), ESTABLISHED);
  assertFalse(isAnswered, "the wrong secret was answered before");
  assertMatch(await answer, /^HTTP\/1.1 407 Credentials not accepted by the API server proxy\r\n/);
});

test("proxy ends at once though clients wait for the answer to a wrong secret", async () => {
  using upstream = new TestUpstream();
  await using proxy = proxyFor(upstream);
  using wrong = await proxy.connect(connectAs("cl01", OTHER));
  await proxy.logged("refused");
  proxy.proxy.cut();
  await proxy.proxy.finished;
  assertEquals(await wrong.readText(), "");
});

test("proxy has no secret in its log, whatever it answers", async () => {
  using upstream = new TestUpstream();
  await using proxy = proxyFor(upstream, { allowedAuthorities: [{ host: "else", port: 1 }] });
  for (const secret of [FIRST, "not the secret"]) {
    using client = await proxy.connect(connectAs("cl01", secret));
    await client.readText();
  }
  const log = JSON.stringify(proxy.lines);
  for (const part of [FIRST, "not the secret", btoa("cl01:").slice(0, 5)]) {
    assertFalse(log.includes(part), log);
  }
});

test("proxy counts the connections of a peer by its name, and those without a secret for nobody", async () => {
  using upstream = new TestUpstream();
  await using proxy = proxyFor(upstream, { maxConnectionsPerSource: 1 });
  using silent = await proxy.connect("CONN");
  using one = await proxy.connect(connectAs("cl01", FIRST));
  assertEquals(await one.readText(ESTABLISHED.length), ESTABLISHED);
  using second = await proxy.connect(connectAs("cl01", SECOND));
  assertMatch(await second.readText(), /^HTTP\/1.1 503 /);
  using other = await proxy.connect(connectAs("cl02", OTHER));
  assertEquals(await other.readText(ESTABLISHED.length), ESTABLISHED);
  for (const client of [one, other]) client.close();
  for (let i = 0; i < 2; i++) (await upstream.accept()).close();
  await proxy.logged("tunnel", 2);
  using next = await proxy.connect(connectAs("cl01", FIRST));
  assertEquals(await next.readText(ESTABLISHED.length), ESTABLISHED);
  next.close();
  (await upstream.accept()).close();
  await proxy.logged("tunnel", 3);
  silent.close();
});

test("proxy dials nothing for a client that is cut while its secret is being checked", async () => {
  using upstream = new TestUpstream();
  const proxy = proxyFor(upstream);
  const { subtle } = crypto, { digest } = subtle;
  const begun = Promise.withResolvers<void>(), goOn = Promise.withResolvers<void>();
  const checks: Promise<ArrayBuffer>[] = [];
  subtle.digest = (...args) => {
    begun.resolve();
    const check = goOn.promise.then(() => digest.apply(subtle, args));
    checks.push(check);
    return check;
  };
  try {
    using client = await proxy.connect(connectAs("cl01", FIRST));
    await begun.promise;
    await proxy[Symbol.asyncDispose]();
    goOn.resolve();
    await Promise.all(checks);
    await client.readText();
    assertEquals(proxy.lines.filter(({ msg }) => msg === "dialling"), []);
  } finally {
    subtle.digest = digest;
  }
});

test("proxy names a client by its secret before the block that its address is in, by that without one", async () => {
  using upstream = new TestUpstream();
  await using proxy = proxyFor(upstream, {
    allowFrom: [{ address: "127.0.0.0", prefixBits: 8, peer: "here" }],
  });
  using refused = await proxy.connect(CONNECT);
  assertMatch(await refused.readText(), /^HTTP\/1.1 407 /);
  assertEquals((await proxy.logged("refused")).peer, "here");
  using known = await proxy.connect(connectAs("cl01", FIRST));
  assertEquals(await known.readText(ESTABLISHED.length), ESTABLISHED);
  assertEquals(proxy.metric('peer_tunnels_active{peer="cl01"}'), 1);
  assertEquals(proxy.metric('peer_tunnels_active{peer="here"}'), 0);
  known.close();
  (await upstream.accept()).close();
  assertEquals((await proxy.logged("tunnel")).peer, "cl01");
});

test("proxy knows a peer by the block that its address is in, where no secret is asked for", async () => {
  using upstream = new TestUpstream();
  await using proxy = proxyFor(upstream, {
    credentials: [],
    allowFrom: [{ address: "127.0.0.0", prefixBits: 8, peer: "here" }],
  });
  using tunnel = await proxy.tunnel(upstream);
  assertEquals(proxy.metric('peer_tunnels_active{peer="here"}'), 1);
  tunnel.client.close();
  tunnel.upstream.close();
  assertEquals((await proxy.logged("tunnel")).peer, "here");
});
