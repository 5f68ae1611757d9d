/** The API server goes away and comes back: its clients do too, through the proxy that stayed. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type Cluster, INFORMERS } from "./cluster.ts";
import { Environment, test } from "./environment.ts";
import { Process } from "../harness/child_process.ts";

const WATCHES = 10;

const ENDS = [
  { how: "killed", stop: async (cluster: Cluster) => await cluster.kill() },
  {
    how: "stopped in order",
    stop: async (cluster: Cluster) => assertEquals(await cluster.terminate(), 0),
  },
];

for (const { how, stop } of ENDS) {
  test(`clients of an API server that is ${how} are told why, and go on once it is back`, async () => {
    await using environment = await Environment.start();
    const { cluster, kubectl, kubeconfig } = environment;
    const command = [INFORMERS, `-kubeconfig=${kubeconfig}`, `-count=${WATCHES}`];
    await using informers = new Process(command);
    await informers.stdout.find((line) => JSON.parse(line).seen === "");
    await kubectl.output(["create", "configmap", "before"]);
    await informers.stdout.find((line) => JSON.parse(line).seen === "before");

    await stop(cluster);
    const { code, stderr } = await kubectl.run(["get", "pods"]);
    assertEquals(code, 1);
    assertStringIncludes(stderr, "API server refused the connection");

    await cluster.restart();
    await kubectl.output(["get", "configmap", "before"]);
    await kubectl.output(["create", "configmap", "after"]);
    const report = await informers.stdout.find((line) => JSON.parse(line).seen === "after");
    for (const dials of JSON.parse(report).dials) assert(dials > 1, "it never had to come back");
  });
}
