/** Upstreams that are api-server-proxies: the probe sees it, and no client goes round in circles. */
import { assertMatch } from "@std/assert";
import { getAvailablePort } from "@std/net/get-available-port";
import { CONNECT } from "../harness/peers.ts";
import { testInNetwork } from "../harness/network.ts";
import { ProxyProcess } from "../harness/process.ts";
import { eventually, test } from "../harness/test.ts";

const LOOP = "HTTP/1.1 502 API server proxy would connect to itself\r\n";

async function statusLine(proxy: ProxyProcess): Promise<string> {
  using client = await proxy.connect(CONNECT);
  return await client.readText(LOOP.length);
}

test("two proxies that are each other's upstream find it out, and refuse with 502", async () => {
  const [first, second] = [getAvailablePort(), getAvailablePort()];
  await using one = await ProxyProcess.start({
    port: first,
    flags: [`--upstream=127.0.0.1:${second}`],
  });
  await using _two = await ProxyProcess.start({
    port: second,
    flags: [`--upstream=127.0.0.1:${first}`],
  });
  await eventually("the loop is seen", () => statusLine(one), LOOP);
  assertMatch(await one.admin("/readyz/upstream"), /^HTTP\/1.1 503 /);
});

testInNetwork(
  "a proxy whose upstream leads back to itself by DNAT finds it out, and refuses with 502",
  import.meta.url,
  async () => {
    await using proxy = await ProxyProcess.start({
      port: 18_118,
      flags: ["--upstream=10.99.0.1:443"],
    });
    await eventually("the loop is seen", () => statusLine(proxy), LOOP);
  },
  {
    setUp: "ip route add local 10.99.0.0/24 dev lo\n" +
      "iptables -t nat -A OUTPUT -d 10.99.0.1 -p tcp --dport 443 -j DNAT --to-destination 127.0.0.1:18118",
  },
);
