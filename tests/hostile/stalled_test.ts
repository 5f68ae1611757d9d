/** The defaults against each other: as many stalled tunnels as are let in fit in the chart's memory. */
import { assertEquals, assertLess, assertMatch } from "@std/assert";
import { ESTABLISHED, type Peer, TestUpstream } from "../harness/peers.ts";
import { headFor, many } from "../harness/crowd.ts";
import { MemoryLimit, whyNoMemoryLimit } from "../harness/memory_limit.ts";
import { testInNetwork } from "../harness/network.ts";
import { ProxyProcess } from "../harness/process.ts";
import { eventually } from "../harness/test.ts";
import { readSource } from "../sources.ts";
import { FLAGS } from "../../lib/config/flags.ts";

const VALUES = readSource("deploy/helm/api-server-proxy/values.yaml");
const LIMIT_MIB = Number(/limits:\n\s+memory: (\d+)Mi/.exec(VALUES)![1]);
const CONNECTIONS = Number(FLAGS["max-connections"].fallback);
/** Small ones in the kernel, so that what is held is the proxy's, and little is sent. */
const SMALL_SOCKET_BUFFERS = ["rmem", "wmem"]
  .map((name) => `sysctl -qw net.ipv4.tcp_${name}="4096 16384 65536"`).join("\n");

testInNetwork(
  `${CONNECTIONS} clients that do not read fit in the chart's memory limit of ${LIMIT_MIB} MiB`,
  import.meta.url,
  async () => {
    using upstream = new TestUpstream();
    const chunk = new Uint8Array(256 * 1024);
    let stalled = 0;
    const serving = upstream.serve(async (peer) => {
      // More than the kernel holds: the rest waits in the proxy, or here.
      for (let i = 0; i < 4; i++) await peer.write(chunk);
      stalled++;
    });
    const noLimit = await whyNoMemoryLimit();
    await using limit = noLimit === undefined
      ? await MemoryLimit.create(LIMIT_MIB * 2 ** 20)
      : undefined;
    {
      await using program = await ProxyProcess.start({
        prefix: limit?.prefix ?? [],
        flags: [
          `--upstream=127.0.0.1:${upstream.authority.port}`,
          "--log-open-after=0",
          // A probe is no client: it reads what it gets.
          "--probe=off",
        ],
      });
      const clients: Peer[] = [];
      await many(CONNECTIONS, async () => {
        const client = await program.connect(headFor(upstream.authority));
        clients.push(client);
        await client.readText(ESTABLISHED.length);
      });
      const bytes = async () => {
        const metrics = await program.metrics();
        return metrics.get('api_server_proxy_tunnel_bytes_total{direction="down"}')!;
      };
      // All is stalled once nothing moves any more.
      let last = -1;
      await eventually("everything stands", async () => {
        const before = last;
        last = await bytes();
        await new Promise((resolve) => setTimeout(resolve, 200));
        return before === last;
      }, true);
      assertEquals(stalled, 0, "an upstream has sent everything: it is not held back");
      const { residentBytes } = await program.usage();
      assertLess(residentBytes, LIMIT_MIB * 2 ** 20);
      console.log(
        "RSS MiB",
        residentBytes / 2 ** 20,
        "down",
        last,
        "peak",
        await limit?.peakBytes(),
      );
      assertMatch(await program.admin("/livez"), /^HTTP\/1.1 200 /);
      for (const client of clients) client.close();
    }
    upstream[Symbol.dispose]();
    await serving;
  },
  { setUp: SMALL_SOCKET_BUFFERS },
);
