/** The manifests, applied to a real API server, through the proxy. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Environment } from "../e2e/environment.ts";
import { output } from "../harness/child_process.ts";
import { test } from "../harness/test.ts";
import { CHART, HELM, only, parseYaml, type Resource } from "./helm.ts";
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
  const everything = ["--set=autoscaling.enabled=true", "--set=config.drainTimeout=1m"];
  const notes = await helm("install", "proxy", chart, ...everything);
  assertEquals(await ips(), []);

  const command = notes.split("\n").find((line) => line.includes("helm upgrade"))!.trim();
  const upgraded = await shell(environment, command.replace("CHART", chart));
  const service = await kubectl.output(["get", "service", "-nliqo", "-ojson"]);
  const { clusterIP } = only(JSON.parse(service).items, "Service").spec;
  assertMatch(clusterIP, /^10\.96\./);
  assertEquals(await ips(), [clusterIP]);
  assertStringIncludes(upgraded, clusterIP);

  const manifest = await helm("get", "manifest", "proxy");
  await assertAsWritten(environment, await parseYaml(manifest));
  await assertNoDiff(environment, manifest);

  await helm("uninstall", "proxy");
  const kinds = "deployment,service,serviceaccount,networkpolicy,pdb,hpa,ips.ipam.liqo.io";
  const left = await kubectl.output(["get", kinds, "-nliqo", "-oname"]);
  assertEquals(left, "");
}, { skip });

test("chart's second upgrade finds the Service's address by itself", async () => {
  await using environment = await prepare();
  const { kubectl, kubeconfig } = environment;
  const chart = await chartForAnyVersion(environment);
  const helm = [HELM!, `--kubeconfig=${kubeconfig}`, "--namespace=liqo"];
  await output([...helm, "upgrade", "--install", "api-server-proxy", chart]);
  await output([...helm, "upgrade", "--install", "api-server-proxy", chart]);
  const jsonpath = "-ojsonpath={.items[*].spec.clusterIP}{.items[*].spec.ip}";
  const service = await kubectl.output(["get", "service", "-nliqo", jsonpath]);
  assertEquals(await kubectl.output(["get", "ips.ipam.liqo.io", "-nliqo", jsonpath]), service);
}, { skip });

test("ServiceMonitor and alerts are what the Prometheus operator takes", async () => {
  await using environment = await prepare();
  const { kubectl, kubeconfig } = environment;
  const crds = `${await moduleSources(PROMETHEUS_OPERATOR)}/example/prometheus-operator-crd`;
  for (const name of ["servicemonitors", "prometheusrules"]) {
    const crd = `${crds}/monitoring.coreos.com_${name}.yaml`;
    await kubectl.output(["apply", "--server-side", `--filename=${crd}`]);
    const established = ["wait", "--for=condition=Established"];
    await kubectl.output([...established, `crd/${name}.monitoring.coreos.com`]);
  }
  const chart = await chartForAnyVersion(environment);
  const helm = [HELM!, `--kubeconfig=${kubeconfig}`, "--namespace=liqo"];
  await output([...helm, "install", "proxy", chart, "--set=serviceMonitor.enabled=true"]);
  const manifest = await output([...helm, "get", "manifest", "proxy"]);
  assertStringIncludes(manifest, "kind: ServiceMonitor");
  await assertAsWritten(environment, await parseYaml(manifest));
  await assertNoDiff(environment, manifest);

  const [, command] = /```sh\n([^`]*)```/.exec(readSource("deploy/monitoring/README.md"))!;
  await shell(environment, command!);
  const rules = ["get", "prometheusrule", "api-server-proxy", "-nliqo", "-ojson"];
  const [written] = await parseYaml(readSource("deploy/monitoring/alerts.yaml"));
  assertEquals(JSON.parse(await kubectl.output(rules)).spec, written);
}, { skip });
