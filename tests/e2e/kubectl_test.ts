/** kubectl through the proxy: what people do all day, and what they must not be able to do. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { SERVER } from "./cluster.ts";
import { Environment, test } from "./environment.ts";

const MIB = 1024 * 1024;

let environment: Environment;
Deno.test.beforeAll(async () => {
  environment = await Environment.start();
});
Deno.test.afterAll(async () => {
  await environment[Symbol.asyncDispose]();
});

test("kubectl cannot reach the API server but through the proxy", async () => {
  const kubeconfig = await environment.cluster.kubeconfig(undefined);
  const { code, stderr } = await environment.kubectl.run(["get", "pods"], { kubeconfig });
  assertEquals(code, 1);
  assertStringIncludes(stderr, "kubernetes.default.svc");
});

test("kubectl get answers through the proxy, which logs the authority it was asked for", async () => {
  const { kubectl, cluster, proxy } = environment;
  assertEquals(await kubectl.output(["get", "pods", "-o=name"]), `pod/${cluster.pod}\n`);
  const line = await proxy.logged(({ authority }) => authority !== undefined);
  assertEquals(line.authority, new URL(SERVER).hostname + ":443");
  assertEquals(line.upstream, cluster.address);
});

test("a ConfigMap of 1 MiB comes back as it was applied", async () => {
  const { kubectl } = environment;
  const piece = () => crypto.getRandomValues(new Uint8Array(MIB / 32)).toHex();
  const text = Array.from({ length: 16 }, piece).join("");
  assertEquals(text.length, MIB);
  const object = configMap("large", { text });
  await kubectl.output(["apply", "--server-side", "-f=-"], { stdin: JSON.stringify(object) });
  const back = await kubectl.output(["get", "configmap", "large", "-o=jsonpath={.data.text}"]);
  assert(back === text, `${back.length} of ${text.length} characters, or others`);
});

test("kubectl get --watch sees a change", async () => {
  const { kubectl } = environment;
  await kubectl.output(["create", "configmap", "watched", "--from-literal=state=old"]);
  const columns = "-o=jsonpath={.data.state}{'\\n'}";
  await using watch = kubectl.start(["get", "configmap", "watched", "--watch", columns]);
  await watch.stdout.find((line) => line === "old");
  const patch = JSON.stringify({ data: { state: "new" } });
  await kubectl.output(["patch", "configmap", "watched", `--patch=${patch}`]);
  await watch.stdout.find((line) => line === "new");
});

test("kubectl apply of 300 objects creates each of them", async () => {
  const { kubectl } = environment;
  await kubectl.output(["create", "namespace", "many"]);
  const items = Array.from({ length: 300 }, (_, i) => configMap(`number-${i}`, { i: String(i) }));
  const stdin = JSON.stringify({ apiVersion: "v1", kind: "List", items });
  const applied = await kubectl.output(["apply", "--namespace=many", "-f=-"], { stdin });
  assertEquals(applied.match(/ created$/gm)?.length, 300);
  const names = await kubectl.output(["get", "configmaps", "--namespace=many", "-o=name"]);
  assertEquals(names.match(/number-/g)?.length, 300);
});

test("kubectl discovers the API", async () => {
  const { kubectl } = environment;
  const resources = await kubectl.output(["api-resources", "-o=name"]);
  assertStringIncludes(resources, "deployments.apps\n");
  assertStringIncludes(await kubectl.output(["api-versions"]), "apps/v1\n");
  assertStringIncludes(await kubectl.output(["explain", "pod.spec"]), "PodSpec");
});

test("kubectl proxy serves the API to a browser", async () => {
  await using served = environment.kubectl.start(["proxy", "--port=0"]);
  const line = await served.stdout.find((line) => line.startsWith("Starting to serve on"));
  const response = await fetch(`http://${line.split(" ").at(-1)}/api/v1/namespaces/default`);
  assertEquals((await response.json()).metadata.name, "default");
});

test("the API server sees the user that the client authenticates as", async () => {
  const { cluster, kubectl, proxy } = environment;
  const whoami = ["auth", "whoami", "-o=jsonpath={.status.userInfo.username}"];
  assertEquals(await kubectl.output(whoami), "admin");
  const kubeconfig = await cluster.kubeconfig(proxy.url, { user: "guest" });
  assertEquals(await kubectl.output(whoami, { kubeconfig }), "guest");
});

test("a wrong token is Unauthorized", async () => {
  const { cluster, kubectl, proxy } = environment;
  const kubeconfig = await cluster.kubeconfig(proxy.url, { token: "wrong" });
  const { code, stderr } = await kubectl.run(["get", "pods"], { kubeconfig });
  assertEquals(code, 1);
  assertMatch(stderr, /\(Unauthorized\)/);
});

test("a user without rights is Forbidden", async () => {
  const { cluster, kubectl, proxy } = environment;
  const kubeconfig = await cluster.kubeconfig(proxy.url, { user: "guest" });
  const { code, stderr } = await kubectl.run(["get", "pods"], { kubeconfig });
  assertEquals(code, 1);
  assertMatch(stderr, /\(Forbidden\).*User "guest" cannot list resource "pods"/);
});

function configMap(name: string, data: Record<string, string>) {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data };
}
