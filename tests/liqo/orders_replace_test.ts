/** Orders of steps that begin with Liqo's own proxy, with Liqo's own controllers. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { HELM, only } from "../deploy/helm.ts";
import { run } from "../harness/child_process.ts";
import { test } from "../harness/test.ts";
import { LiqoCluster } from "./liqo_cluster.ts";
import { assertLasting, chartOf, IP, OURS, skip, THEIRS, touchIp } from "./orders.ts";

/** That Liqo's Service selects the pods of our Deployment, and its own Deployment has none. */
async function assertServesBehind({ kubectl }: LiqoCluster): Promise<void> {
  const list = await kubectl.output(["get", "service,deployment", "-nliqo", "-ojson"]);
  const { items } = JSON.parse(list);
  const { labels } = only(items, "Deployment", "api-server-proxy").spec.template.metadata;
  const { selector } = only(items, "Service", "liqo-proxy").spec;
  for (const [key, value] of Object.entries(selector)) assertEquals(labels[key], value, key);
  assertEquals(only(items, "Deployment", "liqo-proxy").spec.replicas, 0);
}

test(
  "orders that begin with Liqo's proxy: behind its Service, in its place, and back",
  async () => {
    await using liqo = await LiqoCluster.start("cl02");
    const chart = await chartOf(liqo);
    await liqo.installLiqo();
    await liqo.startControllers();
    const before = await assertLasting(liqo, THEIRS);

    // What all of this is about: a Service that has the name of the `IP` is gone.
    const create = ["create", "service", "clusterip", "api-server-proxy", "--tcp=8118", "-nliqo"];
    await liqo.kubectl.output(create);
    await touchIp(liqo);
    const gone = await liqo.kubectl.run(["get", "service", "api-server-proxy", "-nliqo"]);
    assertStringIncludes(gone.stderr, "NotFound");

    // Behind Liqo's Service, and back.
    await liqo.helm("install", "api-server-proxy", chart, "--set=service.create=false");
    const behind = await liqo.installLiqo({ replicas: 0 });
    assertEquals(behind.remapsApiServer, true);
    assertEquals(await assertLasting(liqo, THEIRS), before);
    await assertServesBehind(liqo);
    await liqo.installLiqo({ replicas: 1 });
    await liqo.helm("uninstall", "api-server-proxy");
    assertEquals(await assertLasting(liqo, THEIRS), before);

    // In place of Liqo's proxy, which must be off first.
    const helm = [HELM!, `--kubeconfig=${liqo.kubeconfig}`, "--namespace=liqo"];
    const { stderr } = await run([...helm, "install", "api-server-proxy", chart]);
    assertStringIncludes(stderr, "Service liqo-proxy is labelled");
    const without = await liqo.installLiqo({ enabled: false });
    assertEquals(without.remapsApiServer, false);
    await liqo.helm("install", "api-server-proxy", chart);
    assertEquals(await assertLasting(liqo, OURS), before);
    await liqo.helm("uninstall", "api-server-proxy");
    assertEquals((await liqo.proxy()).remapped, before);
    await liqo.helm("install", "api-server-proxy", chart);
    await liqo.helm("upgrade", "api-server-proxy", chart, "--reuse-values");
    assertEquals(await assertLasting(liqo, OURS), before);

    // Back, but the address is gone: Liqo's chart cannot ask for one, and the `IP` cannot be changed.
    await liqo.helm("uninstall", "api-server-proxy");
    await liqo.stopControllerManager();
    const other = ["create", "service", "clusterip", "other", "--tcp=1", "-nliqo"];
    await liqo.kubectl.output([...other, `--clusterip=${(await liqo.proxy()).local}`]);
    await liqo.installLiqo({ enabled: true });
    const manager = liqo.launchControllerManager();
    await manager.stderr.find((line) => line.includes("unable to enforce the API server proxy IP"));
    assertEquals(await manager.ended(), 1);
    // Nobody is left who would take Liqo's finalizer off.
    await liqo.kubectl.output(["delete", ...IP, "--wait=false"]);
    const release = '-p={"metadata":{"finalizers":null}}';
    await liqo.kubectl.output(["patch", ...IP, "--type=merge", release]);
    await liqo.startControllerManager();
    await assertLasting(liqo, THEIRS);
  },
  { skip },
);
