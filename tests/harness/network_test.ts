/** The test's own network, and its name server as a resolver sees it. */
import { assertEquals, assertRejects } from "@std/assert";
import { DnsServer } from "./dns_server.ts";
import { testInNetwork } from "./network.ts";
import { TestUpstream } from "./peers.ts";

const FILE = import.meta.url;

/** Connects by name, as the proxy does. @returns The address that was reached. */
async function reach(hostname: string, port: number): Promise<string> {
  using conn = await Deno.connect({ hostname, port });
  return conn.remoteAddr.hostname;
}

testInNetwork("a network has its own names, and both types are asked for", FILE, async () => {
  using upstream = new TestUpstream("127.0.0.5");
  await using dns = new DnsServer({ "api.example.net": { A: ["127.0.0.5"] } });
  assertEquals(await reach("api.example.net", upstream.authority.port), "127.0.0.5");
  await dns.asked("api.example.net", 2);
  assertEquals([dns.count("api.example.net", "A"), dns.count("api.example.net", "AAAA")], [1, 1]);
});

testInNetwork("a name leads to another one, and to an IPv6 address", FILE, async () => {
  using upstream = new TestUpstream("::1");
  await using _dns = new DnsServer({
    "api.example.net": { CNAME: "real.example.net" },
    "real.example.net": { AAAA: ["::1"] },
  });
  assertEquals(await reach("api.example.net", upstream.authority.port), "::1");
});

testInNetwork("an answer that is truncated is asked for again by TCP", FILE, async () => {
  using upstream = new TestUpstream("127.0.0.5");
  await using dns = new DnsServer({ "api.example.net": { A: ["127.0.0.5"], how: "truncated" } });
  assertEquals(await reach("api.example.net", upstream.authority.port), "127.0.0.5");
  const transports = new Set(dns.queries.map(({ transport }) => transport));
  assertEquals(transports, new Set(["udp", "tcp"]));
});

for (const how of ["SERVFAIL", "REFUSED", "NXDOMAIN"] as const) {
  testInNetwork(`a name that gets ${how} is not found`, FILE, async () => {
    await using _dns = new DnsServer({ "api.example.net": { how } });
    await assertRejects(() => reach("api.example.net", 1), Error, "lookup");
  });
}

testInNetwork("silence and delays are for one type where that is given", FILE, async () => {
  using upstream = new TestUpstream("127.0.0.5");
  await using dns = new DnsServer({
    "late.example.net": { A: ["127.0.0.5"], delayMs: 50, only: "A" },
    "half.example.net": { A: ["127.0.0.5"], how: "silence", only: "AAAA" },
    "silent.example.net": { A: ["127.0.0.5"], how: "silence" },
  });
  const { port } = upstream.authority;
  assertEquals(await reach("late.example.net", port), "127.0.0.5");
  // The resolver gives up on one type, and takes what it has of the other.
  assertEquals(await reach("half.example.net", port), "127.0.0.5");
  await assertRejects(() => reach("silent.example.net", port), Error, "lookup");
  await dns.asked("half.example.net", 1, "AAAA");
}, { resolvConf: "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n" });

testInNetwork("the search list is used, with a wildcard", FILE, async () => {
  using upstream = new TestUpstream("127.0.0.5");
  await using dns = new DnsServer({ "*.example.net": { A: ["127.0.0.5"] } });
  assertEquals(await reach("api", upstream.authority.port), "127.0.0.5");
  assertEquals(dns.count("api"), 0);
}, { resolvConf: "nameserver 127.0.0.1\nsearch example.net\noptions ndots:5\n" });

testInNetwork("a network has hosts and settings of its own", FILE, async () => {
  using upstream = new TestUpstream("127.0.0.7");
  assertEquals(await reach("seven", upstream.authority.port), "127.0.0.7");
  using conn = await Deno.connect({ hostname: "seven", port: upstream.authority.port });
  assertEquals((conn.localAddr as Deno.NetAddr).port >= 40_000, true);
}, {
  hosts: "127.0.0.7 seven\n",
  setUp: "echo 40000 40099 > /proc/sys/net/ipv4/ip_local_port_range",
});
