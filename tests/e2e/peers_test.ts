/** Peers by name: real clients that show a secret, and the secret's rotation. */
import { assertEquals, assertFalse, assertStringIncludes } from "@std/assert";
import { output, Process } from "../harness/child_process.ts";
import { ProxyProcess } from "../harness/process.ts";
import { Balancer } from "./balancer.ts";
import { Cluster, INFORMERS, SERVER } from "./cluster.ts";
import { Kubectl, test } from "./environment.ts";
import { Load, shortRequest } from "./load.ts";

const OLD = "old-secret-of-cl01", NEW = "new-secret-of-cl01";
/** Requests that each step of the rotation must see succeed, however slowly. */
const REQUESTS_IN_STEP = 10;

async function credential(secret: string): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(secret));
  return `cl01:${new Uint8Array(hash).toHex()}`;
}

/** A proxy that knows these secrets, by a variable as in a cluster. */
async function start(cluster: Cluster, ...secrets: string[]): Promise<ProxyProcess> {
  return await ProxyProcess.start({
    flags: ["--upstream", cluster.address, "--drain-timeout=10s"],
    env: {
      API_SERVER_PROXY_CREDENTIALS: (await Promise.all(secrets.map(credential))).join(","),
    },
  });
}

function urlWith(secret: string, url: string): string {
  return url.replace("http://", `http://cl01:${secret}@`);
}

test("kubectl, client-go and curl get through with name and secret in the proxy's URL", async () => {
  await using cluster = await Cluster.start();
  await using proxy = await start(cluster, OLD);
  const url = urlWith(OLD, proxy.url);
  const kubeconfig = await cluster.kubeconfig(url);
  const kubectl = new Kubectl(kubeconfig, await cluster.scratch());
  await kubectl.output(["get", "namespaces"]);
  assertEquals(await kubectl.output(["exec", cluster.pod, "--", "echo", "hi"]), "hi\n");
  await using informers = new Process([INFORMERS, `-kubeconfig=${kubeconfig}`, "-count=2"]);
  await informers.stdout.find((line) => JSON.parse(line).seen === "");
  const token = `Authorization: Bearer ${await cluster.token("admin")}`;
  const way = ["--noproxy", "", "--proxy", url, "--cacert", cluster.ca, "--header", token];
  const path = "/api/v1/namespaces/default";
  const answer = await output(["curl", "--silent", "--fail", ...way, `${SERVER}${path}`]);
  assertEquals(JSON.parse(answer).metadata.name, "default");

  for (const wrong of [proxy.url, urlWith("wrong", proxy.url)]) {
    const refused = await kubectl.run(["get", "--raw", "/version"], {
      kubeconfig: await cluster.kubeconfig(wrong),
    });
    const phrase = wrong === proxy.url
      ? "Credentials for the API server proxy missing"
      : "Credentials not accepted by the API server proxy";
    assertStringIncludes(refused.stderr, `Unable to connect to the server: ${phrase}`);
  }
  await informers.stop();
  await proxy.terminate();
  assertFalse(JSON.stringify(proxy.log).includes(OLD));
  const tunnels = proxy.log.filter(({ msg }) => msg === "tunnel");
  assertEquals([...new Set(tunnels.map(({ peer }) => peer))], ["cl01"]);
});

test("a secret is rotated by two rolling updates, and no request fails", async () => {
  await using cluster = await Cluster.start();
  using balancer = new Balancer();
  await using cleanup = new AsyncDisposableStack();
  const add = async (...secrets: string[]) => {
    const proxy = cleanup.use(await start(cluster, ...secrets));
    const backend = { address: proxy.address, readyUrl: `http://${proxy.adminAddress}/readyz` };
    await balancer.add(backend);
    return { proxy, backend };
  };
  let replicas = [await add(OLD), await add(OLD)];
  const update = async (...secrets: string[]) => {
    const successors = [];
    for (const { proxy, backend } of replicas) {
      successors.push(await add(...secrets));
      balancer.remove(backend);
      assertEquals(await proxy.terminate(), 0);
    }
    replicas = successors;
  };

  let secret = OLD;
  const load = new Load();
  for (let i = 0; i < 2; i++) {
    load.repeat(await shortRequest(cluster, () => urlWith(secret, balancer.url)));
  }
  const moreRequests = async () => await load.reaches(load.successes + REQUESTS_IN_STEP);
  await moreRequests();
  await update(OLD, NEW);
  await moreRequests();
  secret = NEW;
  await moreRequests();
  await update(NEW);
  await moreRequests();
  assertEquals((await load.stop()).failures, []);
});
