/** Upstreams by name, with name servers that are slow, broken or lead astray: what clients get. */
import { assertEquals, assertMatch } from "@std/assert";
import { DnsServer } from "../harness/dns_server.ts";
import { testInNetwork } from "../harness/network.ts";
import { CONNECT, ESTABLISHED, TestUpstream } from "../harness/peers.ts";
import { TestProxy } from "../harness/proxy.ts";

const FILE = import.meta.url;
const NAME = "api.example.net";
const SEARCH = "nameserver 127.0.0.1\nsearch wild.test\noptions ndots:5\n";

/** A proxy whose upstream is that name, at the port of a server. */
function proxyFor(host: string, upstream: TestUpstream, isAbsolute?: true): TestProxy {
  const { port } = upstream.authority;
  const authority = isAbsolute ? { host, port, isAbsolute } : { host, port };
  return new TestProxy({ upstreams: [authority] });
}

/** The status line of the answer to one request. */
async function ask(proxy: TestProxy): Promise<string> {
  using client = await proxy.connect(CONNECT);
  return (await client.readText(ESTABLISHED.length)).split("\r\n")[0]!;
}

testInNetwork(
  "a name server that is silent: 504 in time, one lookup, addresses as ever",
  FILE,
  async () => {
    using upstream = new TestUpstream();
    await using dns = new DnsServer({ [NAME]: { how: "silence" } });
    await using proxy = proxyFor(NAME, upstream);
    await using byAddress = new TestProxy({ upstreams: [upstream.authority] });
    const asked = Array.from({ length: 40 }, () => ask(proxy));
    assertMatch(await ask(byAddress), / 200 /);
    for (const answer of asked) assertMatch(await answer, / 504 /);
    // The lookup goes on: whoever comes now waits for its end, which is soon.
    assertMatch(await ask(proxy), / 502 /);
    assertEquals([dns.count(NAME, "A"), dns.count(NAME, "AAAA")], [1, 1]);
    const { cause, upstream: named } = await proxy.logged("refused");
    assertEquals([cause, named], ["ETIMEDOUT", `${NAME}:${upstream.authority.port}`]);
  },
  { resolvConf: "nameserver 127.0.0.1\noptions timeout:6 attempts:1\n" },
);

testInNetwork("a name server that fails: 502, and the log names the error", FILE, async () => {
  using upstream = new TestUpstream();
  await using _dns = new DnsServer({});
  await using proxy = proxyFor(NAME, upstream);
  assertMatch(await ask(proxy), / 502 Name of the API server /);
  assertEquals((await proxy.logged("refused")).cause, "ENOTFOUND");
});

testInNetwork("a name with a dead address: the next one is used", FILE, async () => {
  using upstream = new TestUpstream("127.0.0.9");
  await using _dns = new DnsServer({
    // Nobody listens at the first; the second swallows packets.
    [NAME]: { A: ["127.0.0.1", "192.0.2.1", "127.0.0.9"] },
  });
  await using proxy = proxyFor(NAME, upstream);
  for (let i = 0; i < 3; i++) assertMatch(await ask(proxy), / 200 /);
}, {
  setUp: "ip link add sink type dummy && ip addr add 192.0.2.2/24 dev sink && ip link set sink up",
});

testInNetwork(
  "a trailing dot makes the name absolute: no search list, no wildcard",
  FILE,
  async () => {
    using upstream = new TestUpstream("127.0.0.5");
    await using dns = new DnsServer({
      [NAME]: { A: ["127.0.0.5"] },
      [`${NAME}.wild.test`]: { A: ["127.0.0.6"] },
    });
    await using proxy = proxyFor(NAME, upstream, true);
    assertMatch(await ask(proxy), / 200 /);
    assertEquals(dns.count(`${NAME}.wild.test`), 0);
    await using relative = proxyFor(NAME, upstream);
    assertMatch(await ask(relative), / 502 /);
  },
  { resolvConf: SEARCH },
);

testInNetwork("short of ports: 503, the cause in the log", FILE, async () => {
  using upstream = new TestUpstream("127.0.0.5");
  await using proxy = new TestProxy({ upstreams: [upstream.authority] });
  using taken = new DisposableStack();
  for (let isFree = true; isFree;) {
    const conn = await Deno.connect({ hostname: "127.0.0.5", port: upstream.authority.port })
      .catch(() => undefined);
    isFree = conn !== undefined;
    if (conn !== undefined) taken.use(conn);
  }
  const answer = await ask(proxy);
  assertMatch(answer, / 503 API server proxy is short /);
  const { cause, upstream: named } = await proxy.logged("refused");
  assertEquals([cause, named], ["EADDRNOTAVAIL", `127.0.0.5:${upstream.authority.port}`]);
}, { setUp: "sysctl -qw net.ipv4.ip_local_port_range='40000 40020'" });

testInNetwork(
  "without --upstream, what is dialled is the name as the operator gave it",
  FILE,
  async () => {
    using upstream = new TestUpstream("127.0.0.5");
    await using dns = new DnsServer({ api: { A: ["127.0.0.5"] } });
    const { port } = upstream.authority;
    const allowed = { host: "api", port, isAbsolute: true } as const;
    await using proxy = new TestProxy({ upstreams: [], allowedAuthorities: [allowed] });
    using client = await proxy.connect(`CONNECT api:${port} HTTP/1.1\r\nHost: api:${port}\r\n\r\n`);
    assertEquals(await client.readText(ESTABLISHED.length), ESTABLISHED);
    assertEquals(dns.count("api.wild.test"), 0);
  },
  { resolvConf: SEARCH },
);
