/** What the tests of the orders of steps in docs/liqo.md share. */
import { assertEquals } from "@std/assert";
import { CHART, HELM } from "../deploy/helm.ts";
import { find, missing } from "../deploy/tools.ts";
import { output } from "../harness/child_process.ts";
import type { LiqoCluster } from "./liqo_cluster.ts";

export const skip = missing({ helm: HELM !== undefined, go: find("go") !== undefined });

/** The Services of our chart and of Liqo's. */
export const OURS = "api-server-proxy-http";
export const THEIRS = "liqo-proxy";
/** The proxy's `IP`, for kubectl. */
export const IP = ["ips.ipam.liqo.io", "api-server-proxy", "-nliqo"];

/** The chart for an API server that a plain `go build` has made: it does not know its own release. */
export async function chartOf({ cluster }: LiqoCluster): Promise<string> {
  const chart = `${await cluster.scratch()}/chart`;
  await output(["cp", "-r", CHART, chart]);
  const metadata = await Deno.readTextFile(`${chart}/Chart.yaml`);
  await Deno.writeTextFile(`${chart}/Chart.yaml`, metadata.replace(/^kubeVersion:.*$/m, ""));
  return chart;
}

/** Makes Liqo reconcile the proxy's `IP`, as any change of it does, and waits until it has. */
export async function touchIp(liqo: LiqoCluster): Promise<void> {
  const touch = ["annotate", "--overwrite", ...IP, `touched=${crypto.randomUUID()}`];
  await liqo.kubectl.output(touch);
  // The controller does one after the other: this one gets its address after that one's turn.
  const name = `after-${crypto.randomUUID()}`;
  await liqo.apply({
    ...{ apiVersion: "ipam.liqo.io/v1alpha1", kind: "IP", spec: { ip: "10.96.0.2" } },
    metadata: { name, namespace: "liqo", annotations: { "liqo.io/preinstalled": "true" } },
  });
  const wait = ["wait", "--for=jsonpath={.status.ip}", "--timeout=1m", `ips.ipam.liqo.io/${name}`];
  await liqo.kubectl.output([...wait, "-nliqo"]);
}

/**
 * That Liqo leaves the Service alone, also after a restart, and peers keep their address.
 * @returns That address.
 */
export async function assertLasting(liqo: LiqoCluster, name: string): Promise<string> {
  const remapped = await liqo.remapped();
  const { local } = await liqo.proxy();
  for (const restart of [false, true]) {
    if (restart) await liqo.restartControllerManager();
    await touchIp(liqo);
    const services = [{ name, address: local }];
    assertEquals(await liqo.proxy(), { services, local, remapped });
  }
  return remapped;
}
