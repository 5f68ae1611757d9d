/** The API server goes away and comes back: its clients do too, through the proxy that stayed. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { INFORMERS } from "./cluster.ts";
import { Environment, test } from "./environment.ts";
import { Process } from "./processes.ts";

test("clients are told why while the API server is down, and go on once it is back", async () => {
  await using environment = await Environment.start();
  const { cluster, kubectl, kubeconfig } = environment;
  await using informers = new Process([INFORMERS, `-kubeconfig=${kubeconfig}`, "-count=10"]);
  await informers.stdout.find((line) => JSON.parse(line).seen === "");
  await kubectl.output(["create", "configmap", "before"]);
  await informers.stdout.find((line) => JSON.parse(line).seen === "before");

  await cluster.kill();
  const { code, stderr } = await kubectl.run(["get", "pods"]);
  assertEquals(code, 1);
  assertStringIncludes(stderr, "API server refused the connection");

  await cluster.restart();
  await kubectl.output(["get", "configmap", "before"]);
  await kubectl.output(["create", "configmap", "after"]);
  const report = await informers.stdout.find((line) => JSON.parse(line).seen === "after");
  assert(JSON.parse(report).mostDials > 1, "no client had to come back");
});
