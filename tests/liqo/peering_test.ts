/** Two clusters peered in-band by Liqo's own controllers through the proxy, and what breaks it. */
import { assertEquals, assertGreater, assertNotEquals } from "@std/assert";
import { find, missing } from "../deploy/tools.ts";
import { HELM } from "../deploy/helm.ts";
import { ProxyProcess } from "../harness/process.ts";
import { test } from "../harness/test.ts";
import { LiqoCluster, peer } from "./liqo_cluster.ts";

const skip = missing({ helm: HELM !== undefined, go: find("go") !== undefined });

const CONSUMER = "cl01";
const PROVIDER = "cl02";

/** Waits for the consumer's condition of its peer. @returns How long that took. */
async function reaches(consumer: LiqoCluster, status: string): Promise<number> {
  const startMs = performance.now();
  await consumer.waitForApiServer(PROVIDER, status);
  return Math.round(performance.now() - startMs);
}

/** The line of Liqo's log, from that number on, that gives this cause of a failed check. */
async function failure(consumer: LiqoCluster, start: number, cause: string): Promise<string> {
  return await consumer.log.until(() =>
    consumer.log.all.slice(start).find((line) =>
      line.includes("readiness check failed") && line.includes(cause)
    )
  );
}

test("a peering through the proxy goes through and recovers from each failure", async () => {
  const starts = [CONSUMER, PROVIDER].map(async (name) => {
    const liqo = await LiqoCluster.start(name);
    await liqo.installLiqo();
    await liqo.startControllers();
    return liqo;
  });
  const clusters = await Promise.all(starts) as [LiqoCluster, LiqoCluster];
  await using consumer = clusters[0];
  await using provider = clusters[1];
  const remapped = await provider.remapped();
  const kubeconfigs = [consumer.kubeconfig, provider.kubeconfig];

  const address = (await peer(["connect", ...kubeconfigs])).trim();
  assertNotEquals(address, remapped);
  const flags = ["--upstream", provider.cluster.address, "--drain-timeout=5s"];
  let proxy = await ProxyProcess.start({ host: address, flags });
  try {
    const port = proxy.authority.port;
    await peer(["authenticate", ...kubeconfigs, proxy.url]);
    await peer(["slice", consumer.kubeconfig, PROVIDER, "first"]);
    console.log(`Established after ${await reaches(consumer, "Established")} ms`);

    const { upstream, authority } = await proxy.logged("tunnel");
    assertEquals([upstream, authority], [provider.cluster.address, "kubernetes.default.svc:443"]);
    const metrics = await proxy.metrics();
    assertGreater(metrics.get("api_server_proxy_tunnels_active") ?? 0, 0);

    /** Something breaks: a slice made meanwhile is answered once it is whole again. */
    const survive = async (
      what: string,
      breakIt: () => Promise<void>,
      cause: string,
      mendIt: () => Promise<void>,
    ) => {
      const start = consumer.log.all.length;
      await breakIt();
      await failure(consumer, start, cause);
      const errorMs = await reaches(consumer, "Error");
      const slice = peer(["slice", consumer.kubeconfig, PROVIDER, what]);
      const mendMs = performance.now();
      await mendIt();
      await reaches(consumer, "Established");
      const establishedMs = Math.round(performance.now() - mendMs);
      // An API server that starts refuses what its roles allow, for a moment. Liqo's replicator takes
      // that for the provider's will, and does no more about the resource until it changes.
      if (
        consumer.replicatorLog.all.some((line) => line.includes("permission removed by provider"))
      ) {
        const change = ["annotate", "resourceslices.authentication.liqo.io", what, "changed=true"];
        await consumer.kubectl.output([...change, `-nliqo-tenant-${PROVIDER}`]);
      }
      await slice;
      console.log(`${what}: Error after ${errorMs} ms, Established ${establishedMs} ms after`);
    };

    await survive(
      "api-server-killed",
      () => provider.cluster.kill(),
      "API server refused the connection",
      async () => {
        await provider.cluster.restart();
        await provider.restartControllers();
      },
    );
    await survive(
      "proxy-killed",
      () => proxy[Symbol.asyncDispose](),
      "connection refused",
      async () => {
        proxy = await ProxyProcess.start({ host: address, port, flags });
      },
    );
    await survive(
      "proxy-drained",
      async () => assertEquals(await proxy.terminate(), 0),
      "connection refused",
      async () => {
        proxy = await ProxyProcess.start({ host: address, port, flags });
      },
    );
  } finally {
    await proxy[Symbol.asyncDispose]();
  }
}, { skip });
