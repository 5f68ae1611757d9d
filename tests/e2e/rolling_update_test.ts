/** A rolling update of the proxy itself while people work through it. */
import { assert, assertEquals } from "@std/assert";
import { setTimeout as sleep } from "node:timers/promises";
import { type Backend, Balancer } from "./balancer.ts";
import { Cluster, INFORMERS } from "./cluster.ts";
import { Kubectl, test } from "./environment.ts";
import { Load, SHORT_AUTHORITY, shortRequest } from "./load.ts";
import { Process } from "../harness/child_process.ts";
import { ProxyProcess } from "../harness/process.ts";
import type { LogLine } from "../harness/proxy.ts";

const WATCHES = 10;
const REQUESTS_AT_ONCE = 4;
/** What each ready proxy must serve before a replacement, and again after it, however slowly. */
const REQUESTS_IN_PHASE = 10;
const BUSY_EXECS = 3;
/** Counts aloud, never quiet, until it is told to stop. */
const COUNT = "for ((i = 0;; i++)); do echo $i; read -t 0.1 && exit; done";
const POLL_MS = 100;

test("a rolling update fails no request, cuts no busy exec and moves each watch once at most for each proxy that goes", async () => {
  await using cluster = await Cluster.start();
  using balancer = new Balancer();
  const replicas = [await startReplica(cluster, balancer), await startReplica(cluster, balancer)];
  await using cleanup = new AsyncDisposableStack();
  const proxies = replicas.map(({ proxy }) => cleanup.use(proxy));

  const kubeconfig = await cluster.kubeconfig(balancer.url);
  const kubectl = new Kubectl(kubeconfig, await cluster.scratch());

  // Before the watches: a proxy that closes its oldest tunnels first must pass these over. And not
  // through the balancer, so that there are some on each proxy that goes.
  const busy: Process[][] = [];
  for (const proxy of proxies) {
    const kubeconfig = await cluster.kubeconfig(proxy.url);
    const count = ["exec", "-i", cluster.pod, "--", "bash", "-c", COUNT];
    const start = () => cleanup.use(kubectl.start(count, { kubeconfig }));
    busy.push(Array.from({ length: BUSY_EXECS }, start));
  }
  for (const { stdout } of busy.flat()) await stdout.find((line) => line === "0");

  const watch = [INFORMERS, `-kubeconfig=${kubeconfig}`, `-count=${WATCHES}`];
  await using informers = new Process(watch);
  const dials = async (seen: string): Promise<number[]> =>
    JSON.parse(await informers.stdout.find((line) => JSON.parse(line).seen === seen)).dials;
  let dialsBefore = await dials("");

  const [requests, execs] = [new Load(), new Load()];
  for (let i = 0; i < REQUESTS_AT_ONCE; i++) {
    requests.repeat(await shortRequest(cluster, () => balancer.url));
  }
  execs.repeat(async () => {
    assertEquals(await kubectl.output(["exec", cluster.pod, "--", "echo", "hi"]), "hi\n");
  });

  for (const [i, { proxy, backend }] of replicas.entries()) {
    const successor = await startReplica(cluster, balancer);
    proxies.push(cleanup.use(successor.proxy));
    await Promise.all(proxies.slice(i).map(serveMore));

    const terminated = proxy.terminate();
    while (await tunnels(proxy) > BUSY_EXECS) await sleep(POLL_MS);
    for (const process of busy[i]!) {
      await process.write("stop\n");
      assertEquals(await process.ended(), 0);
      assertEquals(process.stdout.all, process.stdout.all.map((_, i) => String(i)));
    }
    assertEquals(await terminated, 0);
    assertEquals((await proxy.logged(({ msg }) => msg === "drained")).cut, 0);
    balancer.remove(backend);
    await Promise.all(proxies.slice(i + 1).map(serveMore));

    const name = `after-update-${i + 1}`;
    await kubectl.output(["create", "configmap", name]);
    const dialsNow = await dials(name);
    const moves = dialsNow.map((count, watch) => count - dialsBefore[watch]!);
    assert(Math.max(...moves) === 1, `the watches have connected again so often: ${moves}`);
    dialsBefore = dialsNow;
  }

  assertEquals((await execs.stop()).failures, []);
  const { failures, successes } = await requests.stop();
  assertEquals(failures, []);
  // No client has tried twice: every tunnel of a short request is one that went well.
  await informers.stop();
  await Promise.all(proxies.slice(replicas.length).map((proxy) => proxy.terminate()));
  const served = proxies.map((proxy) => proxy.log.filter(isShortRequest).length);
  assertEquals(served.reduce((sum, count) => sum + count), successes, `served: ${served}`);
});

interface Replica {
  readonly proxy: ProxyProcess;
  readonly backend: Backend;
}

async function startReplica(cluster: Cluster, balancer: Balancer): Promise<Replica> {
  // The delay is that of the manifests; long before the timeout all that is quiet has moved.
  const lifecycle = ["--shutdown-delay=5s", "--drain-timeout=20s"];
  const proxy = await ProxyProcess.start({ flags: [...lifecycle, "--upstream", cluster.address] });
  const backend = { address: proxy.address, readyUrl: `http://${proxy.adminAddress}/readyz` };
  await balancer.add(backend);
  return { proxy, backend };
}

/** How many tunnels that proxy has, by its own metrics. */
async function tunnels(proxy: ProxyProcess): Promise<number> {
  return (await proxy.metrics()).get("api_server_proxy_tunnels_active")!;
}

function isShortRequest({ msg, authority }: LogLine): boolean {
  return msg === "tunnel" && authority === SHORT_AUTHORITY;
}

/** Waits until that proxy has served a phase's short requests more than now. */
async function serveMore(proxy: ProxyProcess): Promise<void> {
  const wanted = proxy.log.filter(isShortRequest).length + REQUESTS_IN_PHASE;
  await proxy.logged(isShortRequest, wanted);
}
