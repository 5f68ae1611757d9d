/** The manifests, applied to a real API server, through the proxy. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Environment } from "../e2e/environment.ts";
import { output, run } from "../harness/child_process.ts";
import { test } from "../harness/test.ts";
import { proxyCommand } from "../harness/process.ts";
import {
  CHART,
  HELM,
  only,
  parseYaml,
  render,
  renderTests,
  type Resource,
  template,
  type Values,
} from "./helm.ts";
import { liqoSources } from "./liqo.ts";
import { inRoot, readSource } from "../sources.ts";
import { find, missing, moduleSources } from "./tools.ts";

const skip = missing({ helm: HELM !== undefined, go: find("go") !== undefined });

const MANIFEST = inRoot("deploy/api-server-proxy.yaml");
/** Of Liqo's sources. */
const CRD = "charts/liqo-crds/crds/ipam.liqo.io_ips.yaml";

const PROMETHEUS_OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.85.0";

/** A cluster with Liqo's CRD and a namespace in which Pod Security `restricted` is enforced. */
async function prepare(): Promise<Environment> {
  const environment = await Environment.start();
  const { kubectl } = environment;
  await kubectl.output(["apply", "--server-side", `--filename=${await liqoSources()}/${CRD}`]);
  await kubectl.output(["wait", "--for=condition=Established", "crd/ips.ipam.liqo.io"]);
  await kubectl.output(["create", "namespace", "liqo"]);
  const levels = ["enforce", "warn"].flatMap((mode) => [
    `pod-security.kubernetes.io/${mode}=restricted`,
    `pod-security.kubernetes.io/${mode}-version=latest`,
  ]);
  await kubectl.output(["label", "namespace", "liqo", ...levels]);
  return environment;
}

/** That all of `wanted` is in `found`, however much the API server has added. */
function assertContains(found: unknown, wanted: unknown, path: string): void {
  if (typeof wanted !== "object" || wanted === null) return assertEquals(found, wanted, path);
  assert(typeof found === "object" && found !== null, `${path} is gone`);
  if (Array.isArray(wanted)) assertEquals((found as unknown[]).length, wanted.length, path);
  for (const [key, value] of Object.entries(wanted)) {
    assertContains((found as Record<string, unknown>)[key], value, `${path}.${key}`);
  }
}

async function assertAsWritten({ kubectl }: Environment, resources: Resource[]): Promise<void> {
  for (const resource of resources) {
    const { kind, apiVersion, metadata } = resource;
    const [version, group = ""] = apiVersion.split("/").reverse();
    const type = group ? `${kind}.${version}.${group}` : kind;
    const live = await kubectl.output(["get", type, metadata.name, "-nliqo", "-ojson"]);
    assertContains(JSON.parse(live), resource, `${kind} ${metadata.name}`);
  }
}

async function assertNoDiff({ kubectl }: Environment, manifest: string): Promise<void> {
  const diff = ["diff", "--server-side", "--filename=-"];
  const { code, stdout, stderr } = await kubectl.run(diff, { stdin: manifest });
  assertEquals({ code, stdout }, { code: 0, stdout: "" }, stderr);
}

/** What the ReplicaSet would make of the Deployment: Pod Security judges pods, not Deployments. */
function podOf(deployment: Resource): Resource {
  const { metadata, spec } = structuredClone(deployment.spec.template);
  return { apiVersion: "v1", kind: "Pod", metadata: { ...metadata, name: "p" }, spec };
}

/** The chart for an API server that a plain `go build` has made: it does not know its own release. */
async function chartForAnyVersion({ cluster }: Environment): Promise<string> {
  const chart = `${await cluster.scratch()}/chart`;
  await output(["cp", "-r", CHART, chart]);
  const metadata = await Deno.readTextFile(`${chart}/Chart.yaml`);
  await Deno.writeTextFile(`${chart}/Chart.yaml`, metadata.replace(/^kubeVersion:.*$/m, ""));
  return chart;
}

/** Runs what a person would copy, with our kubectl and helm. */
async function shell({ kubeconfig }: Environment, command: string): Promise<string> {
  const path = `${inRoot(".cache")}:${HELM!.slice(0, HELM!.lastIndexOf("/"))}`;
  const env = { KUBECONFIG: kubeconfig, PATH: `${path}:${Deno.env.get("PATH")}` };
  return await output(["sh", "-c", command], { cwd: inRoot(""), env });
}

async function admit({ kubectl }: Environment, pod: Resource) {
  const create = ["create", "-nliqo", "--dry-run=server", "--filename=-"];
  return await kubectl.run(create, { stdin: JSON.stringify(pod) });
}

/** That the manifest serves as a resource of a kustomization. */
async function assertTakesKustomization(environment: Environment): Promise<void> {
  const dir = await environment.cluster.scratch();
  await Deno.copyFile(MANIFEST, `${dir}/api-server-proxy.yaml`);
  await Deno.writeTextFile(
    `${dir}/kustomization.yaml`,
    JSON.stringify({
      resources: ["api-server-proxy.yaml"],
      namespace: "edge",
      images: [{ name: "ghcr.io/liqotech/api-server-proxy", newName: "r/p", newTag: "9" }],
      replicas: [{ name: "api-server-proxy", count: 3 }],
      patches: [{
        target: { kind: "Deployment" },
        patch: JSON.stringify([{
          op: "add",
          path: "/spec/template/spec/containers/0/args/-",
          value: "--upstream=10.0.0.1:6443",
        }]),
      }],
    }),
  );
  const resources = await parseYaml(await environment.kubectl.output(["kustomize", dir]));
  for (const { metadata } of resources) assertEquals(metadata.namespace, "edge");
  const { replicas, template: { spec } } = only(resources, "Deployment").spec;
  assertEquals(replicas, 3);
  assertEquals(spec.containers[0].image, "r/p:9");
  assertEquals(spec.containers[0].args.at(-1), "--upstream=10.0.0.1:6443");
}

test("manifest is taken as written, and its pod by Pod Security restricted", async () => {
  await using environment = await prepare();
  const { kubectl } = environment;
  const { code, stdout, stderr } = await kubectl.run([
    "apply",
    "--server-side",
    "--validate=strict",
    `--filename=${MANIFEST}`,
  ]);
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
  const text = readSource("deploy/api-server-proxy.yaml");
  const resources = await parseYaml(text);
  assertEquals(stdout.trim().split("\n").length, resources.length);
  await assertAsWritten(environment, resources);
  await assertNoDiff(environment, text);

  const pod = podOf(only(resources, "Deployment"));
  const admitted = await admit(environment, pod);
  assertEquals(admitted.code, 0, admitted.stderr);
  delete pod.spec.containers[0].securityContext.capabilities;
  const refused = await admit(environment, pod);
  assertStringIncludes(refused.stderr, 'violates PodSecurity "restricted:latest"');
  await assertTakesKustomization(environment);
}, { skip });

test("docs/install.md's command makes the IP from the applied Service", async () => {
  await using environment = await prepare();
  const { kubectl } = environment;
  await kubectl.output(["apply", "--server-side", `--filename=${MANIFEST}`]);
  // The Service that Liqo's controller manager looks for.
  const select = ["get", "service", "-nliqo", "--selector=app.kubernetes.io/name=proxy", "-ojson"];
  const { items } = JSON.parse(await kubectl.output(select));
  assertEquals(items.length, 1);
  const template = /-o go-template='([^']*)'/.exec(readSource("docs/install.md"))?.[1];
  assert(template, "docs/install.md has no such command");
  const get = ["get", "service", "-nliqo", "api-server-proxy-http", `-ogo-template=${template}`];
  const ip = await kubectl.output(get);
  await kubectl.output(["apply", "--validate=strict", "--filename=-"], { stdin: ip });
  const live = await kubectl.output(["get", "ips.ipam.liqo.io", "-nliqo", "-ojson"]);
  const { metadata, spec } = only(JSON.parse(live).items, "IP");
  assertEquals(metadata.name, "api-server-proxy");
  assertEquals(metadata.labels, { "ipam.liqo.io/ip-type": "api-server-proxy" });
  assertEquals(metadata.annotations["liqo.io/preinstalled"], "true");
  assertEquals(spec, { ip: items[0].spec.clusterIP });
}, { skip });

test("chart installs, its notes' command makes the IP, and it uninstalls", async () => {
  await using environment = await prepare();
  const { kubectl, kubeconfig } = environment;
  const chart = await chartForAnyVersion(environment);
  const helm = (...args: string[]) =>
    output([HELM!, `--kubeconfig=${kubeconfig}`, "--namespace=liqo", ...args]);
  const ips = async () => {
    const list = await kubectl.output(["get", "ips.ipam.liqo.io", "-nliqo", "-ojson"]);
    return JSON.parse(list).items.map(({ spec }: Resource) => spec.ip);
  };
  await kubectl.output(["create", "service", "clusterip", "liqo-proxy", "--tcp=8118", "-nliqo"]);
  const label = ["label", "service", "liqo-proxy", "-nliqo", "app.kubernetes.io/name=proxy"];
  await kubectl.output([...label, "--overwrite"]);
  const install = [HELM!, `--kubeconfig=${kubeconfig}`, "--namespace=liqo", "install", "proxy"];
  const { stderr } = await run([...install, chart]);
  assertStringIncludes(stderr, "Service liqo-proxy is labelled app.kubernetes.io/name=proxy too");
  await kubectl.output(["delete", "service", "liqo-proxy", "-nliqo"]);

  const everything = ["--set=autoscaling.enabled=true", "--set=config.drainTimeout=1m"];
  const notes = await helm("install", "proxy", chart, ...everything);
  assertEquals(await ips(), []);

  const command = notes.split("\n").find((line) => line.includes("helm upgrade"))!.trim();
  await shell(environment, command.replace("CHART", chart));
  const service = await kubectl.output(["get", "service", "-nliqo", "-ojson"]);
  const { clusterIP } = only(JSON.parse(service).items, "Service").spec;
  assertMatch(clusterIP, /^10\.96\./);
  assertEquals(await ips(), [clusterIP]);

  const manifest = await helm("get", "manifest", "proxy");
  await assertAsWritten(environment, await parseYaml(manifest));
  await assertNoDiff(environment, manifest);

  await helm("uninstall", "proxy");
  const notesFor = (values: string) =>
    helm("install", "proxy", chart, "--dry-run=client", `--set=${values}`);
  assert(!notes.includes("WARNING"), notes);
  for (const values of ["service.type=NodePort", "hostNetwork=true"]) {
    const guarded = `${values},credentials.existingSecret=peers`;
    assertStringIncludes(await notesFor(values), "WARNING: whoever reaches a node");
    assert(!(await notesFor(guarded)).includes("WARNING"), guarded);
  }
  const words = "Liqo's IP resource takes IPv4 alone, and the Service has no such address";
  assertStringIncludes(await notesFor("service.ipFamilies={IPv6}"), words);

  const kinds = "deployment,service,serviceaccount,networkpolicy,pdb,hpa,ips.ipam.liqo.io";
  const left = await kubectl.output(["get", kinds, "-nliqo", "-oname"]);
  // It stays, as the one that Liqo makes: with another one peers would need another address.
  assertEquals(left, "ip.ipam.liqo.io/api-server-proxy\n");
  await helm("install", "proxy", chart);
  const again = await kubectl.output(["get", "service", "-nliqo", "-ojson"]);
  assertEquals(only(JSON.parse(again).items, "Service").spec.clusterIP, clusterIP);
  assertEquals(await ips(), [clusterIP]);
}, { skip });

test(
  "chart's second upgrade finds its Service's IPv4 address by itself, whichever family is first",
  async () => {
    await using environment = await prepare();
    const { kubectl, kubeconfig } = environment;
    const chart = await chartForAnyVersion(environment);
    const helm = [HELM!, `--kubeconfig=${kubeconfig}`, "--namespace=liqo"];
    const families = [
      "--set=service.ipFamilyPolicy=RequireDualStack",
      "--set=service.ipFamilies={IPv6,IPv4}",
    ];
    await output([...helm, "upgrade", "--install", "api-server-proxy", chart, ...families]);
    await output([...helm, "upgrade", "--install", "api-server-proxy", chart, ...families]);
    const service = await kubectl.output(["get", "service", "-nliqo", "-ojson"]);
    const { clusterIPs } = only(JSON.parse(service).items, "Service").spec;
    assertMatch(clusterIPs[0], /^fd00:96::/);
    const ips = await kubectl.output(["get", "ips.ipam.liqo.io", "-nliqo", "-ojson"]);
    assertEquals(only(JSON.parse(ips).items, "IP").spec.ip, clusterIPs[1]);
  },
  { skip },
);

/** The CRDs of the Prometheus operator. */
async function installMonitoring({ kubectl }: Environment): Promise<void> {
  const crds = `${await moduleSources(PROMETHEUS_OPERATOR)}/example/prometheus-operator-crd`;
  const names = ["servicemonitors", "podmonitors", "prometheusrules"];
  for (const name of names) {
    const crd = `${crds}/monitoring.coreos.com_${name}.yaml`;
    await kubectl.output(["apply", "--server-side", `--filename=${crd}`]);
  }
  const established = names.map((name) => `crd/${name}.monitoring.coreos.com`);
  await kubectl.output(["wait", "--for=condition=Established", ...established]);
}

const HA_CONSTRAINT = {
  maxSkew: 1,
  topologyKey: "topology.kubernetes.io/zone",
  whenUnsatisfiable: "DoNotSchedule",
  labelSelector: { matchLabels: { "app.kubernetes.io/name": "proxy" } },
};
/** What platform teams set, by the name of the case. */
const VALUES: Record<string, Values> = {
  "the defaults": {},
  "high availability": {
    replicas: 3,
    minReadySeconds: 10,
    topologySpreadConstraints: [HA_CONSTRAINT],
    podDisruptionBudget: { maxUnavailable: "34%" },
    autoscaling: {
      enabled: true,
      behavior: { scaleDown: { stabilizationWindowSeconds: 900 } },
    },
    service: { trafficDistribution: "PreferSameZone" },
    pod: { priorityClassName: "system-cluster-critical" },
  },
  "dual-stack": {
    service: {
      clusterIP: "10.96.0.81",
      ipFamilyPolicy: "RequireDualStack",
      ipFamilies: ["IPv4", "IPv6"],
    },
  },
  "IPv6 alone": {
    config: { upstreams: ["[fd00::10]:6443"], allowFrom: ["fd00::/8"] },
    service: { clusterIP: "fd00:96::81", ipFamilyPolicy: "SingleStack", ipFamilies: ["IPv6"] },
    ip: { create: false },
    networkPolicy: { upstreamCIDRs: ["fd00::/64"] },
  },
  "OpenShift": { podSecurityContext: { runAsUser: null, runAsGroup: null } },
  "monitoring by Service": {
    serviceMonitor: {
      enabled: true,
      scrapeTimeout: "10s",
      relabelings: [{ action: "labeldrop", regex: "pod" }],
      metricRelabelings: [{ action: "drop", sourceLabels: ["__name__"], regex: "process_.*" }],
    },
    prometheusRule: { enabled: true, labels: { release: "prometheus" } },
    dashboard: { enabled: true, annotations: { grafana_folder: "Liqo" } },
  },
  "monitoring by pod": { podMonitor: { enabled: true, namespace: "default" } },
  "a load balancer": {
    config: { allowFrom: ["10.0.0.0/8"] },
    service: {
      type: "LoadBalancer",
      loadBalancerClass: "example.org/internal",
      loadBalancerSourceRanges: ["10.0.0.0/8"],
    },
  },
  "all that a pod may have": {
    commonLabels: { "app.kubernetes.io/part-of": "liqo" },
    deployment: { annotations: { "example.org/owner": "network" } },
    image: { digest: `sha256:${"0".repeat(64)}` },
    credentials: { existingSecret: "peers" },
    extraEnv: [
      { name: "OTEL_DENO", value: "true" },
      { name: "NODE", valueFrom: { fieldRef: { fieldPath: "spec.nodeName" } } },
    ],
    startupProbe: { httpGet: { path: "/readyz", port: "admin" }, failureThreshold: 30 },
    dnsPolicy: "None",
    dnsConfig: { nameservers: ["10.96.0.10"], options: [{ name: "ndots", value: "1" }] },
    hostAliases: [{ ip: "10.0.0.1", hostnames: ["api.example.org"] }],
    schedulerName: "other",
    strategy: { type: "Recreate" },
    networkPolicy: { extraEgress: [{ ports: [{ port: 4318, protocol: "TCP" }] }] },
  },
};

/** That what `helm test` starts passes, where the Service is the proxy of the environment. */
async function assertTestPasses({ cluster, proxy }: Environment): Promise<void> {
  const { spec: { containers: [{ args, env }] } } = only(await renderTests(), "Pod");
  const [variable] = env;
  assertEquals(variable.valueFrom.configMapKeyRef.name, "kube-root-ca.crt");
  const service = only(await render(), "Service").metadata.name;
  const command = [...args];
  assertEquals(command.splice(1, 1, proxy.url), [`http://${service}.liqo.svc:8118`]);
  const variables = { [variable.name]: await Deno.readTextFile(cluster.ca) };
  assertStringIncludes(await output(proxyCommand(...command), { env: variables }), "readyz");
}

/** That a pod on its node's network is for privileged namespaces alone. */
async function assertNeedsPrivileged(environment: Environment): Promise<void> {
  const { kubectl } = environment;
  await kubectl.output(["create", "namespace", "edge"]);
  const values = { hostNetwork: true, config: { allowFrom: ["10.0.0.0/8"] } };
  const { stdout } = await template(values, { namespace: "edge", flags: [] });
  const apply = ["apply", "--server-side", "--validate=strict", "--filename=-"];
  const applied = await kubectl.run(apply, { stdin: stdout });
  assertEquals({ code: applied.code, stderr: applied.stderr }, { code: 0, stderr: "" });
  const deployment = await kubectl.output(["get", "deployment", "-nedge", "-ojson"]);
  const [{ spec }] = JSON.parse(deployment).items;
  const create = ["create", "-nedge", "--dry-run=server", "--filename=-", "-ojson"];
  const pod = await kubectl.output(create, { stdin: JSON.stringify(podOf({ spec })) });
  // The API server adds what makes two pods of one node exclude each other.
  const { ports } = JSON.parse(pod).spec.containers[0];
  assertEquals(ports.map(({ hostPort }: { hostPort: number }) => hostPort), [8118, 8119]);

  const refused = await admit(environment, podOf({ spec }));
  assertStringIncludes(refused.stderr, "host namespaces (hostNetwork=true)");
}

/** That the README of monitoring/ makes the alerts without a release. */
async function assertReadmeMakesAlerts(environment: Environment): Promise<void> {
  const readme = readSource("deploy/helm/api-server-proxy/monitoring/README.md");
  const [, command] = /```sh\n([^`]*)```/.exec(readme)!;
  await shell(environment, command!);
  const rules = ["get", "prometheusrule", "api-server-proxy", "-nliqo", "-ojson"];
  const [written] = await parseYaml(
    readSource("deploy/helm/api-server-proxy/monitoring/alerts.yaml"),
  );
  assertEquals(JSON.parse(await environment.kubectl.output(rules)).spec, written);
}

test(
  "values of platform teams are taken as rendered, and the pods by Pod Security restricted",
  async () => {
    await using environment = await prepare();
    await installMonitoring(environment);
    const { kubectl } = environment;
    // A dry run makes none, and pods are refused without theirs.
    await kubectl.output(["create", "serviceaccount", "api-server-proxy", "--namespace=liqo"]);
    for (const [name, values] of Object.entries(VALUES)) {
      const { stdout: manifest, stderr: refusal } = await template(values, { flags: [] });
      assertEquals(refusal, "", name);
      const apply = ["apply", "--server-side", "--validate=strict", "--dry-run=server"];
      const applied = await kubectl.run([...apply, "--filename=-", "-ojson"], { stdin: manifest });
      // Warnings, of Pod Security too, are on stderr.
      assertEquals({ code: applied.code, stderr: applied.stderr }, { code: 0, stderr: "" }, name);
      const resources = await parseYaml(manifest);
      const { items } = JSON.parse(applied.stdout);
      assertEquals(items.length, resources.length, name);
      for (const resource of resources) {
        const { kind, metadata } = resource;
        assertContains(only(items, kind, metadata.name), resource, `${name}: ${kind}`);
      }
      // A dry run of the Deployment warns of its pods, and does not judge them.
      const admitted = await admit(environment, podOf(only(resources, "Deployment")));
      assertEquals(admitted.stderr, "", name);
    }
    await assertTestPasses(environment);
    await assertNeedsPrivileged(environment);
    await assertReadmeMakesAlerts(environment);
  },
  { skip },
);
