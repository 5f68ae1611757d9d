/** Each value of the chart, rendered both ways: given, and not given. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { documentedValues, withTable } from "../../deploy/helm/readme.ts";
import { parseConfig } from "../../lib/config/config.ts";
import { envName, type FlagName, FLAGS } from "../../lib/config/flags.ts";
import { test } from "../harness/test.ts";
import { readSource } from "../sources.ts";
import { HELM, only, parseYaml, render, type Resource, type Values } from "./helm.ts";
import { missing } from "./tools.ts";

const skip = missing({ "helm": HELM !== undefined });

const CHART = "deploy/helm/api-server-proxy";
const DOCUMENTED = documentedValues(readSource(`${CHART}/values.yaml`));
const DIGEST = `sha256:${"0".repeat(64)}`;
const IMAGE = "ghcr.io/liqotech/api-server-proxy";
const SELECTOR = { matchLabels: { a: "b" } };
const ON_NODES = { hostNetwork: true };
const LOAD_BALANCER = { service: { type: "LoadBalancer" }, config: { allowFrom: ["10.0.0.0/8"] } };
const AUTOSCALING = { autoscaling: { enabled: true } };
const RELABELING = [{ action: "labeldrop", regex: "pod" }];

/** What a value does. */
interface Effect {
  readonly given: unknown;
  /** Where it shows: kind (and name), then keys; `…/args/--flag` is that flag's value. */
  readonly at: string;
  /** What is there when it is given; by default the same. */
  readonly is?: unknown;
  /** What is there otherwise. */
  readonly was?: unknown;
  /** Values without which it does nothing. */
  readonly with?: Values;
}

const META = "Deployment/metadata";
const SPEC = "Deployment/spec";
const POD = `${SPEC}/template`;
const CONTAINER = `${POD}/spec/containers/0`;
const POLICY = "NetworkPolicy/spec";

function flag(name: string, given: unknown, was?: string, is = String(given)): Effect {
  return { given, at: `${CONTAINER}/args/--${name}`, is, was };
}

function monitor(section: string, kind: string, endpoints: string): Record<string, Effect> {
  const on = { [section]: { enabled: true } };
  return {
    [`${section}.enabled`]: { given: true, at: `${kind}/kind`, is: kind },
    [`${section}.namespace`]: {
      ...{ given: "monitoring", at: `${kind}/metadata/namespace`, was: "liqo", with: on },
    },
    [`${section}.labels`]: {
      ...{ given: { release: "p" }, at: `${kind}/metadata/labels/release`, is: "p", with: on },
    },
    [`${section}.interval`]: {
      ...{ given: "1m", at: `${kind}/spec/${endpoints}/0/interval`, was: "30s", with: on },
    },
    [`${section}.scrapeTimeout`]: {
      ...{ given: "5s", at: `${kind}/spec/${endpoints}/0/scrapeTimeout`, with: on },
    },
    [`${section}.relabelings`]: {
      ...{ given: RELABELING, at: `${kind}/spec/${endpoints}/0/relabelings`, with: on },
    },
    [`${section}.metricRelabelings`]: {
      ...{ given: RELABELING, at: `${kind}/spec/${endpoints}/0/metricRelabelings`, with: on },
    },
  };
}

const EFFECTS: Record<string, Effect> = {
  "replicas": { given: 3, at: `${SPEC}/replicas`, was: 2 },
  "revisionHistoryLimit": { given: 0, at: `${SPEC}/revisionHistoryLimit`, was: 10 },
  "minReadySeconds": { given: 5, at: `${SPEC}/minReadySeconds` },
  "strategy": {
    given: { type: "Recreate" },
    at: `${SPEC}/strategy`,
    was: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
  },
  "image.name": { given: "r/p", at: `${CONTAINER}/image`, is: "r/p:0.2.0", was: `${IMAGE}:0.2.0` },
  "image.version": {
    ...{ given: "9", at: `${CONTAINER}/image`, is: `${IMAGE}:9`, was: `${IMAGE}:0.2.0` },
  },
  "image.digest": {
    given: DIGEST,
    at: `${CONTAINER}/image`,
    is: `${IMAGE}:0.2.0@${DIGEST}`,
    was: `${IMAGE}:0.2.0`,
  },
  "image.pullPolicy": {
    ...{ given: "Always", at: `${CONTAINER}/imagePullPolicy`, was: "IfNotPresent" },
  },
  "imagePullSecrets": { given: [{ name: "r" }], at: `${POD}/spec/imagePullSecrets` },
  "nameOverride": {
    ...{ given: "edge", at: `${META}/name`, is: "api-server-proxy-edge", was: "api-server-proxy" },
  },
  "fullnameOverride": { given: "edge", at: `${META}/name`, was: "api-server-proxy" },
  "commonLabels": { given: { team: "net" }, at: "Service/metadata/labels/team", is: "net" },

  "config.listeningPort": flag("port", 9118, "8118"),
  "config.host": flag("host", "::"),
  "config.adminPort": flag("admin-port", 9119, "8119"),
  "config.adminHost": flag("admin-host", "0.0.0.0"),
  "config.upstreams": flag("upstream", ["a.b:1", "[fd00::1]:2"], undefined, "a.b:1,[fd00::1]:2"),
  "config.allowedHosts": flag("allowed-hosts", ["a.b:1"]),
  "config.probe": flag("probe", "tcp", "readyz"),
  "config.allowFrom": flag("allow-from", ["10.0.0.0/8", "fd00::/8"]),
  "config.workers": flag("workers", "auto", "1"),
  "config.maxConnections": flag("max-connections", 1_000_000, "4096"),
  "config.maxConnectionsPerSource": flag("max-connections-per-source", 9, "0"),
  "config.headerTimeout": flag("header-timeout", "9s", "10s"),
  "config.connectTimeout": flag("connect-timeout", "9s", "4s"),
  "config.idleTimeout": flag("idle-timeout", "9s", "4h"),
  "config.halfCloseTimeout": flag("half-close-timeout", "9s", "1m"),
  "config.maxTunnelAge": flag("max-tunnel-age", "9h", "0"),
  "config.shutdownDelay": flag("shutdown-delay", "9s", "5s"),
  "config.drainTimeout": flag("drain-timeout", "9s", "25s"),
  "config.logOpenAfter": flag("log-open-after", "9s", "10s"),
  "config.logLevel": flag("log-level", "warn", "info"),
  "config.logFormat": flag("log-format", "text", "json"),

  "upstreamCA.enabled": {
    given: false,
    at: `${CONTAINER}/env`,
    is: undefined,
    was: [{
      name: "API_SERVER_PROXY_UPSTREAM_CA",
      valueFrom: {
        configMapKeyRef: { name: "kube-root-ca.crt", key: "ca.crt", optional: true },
      },
    }],
  },
  "upstreamCA.configMap": {
    given: "their-ca",
    at: `${CONTAINER}/env/0/valueFrom/configMapKeyRef/name`,
    with: { config: { upstreams: ["10.0.0.1:6443"] } },
  },
  "upstreamCA.key": {
    given: "root.pem",
    at: `${CONTAINER}/env/0/valueFrom/configMapKeyRef/key`,
    was: "ca.crt",
  },
  "credentials.existingSecret": {
    given: "peers",
    at: `${CONTAINER}/env/1`,
    is: {
      name: "API_SERVER_PROXY_CREDENTIALS",
      valueFrom: { secretKeyRef: { name: "peers", key: "credentials" } },
    },
  },
  "credentials.key": {
    given: "hashes",
    at: `${CONTAINER}/env/1/valueFrom/secretKeyRef/key`,
    was: "credentials",
    with: { credentials: { existingSecret: "peers" } },
  },

  "pod.annotations": { given: { a: "b" }, at: `${POD}/metadata/annotations` },
  "pod.labels": { given: { tier: "edge" }, at: `${POD}/metadata/labels/tier`, is: "edge" },
  "pod.extraArgs": { given: ["--x=1"], at: `${CONTAINER}/args/--x`, is: "1" },
  "pod.priorityClassName": { given: "edge", at: `${POD}/spec/priorityClassName` },
  "pod.resources.requests": {
    given: { memory: "1Gi" },
    at: `${CONTAINER}/resources/requests/memory`,
    is: "1Gi",
    was: "96Mi",
  },
  "pod.resources.limits": {
    given: { cpu: "1" },
    at: `${CONTAINER}/resources/limits`,
    is: { cpu: "1", memory: "256Mi" },
    was: { memory: "256Mi" },
  },
  "deployment.annotations": { given: { a: "b" }, at: `${META}/annotations` },
  "extraEnv": {
    given: [{ name: "OTEL_DENO", value: "true" }],
    is: { name: "OTEL_DENO", value: "true" },
    at: `${CONTAINER}/env/1`,
  },
  "serviceAccount.create": {
    ...{ given: false, at: `${POD}/spec/serviceAccountName`, is: "default" },
    was: "api-server-proxy",
  },
  "serviceAccount.annotations": { given: { a: "b" }, at: "ServiceAccount/metadata/annotations" },
  "serviceAccount.name": {
    ...{ given: "own", at: `${POD}/spec/serviceAccountName`, was: "api-server-proxy" },
  },
  "podSecurityContext": {
    ...{ given: { fsGroup: 1 }, at: `${POD}/spec/securityContext/fsGroup`, is: 1 },
  },
  "securityContext": {
    ...{ given: { privileged: false }, at: `${CONTAINER}/securityContext/privileged`, is: false },
  },
  "startupProbe": { given: { tcpSocket: { port: "http" } }, at: `${CONTAINER}/startupProbe` },
  "livenessProbe": {
    ...{ given: { periodSeconds: 9 }, at: `${CONTAINER}/livenessProbe/periodSeconds`, is: 9 },
  },
  "readinessProbe": {
    given: { periodSeconds: 9 },
    at: `${CONTAINER}/readinessProbe/periodSeconds`,
    is: 9,
    was: 5,
  },
  "hostNetwork": { given: true, at: `${POD}/spec/hostNetwork` },
  "dnsPolicy": { given: "Default", at: `${POD}/spec/dnsPolicy` },
  "dnsConfig": { given: { nameservers: ["10.0.0.2"] }, at: `${POD}/spec/dnsConfig` },
  "hostAliases": {
    ...{ given: [{ ip: "10.0.0.1", hostnames: ["api"] }], at: `${POD}/spec/hostAliases` },
  },

  "service.create": { given: false, at: "Service/kind", is: undefined, was: "Service" },
  "service.existingSelector": {
    given: { tier: "edge" },
    at: `${POD}/metadata/labels/tier`,
    is: "edge",
    with: { service: { create: false } },
  },
  "service.type": { given: "NodePort", at: "Service/spec/type", was: "ClusterIP" },
  "service.annotations": { given: { a: "b" }, at: "Service/metadata/annotations" },
  "service.clusterIP": { given: "10.96.0.81", at: "Service/spec/clusterIP" },
  "service.ipFamilyPolicy": { given: "PreferDualStack", at: "Service/spec/ipFamilyPolicy" },
  "service.ipFamilies": { given: ["IPv4", "IPv6"], at: "Service/spec/ipFamilies" },
  "service.trafficDistribution": {
    ...{ given: "PreferSameZone", at: "Service/spec/trafficDistribution" },
  },
  "service.externalTrafficPolicy": {
    given: "Cluster",
    at: "Service/spec/externalTrafficPolicy",
    was: "Local",
    with: LOAD_BALANCER,
  },
  "service.loadBalancerClass": {
    ...{ given: "example.org/lb", at: "Service/spec/loadBalancerClass", with: LOAD_BALANCER },
  },
  "service.loadBalancerSourceRanges": {
    given: ["10.0.0.0/8"],
    at: "Service/spec/loadBalancerSourceRanges",
    with: LOAD_BALANCER,
  },
  "ip.create": {
    ...{ given: false, at: "IP/spec/ip", is: undefined, was: "10.96.0.81" },
    with: { service: { clusterIP: "10.96.0.81" } },
  },
  "podDisruptionBudget.enabled": {
    ...{ given: false, at: "PodDisruptionBudget/kind", is: undefined, was: "PodDisruptionBudget" },
  },
  "podDisruptionBudget.maxUnavailable": {
    ...{ given: "50%", at: "PodDisruptionBudget/spec/maxUnavailable", was: 1 },
  },

  "networkPolicy.enabled": {
    ...{ given: false, at: "NetworkPolicy/kind", is: undefined, was: "NetworkPolicy" },
  },
  "networkPolicy.proxyFrom": {
    ...{ given: [{ ipBlock: { cidr: "10.70.0.0/16" } }], at: `${POLICY}/ingress/0/from` },
  },
  "networkPolicy.adminFrom": {
    ...{ given: [{ namespaceSelector: SELECTOR }], at: `${POLICY}/ingress/1/from` },
  },
  "networkPolicy.upstreamCIDRs": {
    given: ["10.0.0.0/24"],
    at: `${POLICY}/egress/0/to`,
    is: [{ ipBlock: { cidr: "10.0.0.0/24" } }],
    was: [{ ipBlock: { cidr: "0.0.0.0/0" } }, { ipBlock: { cidr: "::/0" } }],
  },
  "networkPolicy.upstreamPorts": {
    given: [7443],
    at: `${POLICY}/egress/0/ports`,
    is: [{ port: 7443, protocol: "TCP" }],
    was: [443, 6443, 8443, 16443].map((port) => ({ port, protocol: "TCP" })),
  },
  "networkPolicy.dnsTo": {
    ...{ given: [{ podSelector: SELECTOR }], at: `${POLICY}/egress/1/to` },
  },
  "networkPolicy.dnsPorts": {
    given: [54],
    at: `${POLICY}/egress/1/ports`,
    is: [{ port: 54, protocol: "UDP" }, { port: 54, protocol: "TCP" }],
    was: [53, 5353].flatMap((port) => [{ port, protocol: "UDP" }, { port, protocol: "TCP" }]),
  },
  "networkPolicy.extraEgress": {
    ...{ given: [{ ports: [{ port: 4318 }] }], at: `${POLICY}/egress/2/ports/0/port`, is: 4318 },
  },

  ...monitor("serviceMonitor", "ServiceMonitor", "endpoints"),
  ...monitor("podMonitor", "PodMonitor", "podMetricsEndpoints"),
  "prometheusRule.enabled": { given: true, at: "PrometheusRule/kind", is: "PrometheusRule" },
  "prometheusRule.namespace": {
    ...{ given: "monitoring", at: "PrometheusRule/metadata/namespace", was: "liqo" },
    with: { prometheusRule: { enabled: true } },
  },
  "prometheusRule.labels": {
    ...{ given: { release: "p" }, at: "PrometheusRule/metadata/labels/release", is: "p" },
    with: { prometheusRule: { enabled: true } },
  },
  "dashboard.enabled": { given: true, at: "ConfigMap/kind", is: "ConfigMap" },
  "dashboard.namespace": {
    ...{ given: "monitoring", at: "ConfigMap/metadata/namespace", was: "liqo" },
    with: { dashboard: { enabled: true } },
  },
  "dashboard.labels": {
    ...{ given: { grafana_dashboard: "x" }, at: "ConfigMap/metadata/labels/grafana_dashboard" },
    ...{ is: "x", was: "1", with: { dashboard: { enabled: true } } },
  },
  "dashboard.annotations": {
    ...{ given: { grafana_folder: "Liqo" }, at: "ConfigMap/metadata/annotations" },
    with: { dashboard: { enabled: true } },
  },

  "autoscaling.enabled": { given: true, at: `${SPEC}/replicas`, is: undefined, was: 2 },
  "autoscaling.minReplicas": {
    ...{ given: 3, at: "HorizontalPodAutoscaler/spec/minReplicas", was: 2, with: AUTOSCALING },
  },
  "autoscaling.maxReplicas": {
    ...{ given: 9, at: "HorizontalPodAutoscaler/spec/maxReplicas", was: 6, with: AUTOSCALING },
  },
  "autoscaling.targetCPUUtilizationPercentage": {
    given: 50,
    at: "HorizontalPodAutoscaler/spec/metrics/0/resource/target/averageUtilization",
    was: 80,
    with: AUTOSCALING,
  },
  "autoscaling.behavior": {
    given: { scaleDown: { stabilizationWindowSeconds: 900 } },
    at: "HorizontalPodAutoscaler/spec/behavior",
    with: AUTOSCALING,
  },

  "nodeSelector": { given: { a: "b" }, at: `${POD}/spec/nodeSelector` },
  "tolerations": { given: [{ operator: "Exists" }], at: `${POD}/spec/tolerations` },
  "affinity": { given: { nodeAffinity: { a: {} } }, at: `${POD}/spec/affinity` },
  "topologySpreadConstraints": {
    given: [{ maxSkew: 2 }],
    at: `${POD}/spec/topologySpreadConstraints/0/maxSkew`,
    is: 2,
    was: 1,
  },
  "schedulerName": { given: "other", at: `${POD}/spec/schedulerName` },
  "runtimeClassName": { given: "gvisor", at: `${POD}/spec/runtimeClassName` },
};

/** What stands there in the rendered resources. */
function find(resources: Resource[], at: string): unknown {
  const [kind, ...keys] = at.split("/");
  let found = resources.find((resource) =>
    resource.kind === kind && !resource.metadata.name.endsWith("-metrics")
  );
  for (const key of keys) {
    found = key.startsWith("--")
      ? found.find((arg: string) => arg.startsWith(`${key}=`))?.slice(key.length + 1)
      : found?.[key];
  }
  return found;
}

/** `{ a: { b: value } }` of `a.b`. */
function nested(path: string, value: unknown): Values {
  return path.split(".").reduceRight<unknown>((inner, key) => ({ [key]: inner }), value) as Values;
}

function merge(left: Values, right: Values): Values {
  const merged = { ...left };
  for (const [key, value] of Object.entries(right)) {
    const both = isMap(merged[key]) && isMap(value);
    merged[key] = both ? merge(merged[key] as Values, value as Values) : value;
  }
  return merged;
}

function isMap(value: unknown): value is Values {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

for (const [path, effect] of Object.entries(EFFECTS)) {
  test(`chart's ${path} shows where it should, and only when given`, async () => {
    const { given, at, was } = effect;
    const is = "is" in effect ? effect.is : given;
    const context = effect.with ?? {};
    const [without, resources] = await Promise.all([
      render(context),
      render(merge(context, nested(path, given))),
    ]);
    assertEquals(find(without, at), was, `${at} by default`);
    assertEquals(find(resources, at), is, `${at} when given`);
    assertNotEquals(is, was);
  }, { skip });
}

test("every value of the chart has a description and is tried here", () => {
  assertEquals(DOCUMENTED.map(({ path }) => path).sort(), Object.keys(EFFECTS).sort());
});

test("chart's schema has the values of values.yaml", async () => {
  const [values] = await parseYaml(readSource(`${CHART}/values.yaml`));
  const schema = JSON.parse(readSource(`${CHART}/values.schema.json`));
  const described = new Set(DOCUMENTED.map(({ path }) => path));
  const inFile: string[] = [];
  const walkValues = (value: Values, prefix: string) => {
    for (const [key, inner] of Object.entries(value)) {
      const path = prefix + key;
      if (!described.has(path) && isMap(inner)) walkValues(inner, `${path}.`);
      else inFile.push(path);
    }
  };
  walkValues(values, "");
  assertEquals(inFile.sort(), [...described].sort(), "values without a description");
  for (const path of described) {
    const keys = path.split(".");
    const part = keys.reduce((part, key) => part?.properties?.[key], schema);
    assert(part !== undefined, `the schema has no ${path}`);
  }
  const inSchema = Object.keys(schema.properties).filter((key) => !(key in values));
  assertEquals(inSchema, ["global", "enabled"]);
}, { skip });

test("chart can set every flag, and its defaults are those of the flags", async () => {
  const [bare, full] = await Promise.all([
    render(),
    render(
      Object.entries(EFFECTS).filter(([path]) =>
        /^(config|credentials|upstreamCA\.configMap)\b/.test(path)
      )
        .reduce((values, [path, { given }]) => merge(values, nested(path, given)), {} as Values),
    ),
  ]);
  const argsOf = (resources: Resource[]): string[] =>
    only(resources, "Deployment").spec.template.spec.containers[0].args;
  const { env: variables } = only(full, "Deployment").spec.template.spec.containers[0];
  const given = [
    ...argsOf(full).map((arg) => arg.slice(0, arg.indexOf("="))),
    ...variables.map(({ name }: { name: string }) => name),
  ];
  const names = (Object.keys(FLAGS) as FlagName[]).filter((name) => name !== "force-host");
  for (const name of names) {
    assert(given.includes(`--${name}`) || given.includes(envName(name)), `no value for --${name}`);
  }
  assertEquals(given.length, names.length);

  const env = (name: string) => name === "KUBERNETES_SERVICE_HOST" ? "10.96.0.1" : undefined;
  const ofChart = parseConfig(argsOf(bare), env);
  const ofFlags = parseConfig(["--shutdown-delay=5s", "--log-format=json"], env);
  assertEquals(ofChart, ofFlags);
}, { skip });

test("chart's README has the table of its values", () => {
  const readme = readSource(`${CHART}/README.md`);
  // Formatted, a table has other spaces and dashes.
  const squeezed = (text: string) => text.replaceAll(/ +/g, " ").replaceAll(/-{3,}/g, "---");
  const made = withTable(readme, DOCUMENTED);
  assertEquals(squeezed(readme), squeezed(made), "run `deno task chart:readme`");
});

test("chart on the nodes' network has their ports, DNS and no sysctls of its own", async () => {
  const resources = await render(ON_NODES);
  const { spec } = only(resources, "Deployment");
  assertEquals(spec.strategy.rollingUpdate, { maxSurge: 0, maxUnavailable: 1 });
  assertEquals(spec.template.spec.dnsPolicy, "ClusterFirstWithHostNet");
  assertEquals(spec.template.spec.securityContext.sysctls, undefined);
  assertEquals(spec.template.spec.securityContext.runAsUser, 65532);
  assertEquals(resources.filter(({ kind }) => kind === "NetworkPolicy"), []);

  const sysctls = ["kernel.shm_rmid_forced", "net.ipv4.tcp_keepalive_time"]
    .map((name) => ({ name, value: "1" }));
  const kept = await render({ ...ON_NODES, podSecurityContext: { sysctls } });
  const { securityContext } = only(kept, "Deployment").spec.template.spec;
  assertEquals(securityContext.sysctls, sysctls.slice(0, 1));
}, { skip });

test("chart leaves the user to OpenShift when it is null", async () => {
  const resources = await render({ podSecurityContext: { runAsUser: null, runAsGroup: null } });
  const { securityContext } = only(resources, "Deployment").spec.template.spec;
  assertEquals(Object.keys(securityContext).sort(), ["runAsNonRoot", "seccompProfile", "sysctls"]);
}, { skip });

test("chart puts common labels on everything, and into no selector", async () => {
  const resources = await render({
    ...{ commonLabels: { team: "net" }, autoscaling: { enabled: true } },
    ...{ serviceMonitor: { enabled: true }, prometheusRule: { enabled: true } },
    ...{ dashboard: { enabled: true }, service: { clusterIP: "10.96.0.81" } },
  });
  for (const { kind, metadata } of resources) assertEquals(metadata.labels.team, "net", kind);
  const { selector, template } = only(resources, "Deployment").spec;
  assertEquals(template.metadata.labels.team, "net");
  assertEquals(selector.matchLabels.team, undefined);
}, { skip });

test("chart's alerts and dashboard are the files in monitoring/", async () => {
  const resources = await render({
    prometheusRule: { enabled: true },
    dashboard: { enabled: true },
  });
  const [alerts] = await parseYaml(readSource(`${CHART}/monitoring/alerts.yaml`));
  assertEquals(only(resources, "PrometheusRule").spec, alerts);
  const { data } = only(resources, "ConfigMap");
  const dashboard = readSource(`${CHART}/monitoring/dashboard.json`);
  assertEquals(data["api-server-proxy.json"], dashboard);
}, { skip });
