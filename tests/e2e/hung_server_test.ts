/** An API server that hangs: it still accepts connections, but answers nobody. */
import { assert, assertEquals } from "@std/assert";
import { Cluster, INFORMERS } from "./cluster.ts";
import { Kubectl, test } from "./environment.ts";
import { Process } from "../harness/child_process.ts";
import { ProxyProcess } from "../harness/process.ts";
import { eventually } from "../harness/test.ts";

/** Given, the figures are printed, too. */
const WATCHES = Number(Deno.env.get("WATCHES") ?? 50);

/** One every 10 s. */
const PROBES_A_MINUTE = 6;

/** The upstream of each live tunnel. */
async function upstreamsOf(proxy: ProxyProcess): Promise<string[]> {
  return (await proxy.tunnels()).map(({ upstream }) => upstream);
}

async function isUp(proxy: ProxyProcess, { address }: Cluster): Promise<number | undefined> {
  return (await proxy.metrics()).get(`api_server_proxy_upstream_up{upstream="${address}"}`);
}

async function upstreamCheck(proxy: ProxyProcess): Promise<number> {
  const response = await fetch(`http://${proxy.adminAddress}/readyz/upstream`);
  await response.body?.cancel();
  return response.status;
}

async function probesOf(proxy: ProxyProcess, { address }: Cluster): Promise<number> {
  const name = `api_server_proxy_upstream_probe_duration_seconds_count{upstream="${address}"}`;
  return (await proxy.metrics()).get(name)!;
}

/** By the API server's own count, which is asked for past the proxy. */
async function handshakeErrors(cluster: Cluster): Promise<string> {
  const kubectl = new Kubectl(await cluster.kubeconfig(undefined), await cluster.scratch());
  const report = await kubectl.output([
    `--server=https://${cluster.address}`,
    "--tls-server-name=kubernetes",
    "get",
    "--raw",
    "/metrics",
  ]);
  return /^apiserver_tls_handshake_errors_total (\d+)/m.exec(report)?.[1] ?? "0";
}

test("one of three API servers hangs: watches and requests move to the others, none is refused; a minute of probes costs a healthy one no handshake error", async () => {
  await using first = await Cluster.start();
  await using second = await Cluster.start({ peer: first });
  await using third = await Cluster.start({ peer: first });
  const upstreams = [first, second, third].map(({ address }) => address);
  await using proxy = await ProxyProcess.start({ flags: [`--upstream=${upstreams}`] });
  const kubeconfig = await first.kubeconfig(proxy.url);
  const kubectl = new Kubectl(kubeconfig, await first.scratch());
  for (const cluster of [first, second, third]) {
    await eventually("it is up", () => isUp(proxy, cluster), 1);
  }
  await using informers = new Process([
    INFORMERS,
    `-kubeconfig=${kubeconfig}`,
    `-count=${WATCHES}`,
  ]);
  const seen = (name: string) => informers.stdout.find((line) => JSON.parse(line).seen === name);
  await seen("");
  const watchesOn = async ({ address }: Cluster) =>
    (await upstreamsOf(proxy)).filter((upstream) => upstream === address).length;
  assertEquals(await watchesOn(first), WATCHES);

  // Clients prefer the second one, so all that the third one sees are probes.
  const probesBefore = await probesOf(proxy, third);
  const errorsBefore = await handshakeErrors(third);
  const beganMs = performance.now();
  first.freeze();
  await proxy.logged(({ msg }) => msg === "upstream probe failed");
  await proxy.logged(({ msg }) => msg === "upstream is down");
  const downMs = performance.now() - beganMs;
  await kubectl.output(["create", "configmap", "meanwhile"]);
  await eventually("no watch is left", () => watchesOn(first), 0);
  const movedMs = performance.now() - beganMs;
  assertEquals([await isUp(proxy, first), await upstreamCheck(proxy)], [0, 200]);
  // Every client has connected again and has seen what happened meanwhile.
  await seen("meanwhile");
  const watchesElsewhere = async () => await watchesOn(second) + await watchesOn(third);
  await eventually("all watches are on the others", watchesElsewhere, WATCHES);
  const seenMs = performance.now() - beganMs;
  const ended = () =>
    proxy.log.filter(({ msg, upstream }) => msg === "tunnel" && upstream === first.address);
  await eventually("the log has all of them", () => ended().length >= WATCHES, true);
  // A client may have given up before its turn came.
  const cut = ended().filter(({ endedBy }) => endedBy === "proxy");
  assertEquals(new Set(cut.map(({ end }) => end)), new Set(["upstream_down"]));
  assertEquals(proxy.log.filter(({ msg }) => msg === "refused"), []);
  const others = proxy.log.filter(({ end, upstream }) =>
    end === "upstream_down" && upstream !== first.address
  );
  assertEquals(others, []);
  if (Deno.env.has("WATCHES")) console.log({ downMs, movedMs, seenMs, cut: cut.length });

  first.thaw();
  await proxy.logged(({ msg }) => msg === "upstream is up again");
  await eventually("it is up again", () => isUp(proxy, first), 1);
  const areEnough = async () => await probesOf(proxy, third) >= probesBefore + PROBES_A_MINUTE;
  await eventually("a minute has passed", areEnough, true);
  assertEquals(await handshakeErrors(third), errorsBefore);
});

test("a sole API server that hangs loses no tunnel, and is reported", async () => {
  await using cluster = await Cluster.start();
  await using proxy = await ProxyProcess.start({ flags: [`--upstream=${cluster.address}`] });
  const kubeconfig = await cluster.kubeconfig(proxy.url);
  const kubectl = new Kubectl(kubeconfig, await cluster.scratch());
  await eventually("it is up", () => isUp(proxy, cluster), 1);
  const exec = ["exec", "-i", cluster.pod, "--", "cat"];
  await using cat = kubectl.start(exec);
  await cat.write("before\n");
  await cat.stdout.find((line) => line === "before");
  cluster.freeze();
  await proxy.logged(({ msg }) => msg === "upstream is down");
  assertEquals([await isUp(proxy, cluster), await upstreamCheck(proxy)], [0, 503]);
  cluster.thaw();
  await proxy.logged(({ msg }) => msg === "upstream is up again");
  await cat.write("after\n");
  await cat.stdout.find((line) => line === "after");
  assert(proxy.log.every(({ end }) => end !== "upstream_down"));
});
