/** A rolling update of the proxy itself while people work through it. */
import { assert, assertEquals } from "@std/assert";
import { getAvailablePort } from "@std/net/get-available-port";
import { type Backend, Balancer } from "./balancer.ts";
import { Cluster, INFORMERS, SERVER } from "./cluster.ts";
import { Kubectl, test } from "./environment.ts";
import { Process } from "./processes.ts";
import { ProxyProcess } from "./proxy_process.ts";

const WATCHES = 10;
const REQUESTS_AT_ONCE = 4;
/** Every tenth of a second one line: done long before the drain is, and never quiet meanwhile. */
const BUSY_LINES = 50;
const BUSY_COMMAND =
  `i=0; while [ $i -lt ${BUSY_LINES} ]; do echo $i; i=$((i + 1)); sleep 0.1; done`;

test("a rolling update fails no request, cuts no busy exec and moves each watch once at most", async () => {
  await using cluster = await Cluster.start();
  using balancer = new Balancer();
  const replicas = [await startReplica(cluster, balancer), await startReplica(cluster, balancer)];
  await using cleanup = new AsyncDisposableStack();
  for (const { proxy } of replicas) cleanup.use(proxy);

  const kubeconfig = await cluster.kubeconfig(balancer.url);
  const kubectl = new Kubectl(kubeconfig, await cluster.scratch());
  const exec = ["exec", cluster.pod, "--"];
  await using informers = new Process([
    INFORMERS,
    `-kubeconfig=${kubeconfig}`,
    `-count=${WATCHES}`,
  ]);
  await informers.stdout.find((line) => JSON.parse(line).seen === "");

  const load = new Load();
  for (let i = 0; i < REQUESTS_AT_ONCE; i++) load.repeat(await shortRequest(cluster, balancer));
  load.repeat(async () => assertEquals(await kubectl.output([...exec, "echo", "hi"]), "hi\n"));

  for (const [i, { proxy, backend }] of replicas.entries()) {
    const successor = await startReplica(cluster, balancer);
    cleanup.use(successor.proxy);
    // One for each replica that is ready now.
    const busy = [1, 2, 3].map(() => kubectl.start([...exec, "sh", "-c", BUSY_COMMAND]));
    for (const process of busy) {
      cleanup.use(process);
      await process.stdout.find((line) => line === "0");
    }

    assertEquals(await proxy.terminate(), 0);
    balancer.remove(backend);

    for (const process of busy) {
      assertEquals(await process.ended(), 0);
      assertEquals(process.stdout.all.length, BUSY_LINES);
    }
    const name = `after-update-${i + 1}`;
    await kubectl.output(["create", "configmap", name]);
    const report = await informers.stdout.find((line) => JSON.parse(line).seen === name);
    const { mostDials } = JSON.parse(report);
    assert(mostDials <= 1 + i + 1, `a watch has connected ${mostDials} times`);
  }

  const { failures, successes } = await load.stop();
  assertEquals(failures, []);
  assert(successes > 0);
});

interface Replica {
  readonly proxy: ProxyProcess;
  readonly backend: Backend;
}

async function startReplica(cluster: Cluster, balancer: Balancer): Promise<Replica> {
  const adminPort = getAvailablePort();
  const lifecycle = ["--shutdown-delay=2s", "--drain-timeout=10s"];
  const flags = ["--admin-host=127.0.0.1", ...lifecycle, "--upstream", cluster.address];
  const proxy = await ProxyProcess.start({ adminPort, flags });
  const backend = { address: proxy.address, readyUrl: `http://127.0.0.1:${adminPort}/readyz` };
  await balancer.add(backend);
  return { proxy, backend };
}

/** A request over a connection of its own, made with Deno's own client. */
async function shortRequest(cluster: Cluster, balancer: Balancer): Promise<() => Promise<void>> {
  const caCerts = [await Deno.readTextFile(cluster.ca)];
  const headers = { authorization: `Bearer ${await cluster.token("admin")}` };
  return async () => {
    using client = Deno.createHttpClient({ caCerts, proxy: { url: balancer.url } });
    const response = await fetch(`${SERVER}/api/v1/namespaces/default`, { client, headers });
    assertEquals((await response.json()).metadata.name, "default");
  };
}

/** What is done again and again until it is stopped. */
class Load {
  readonly #failures: string[] = [];
  readonly #loops: Promise<void>[] = [];
  #successes = 0;
  #stopped = false;

  repeat(action: () => Promise<void>): void {
    this.#loops.push(this.#loop(action));
  }

  /** @returns How often it went well, and how it failed. */
  async stop(): Promise<{ successes: number; failures: string[] }> {
    this.#stopped = true;
    await Promise.all(this.#loops);
    return { successes: this.#successes, failures: this.#failures };
  }

  async #loop(action: () => Promise<void>): Promise<void> {
    while (!this.#stopped) {
      try {
        await action();
        this.#successes++;
      } catch (error) {
        this.#failures.push(String(error));
      }
    }
  }
}
