/**
 * Two clusters as Liqo peers them, in network namespaces:
 *
 *   consumer ── gateway ── provider's gateway ── provider
 *
 * The consumer's gateway maps the provider's external network to the one the provider knows, and
 * the provider's gateway maps the address of its `IP` resource to that of the proxy's Service.
 */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Cluster } from "./cluster.ts";
import { Kubectl, test } from "./environment.ts";
import { Machine, whyNoNamespaces } from "./network_namespaces.ts";
import { output, run } from "../harness/child_process.ts";
import { PROXY_START, proxyCommand, ProxyProcess } from "../harness/process.ts";

const PORT = 8118;
const SERVICE = "10.96.0.118";
const REMAPPED_IP = "10.70.0.3";
const REMAPPED_NETWORK = "10.70.0.0/16";
const EXTERNAL_NETWORK = "10.81.0.0/16";
const CONSUMER = "192.168.100.0";

const reason = await whyNoNamespaces();

test(
  "a consumer reaches its provider's API server at the remapped address, and no other way" +
    (reason === undefined ? "" : ` (skipped: ${reason})`),
  async () => {
    await using consumer = await Machine.create("consumer");
    await using gateway = await Machine.create("gateway");
    await using remoteGateway = await Machine.create("remote");
    await using provider = await Machine.create("provider");
    await consumer.connect(CONSUMER, gateway, "192.168.100.1");
    await gateway.connect("192.168.100.2", remoteGateway, "192.168.100.3");
    await remoteGateway.connect("192.168.100.4", provider, "192.168.100.5");

    await consumer.route(EXTERNAL_NETWORK, "192.168.100.1");
    await gateway.translate(EXTERNAL_NETWORK, "NETMAP", "--to", REMAPPED_NETWORK);
    await gateway.route(REMAPPED_NETWORK, "192.168.100.3");
    await remoteGateway.translate(REMAPPED_IP, "DNAT", "--to-destination", SERVICE);
    await remoteGateway.route(SERVICE, "192.168.100.5");
    await provider.ip("address", "add", `${SERVICE}/32`, "dev", "lo");
    await provider.route(CONSUMER, "192.168.100.4");
    await remoteGateway.route(CONSUMER, "192.168.100.2");

    await using cluster = await Cluster.start({ prefix: provider.prefix });
    await using proxy = await ProxyProcess.start({
      prefix: provider.prefix,
      host: SERVICE,
      port: PORT,
      flags: ["--upstream", cluster.address],
    });

    const remap = proxyCommand("remap", REMAPPED_IP, EXTERNAL_NETWORK);
    const address = (await output(remap, PROXY_START)).trim();
    assertEquals(address, "10.81.0.3");
    const kubeconfig = await cluster.kubeconfig(`http://${address}:${PORT}`);
    const kubectl = new Kubectl(kubeconfig, await cluster.scratch(), consumer.prefix);
    assertEquals(await kubectl.output(["get", "pods", "-o=name"]), `pod/${cluster.pod}\n`);
    assertEquals(await kubectl.output(["exec", cluster.pod, "--", "echo", "hi"]), "hi\n");
    const { source } = await proxy.logged(({ msg }) => msg === "tunnel");
    assertEquals(source, CONSUMER);

    // Nothing but the external network is known to the consumer.
    const routes = await consumer.ip("route", "show");
    assertMatch(routes, /^10\.81\.0\.0\/16 via 192\.168\.100\.1 dev \S+ *\n192\.168\.100\.0\/31 /);
    for (const unreachable of [REMAPPED_IP, SERVICE]) {
      const direct = ["curl", "--silent", "--show-error", "--noproxy", "*"];
      const { stderr } = await run([
        ...consumer.prefix,
        ...direct,
        `http://${unreachable}:${PORT}`,
      ]);
      assertStringIncludes(stderr, "Couldn't connect");
    }
  },
  reason !== undefined,
);
