/** A cluster with Liqo: its resources, and its own controllers as processes. */
import { Cluster } from "../e2e/cluster.ts";
import { Kubectl } from "../e2e/environment.ts";
import { only, parseYaml, type Resource, type Values } from "../deploy/helm.ts";
import { find, moduleSources } from "../deploy/tools.ts";
import { CACHE, fillCache } from "../harness/cache.ts";
import { type Lines, output, Process } from "../harness/child_process.ts";
import { eventually } from "../harness/test.ts";
import { inRoot } from "../sources.ts";

/** The newest release whose Go module there is; tests/liqo/peer/go.mod names it too. */
export const LIQO = "v1.2.0";
const HELM = find("helm")!;

/** Of Liqo's chart: what its controllers read. The rest is for pods, which nothing here runs. */
const KINDS = ["ClusterRole", "ConfigMap", "Network", "ServiceAccount"];
/** Resources with a whole pod in them: most of what an API server has to read of Liqo's, and unused. */
const WITH_PODS = ["shadowpods", "virtualnodes", "wggatewayclients", "wggatewayservers"];
/** Inside 127/8, so that a remapped address is reachable as it is, without gateways. */
const NETWORKS = {
  podCIDR: "127.100.0.0/16",
  serviceCIDR: "127.101.0.0/16",
  internalCIDR: "127.102.0.0/16",
  externalCIDR: "127.70.0.0/16",
};
const POOLS = "127.64.0.0/10";

/** A program of tests/liqo/peer, which also has Liqo's own as tools. */
export async function peer(args: readonly string[], stdin = ""): Promise<string> {
  return await output([`${CACHE}/peer`, ...args], { stdin });
}

let built: Promise<void> | undefined;

/** Builds Liqo's controllers and `peer`, once in a run; Go knows what is up to date. */
export async function buildLiqo(): Promise<void> {
  await (built ??= build());
}

async function build(): Promise<void> {
  const cmd = "github.com/liqotech/liqo/cmd";
  const packages = [
    ".",
    ...["ipam", "liqo-controller-manager", "crd-replicator"].map((name) => `${cmd}/${name}`),
  ];
  await fillCache(["go", "build", "-ldflags=-s -w", "-o", `${CACHE}/`, ...packages], {
    cwd: inRoot("tests/liqo/peer"),
    env: { CGO_ENABLED: "0" },
  });
}

/** The custom resources of Liqo's chart. */
async function customResources(chart: string): Promise<Resource[]> {
  const directory = `${chart}/charts/liqo-crds/crds`;
  const files = await Array.fromAsync(Deno.readDir(directory));
  const texts = files.map(({ name }) => Deno.readTextFile(`${directory}/${name}`));
  const crds = await parseYaml((await Promise.all(texts)).join("\n"));
  for (const { spec } of crds.filter((crd) => WITH_PODS.includes(crd.spec.names.plural))) {
    const schema = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
    for (const version of spec.versions) version.schema.openAPIV3Schema = schema;
  }
  return crds;
}

/** What a cluster has of the proxy. */
export interface ProxyState {
  /** The Services by which Liqo finds it. */
  readonly services: readonly { readonly name: string; readonly address: string }[];
  /** Of the `IP`: the address that it is for, and the one that peers get; empty if there is none. */
  readonly local: string;
  readonly remapped: string;
}

/** An API server with Liqo's resources. */
export class LiqoCluster implements AsyncDisposable {
  readonly name: string;
  readonly cluster: Cluster;
  /** Goes to the API server itself. */
  readonly kubeconfig: string;
  readonly kubectl: Kubectl;
  readonly #chart: string;
  readonly #processes: Process[] = [];
  #manager: Process | undefined;
  #replicator: Process | undefined;
  #isProxyEnabled = true;
  #ipamPort = 0;

  private constructor(
    name: string,
    cluster: Cluster,
    kubeconfig: string,
    kubectl: Kubectl,
    chart: string,
  ) {
    this.name = name;
    this.cluster = cluster;
    this.kubeconfig = kubeconfig;
    this.kubectl = kubectl;
    this.#chart = chart;
  }

  /** Starts the API server and installs Liqo's custom resources. */
  static async start(name: string): Promise<LiqoCluster> {
    await buildLiqo();
    await using stack = new AsyncDisposableStack();
    const cluster = stack.use(await Cluster.start());
    const kubeconfig = await cluster.kubeconfig(undefined);
    const config = JSON.parse(await Deno.readTextFile(kubeconfig));
    config.clusters[0].cluster.server = `https://${cluster.address}`;
    await Deno.writeTextFile(kubeconfig, JSON.stringify(config));
    const kubectl = new Kubectl(kubeconfig, await cluster.scratch());
    const sources = await moduleSources(`github.com/liqotech/liqo@${LIQO}`);
    const chart = `${sources}/deployments/liqo`;
    const crds = { apiVersion: "v1", kind: "List", items: await customResources(chart) };
    await kubectl.output(["create", "--filename=-"], { stdin: JSON.stringify(crds) });
    // `kubectl wait` would take a tenth of a second for each of them.
    await eventually("Liqo's custom resources are served", async () => {
      const established = '{{if eq .type "Established"}}{{.status}}{{end}}';
      const each = `{{range .status.conditions}}${established}{{end}}{{"\\n"}}`;
      const get = ["get", "crd", `-ogo-template={{range .items}}${each}{{end}}`];
      const states = (await kubectl.output(get)).split("\n").slice(0, -1);
      return states.every((state) => state === "True");
    }, true);
    await kubectl.output(["create", "namespace", "liqo"]);
    stack.move();
    return new LiqoCluster(name, cluster, kubeconfig, kubectl, chart);
  }

  /** What `helm upgrade --install` of Liqo's chart does to the resources that matter here. */
  async installLiqo(proxy: { readonly enabled?: boolean; readonly replicas?: number } = {}) {
    const command = [HELM, "template", "liqo", this.#chart, "--namespace=liqo", "--values=-"];
    const values: Values = {
      tag: LIQO,
      discovery: { config: { clusterID: this.name } },
      ipam: NETWORKS,
      proxy,
    };
    const all = await parseYaml(await output(command, { stdin: JSON.stringify(values) }));
    const isHook = ({ metadata }: Resource) => "helm.sh/hook" in (metadata.annotations ?? {});
    const isProxy = ({ kind, metadata }: Resource) =>
      (kind === "Deployment" || kind === "Service") && metadata.name === "liqo-proxy";
    const wanted = all.filter((it: Resource) =>
      (KINDS.includes(it.kind) && !isHook(it)) || isProxy(it)
    );
    for (const { kind, metadata } of wanted) {
      if (kind !== "ClusterRole") metadata.namespace = "liqo";
      // Loopback addresses are not remapped by anybody, so this one has to be as it is asked for.
      if (kind === "Network" && metadata.name === "external-cidr") {
        delete metadata.labels["ipam.liqo.io/network-not-remapped"];
      }
    }
    await this.apply({ apiVersion: "v1", kind: "List", items: wanted });
    this.#isProxyEnabled = wanted.some(isProxy);
    if (!this.#isProxyEnabled) {
      await this.kubectl.output([
        ...["delete", "service,deployment", "liqo-proxy", "-nliqo", "--ignore-not-found"],
      ]);
    }
    const manager = only(all, "Deployment", "liqo-controller-manager");
    const args: string[] = manager.spec.template.spec.containers[0].args;
    return { remapsApiServer: args.includes("--enable-api-server-ip-remapping=true") };
  }

  async apply(manifest: Resource): Promise<void> {
    const stdin = JSON.stringify(manifest);
    await this.kubectl.output(["apply", "--server-side", "--filename=-"], { stdin });
  }

  /** Runs helm in this cluster, in Liqo's namespace. */
  async helm(...args: string[]): Promise<string> {
    return await output([HELM, `--kubeconfig=${this.kubeconfig}`, "--namespace=liqo", ...args]);
  }

  /** Starts the address manager, the controller manager and the replicator. */
  async startControllers(): Promise<void> {
    await this.startAddressManager();
    await this.startControllerManager();
    this.#startReplicator();
  }

  /** The first of them, on which the controller manager depends. */
  async startAddressManager(): Promise<void> {
    this.#ipamPort = freePort();
    const ipam = this.#launch("ipam", [
      ...["--pod-name=ipam", `--port=${this.#ipamPort}`, `--pools=${POOLS}`],
      ...["--sync-interval=2m", "--sync-graceperiod=30s"],
    ]);
    await ipam.stderr.find((line) => line.includes("IPAM initialized"));
  }

  /** Starts the controller manager and waits until its controllers do. */
  async startControllerManager(): Promise<void> {
    const manager = this.launchControllerManager();
    await manager.stderr.find((line) => line.includes("starting manager as controller manager"));
  }

  /** The same, and does not wait for it. */
  launchControllerManager(): Process {
    return this.#manager = this.#launch("liqo-controller-manager", [
      ...[`--cluster-id=${this.name}`, "--liqo-namespace=liqo", "--networking-enabled=true"],
      `--ipam-server=127.0.0.1:${this.#ipamPort}`,
      "--api-server-address-override=https://kubernetes.default.svc:443",
      `--enable-api-server-ip-remapping=${this.#isProxyEnabled}`,
      ...["--enable-storage=false", "--default-limits-enforcement=None"],
      ...["--ingress-classes=", "--load-balancer-classes="],
      "--default-node-resources=cpu=4,ephemeral-storage=20Gi,memory=8Gi,pods=110",
      "--global-labels=liqo.io/managed=true",
      "--gateway-server-resources=networking.liqo.io/v1beta1/wggatewayservers",
      "--gateway-client-resources=networking.liqo.io/v1beta1/wggatewayclients",
      // Liqo's own are 15 s and 5 s.
      ...["--foreign-cluster-ping-interval=1s", "--foreign-cluster-ping-timeout=1s"],
      ...["--metrics-address=0", "--health-probe-address=127.0.0.1:0"],
    ]);
  }

  #startReplicator(): void {
    const args = [`--cluster-id=${this.name}`, "--metrics-address=0"];
    this.#replicator = this.#launch("crd-replicator", args);
  }

  #launch(program: string, args: readonly string[]): Process {
    const env = { KUBECONFIG: this.kubeconfig, POD_NAMESPACE: "liqo" };
    const process = new Process([`${CACHE}/${program}`, ...args], { env, stdout: "null" });
    this.#processes.push(process);
    return process;
  }

  /** What the controller manager that was started last has logged. */
  get log(): Lines {
    return this.#manager!.stderr;
  }

  /** The same of the replicator. */
  get replicatorLog(): Lines {
    return this.#replicator!.stderr;
  }

  /** Ends the controller manager, if it has not ended by itself. */
  async stopControllerManager(): Promise<void> {
    await this.#manager!.stop();
  }

  /** Ends the controller manager and starts it again, as its pod's restart would. */
  async restartControllerManager(): Promise<void> {
    await this.stopControllerManager();
    await this.startControllerManager();
  }

  /** Starts those again that end without their API server, as their pods' restart policy would. */
  async restartControllers(): Promise<void> {
    await this.#replicator!.stop();
    this.#startReplicator();
    await this.restartControllerManager();
  }

  /** The Services by which Liqo finds the proxy, and its `IP`. */
  async proxy(): Promise<ProxyState> {
    const get = ["get", "service,ips.ipam.liqo.io", "-nliqo", "-ojson"];
    const { items } = JSON.parse(await this.kubectl.output(get));
    const isFound = ({ kind, metadata }: Resource) =>
      kind === "Service" && metadata.labels?.["app.kubernetes.io/name"] === "proxy";
    const ip = items.find(({ kind, metadata }: Resource) =>
      kind === "IP" && metadata.name === "api-server-proxy"
    );
    return {
      services: items.filter(isFound).map(({ metadata, spec }: Resource) => ({
        name: metadata.name,
        address: spec.clusterIP,
      })),
      local: ip?.spec.ip ?? "",
      remapped: ip?.status?.ip ?? "",
    };
  }

  /** Waits until Liqo has given the proxy an address for peers. */
  async remapped(): Promise<string> {
    const ip = ["ips.ipam.liqo.io/api-server-proxy", "-nliqo", "--timeout=1m"];
    await this.kubectl.output(["wait", "--for=create", ...ip]);
    const wait = ["wait", "--for=jsonpath={.status.ip}", "-ojsonpath={.status.ip}", ...ip];
    return await this.kubectl.output(wait);
  }

  /** Waits until Liqo's check of that peer's API server says so. */
  async waitForApiServer(peer: string, status: string): Promise<void> {
    const path = '{.status.conditions[?(@.type=="APIServerStatus")].status}';
    const wait = ["wait", `--for=jsonpath=${path}=${status}`, "--timeout=1m"];
    await this.kubectl.output([...wait, `foreigncluster/${peer}`]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#processes.map((it) => it[Symbol.asyncDispose]()));
    await this.cluster[Symbol.asyncDispose]();
  }
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
