/** Clients of other makes through the proxy: client-go, curl, JavaScript and Python. */
import { assertEquals } from "@std/assert";
import { CACHE, INFORMERS } from "./cluster.ts";
import { Environment, test } from "./environment.ts";
import { output, Process } from "../harness/child_process.ts";

const CLIENTS = new URL("clients/", import.meta.url).pathname;
const JAVASCRIPT_CLIENT = "@kubernetes/client-node@1.4.0";
const PYTHON_CLIENT = "kubernetes==36.0.3";
const INSTALL_LIMIT_MS = 10 * 60_000;
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
  const directory = `${CACHE}/javascript`;
  await Deno.mkdir(directory, { recursive: true });
  const packages = ["--no-save", "--no-package-lock", "--no-audit", JAVASCRIPT_CLIENT];
  await output(["npm", "install", `--prefix=${directory}`, ...packages], {
    limitMs: INSTALL_LIMIT_MS,
  });
  // Node looks for packages beside the script.
  const script = `${directory}/list_and_watch.mjs`;
  await Deno.copyFile(`${CLIENTS}list_and_watch.mjs`, script);
  await listsAndWatches(["node", script, environment.kubeconfig], "for-javascript");
});

/** The Python that has the official client. */
async function python(): Promise<string> {
  const directory = `${CACHE}/python`;
  await output(["python3", "-m", "venv", directory]);
  const install = [`${directory}/bin/pip`, "install", "--quiet", PYTHON_CLIENT];
  await output(install, { limitMs: INSTALL_LIMIT_MS });
  return `${directory}/bin/python`;
}

test("the official Python client lists and watches", async () => {
  const script = `${CLIENTS}list_and_watch.py`;
  const { kubeconfig, proxy } = environment;
  await listsAndWatches([await python(), script, kubeconfig, proxy.url], "for-python");
});

test("the official Python client's exec reaches an API server with an IPv6 address", async () => {
  const { cluster, kubeconfig, proxy } = environment;
  const script = `${CLIENTS}exec_ipv6.py`;
  const command = [await python(), "-W", "ignore", script, kubeconfig, proxy.url, cluster.pod];
  assertEquals(await output(command), "hello\n");
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
