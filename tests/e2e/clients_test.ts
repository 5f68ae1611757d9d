/** Clients of other makes through the proxy: client-go, curl, JavaScript and Python. */
import { assertEquals } from "@std/assert";
import { javascript, python } from "./clients.ts";
import { INFORMERS } from "./cluster.ts";
import { Environment, test } from "./environment.ts";
import { output, Process } from "../harness/child_process.ts";

const TUNNELS = 50;

let environment: Environment;
Deno.test.beforeAll(async () => {
  environment = await Environment.start();
});
Deno.test.afterAll(async () => {
  await environment[Symbol.asyncDispose]();
});

test(`${TUNNELS} client-go clients list and watch over HTTP/2, each in a tunnel of its own`, async () => {
  const { kubectl, kubeconfig } = environment;
  const command = [INFORMERS, `-kubeconfig=${kubeconfig}`, `-count=${TUNNELS}`];
  await using informers = new Process(command);
  await informers.stdout.find((line) => JSON.parse(line).seen === "");
  await kubectl.output(["create", "configmap", "for-client-go"]);
  const report = await informers.stdout.find((line) => JSON.parse(line).seen === "for-client-go");
  const dials = new Array(TUNNELS).fill(1);
  assertEquals(JSON.parse(report), { seen: "for-client-go", dials, oldResponse: false });
});

for (const version of ["--http1.1", "--http2"]) {
  test(`curl ${version} verifies the API server's own certificate through the proxy`, async () => {
    const answer = await output(await environment.curl("/api/v1/namespaces/default", version));
    assertEquals(JSON.parse(answer).metadata.name, "default");
  });
}

test("the official JavaScript client lists and watches", async () => {
  const command = await javascript("list_and_watch.mjs");
  await listsAndWatches([...command, environment.kubeconfig], "for-javascript");
});

test("the official Python client lists and watches", async () => {
  const { kubeconfig, proxy } = environment;
  const command = await python("list_and_watch.py");
  await listsAndWatches([...command, kubeconfig, proxy.url], "for-python");
});

test("the official Python client's exec reaches an API server with an IPv6 address", async () => {
  const { cluster, kubeconfig, proxy } = environment;
  const command = await python("exec_ipv6.py");
  assertEquals(await output([...command, kubeconfig, proxy.url, cluster.pod]), "hello\n");
  const line = await proxy.logged((line) =>
    line.msg === "tunnel" && line.authority === "[fd00::1]:6443"
  );
  assertEquals(line.status, 200);
});

/** Starts a client that says how many ConfigMaps it lists, and must then see one more. */
async function listsAndWatches(command: string[], added: string): Promise<void> {
  const { kubectl } = environment;
  await using client = new Process(command);
  await client.stdout.find((line) => line.startsWith("listed "));
  await kubectl.output(["create", "configmap", added]);
  await client.stdout.find((line) => line === added);
}
