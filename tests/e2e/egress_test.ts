/** kube-apiserver as the client: its egress selector reaches the nodes through our proxy. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { getAvailablePort } from "@std/net/get-available-port";
import { Environment, test } from "./environment.ts";
import { ProxyProcess } from "../harness/process.ts";

test("kube-apiserver reaches its kubelet through the proxy alone, in http-connect mode", async () => {
  const kubeletPort = getAvailablePort();
  const kubelet = `127.0.0.1:${kubeletPort}`;
  const flags = ["--allowed-hosts", kubelet, "--drain-timeout", "1s"];
  await using egress = await ProxyProcess.start({ flags });
  await using environment = await Environment.start({ kubeletPort, egressProxy: egress.address });
  const { cluster, kubectl } = environment;

  assertEquals(await kubectl.output(["exec", cluster.pod, "--", "echo", "hello"]), "hello\n");
  const exec = await egress.logged(({ msg, authority }) =>
    msg === "tunnel" && authority === kubelet
  );
  assertEquals(exec.status, 200);

  await using logs = kubectl.start(["logs", "-f", cluster.pod]);
  await using attached = kubectl.start(["attach", "-i", cluster.pod]);
  await attached.write("typed\n");
  await logs.stdout.find((line) => line === "typed");

  await egress.terminate();
  const { code, stderr } = await kubectl.run(["exec", cluster.pod, "--", "echo", "hello"]);
  assertEquals(code, 1);
  assertStringIncludes(stderr, `CONNECT to ${kubelet}`);
});
