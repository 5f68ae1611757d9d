import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import project from "../../deno.json" with { type: "json" };
import { parseConfig } from "../../lib/config/config.ts";
import { output } from "../harness/child_process.ts";
import { test } from "../harness/test.ts";
import { CHART, HELM, only, parseYaml, render, template, type Values } from "./helm.ts";
import { readSource } from "../sources.ts";
import { missing } from "./tools.ts";

const skip = missing({ "helm": HELM !== undefined });

/** Everything on. */
const ALL: Values = {
  image: { version: "1.2.3@sha256:" + "0".repeat(64) },
  imagePullSecrets: [{ name: "registry" }],
  config: {
    upstreams: ["10.0.0.10:6443", "[fd00::1]:6443"],
    allowedHosts: ["kubernetes.default.svc:443"],
    allowFrom: ["10.70.0.0/16", "fd00::/8"],
    workers: "auto",
    logLevel: "debug",
  },
  pod: { extraArgs: ["--idle-timeout=1h"], priorityClassName: "system-cluster-critical" },
  service: { clusterIP: "10.96.0.81" },
  serviceMonitor: { enabled: true, labels: { release: "prometheus" } },
  autoscaling: { enabled: true },
  networkPolicy: {
    proxyFrom: [{ ipBlock: { cidr: "10.70.0.0/16" } }],
    adminFrom: [{ namespaceSelector: { matchLabels: { name: "monitoring" } } }],
    dnsTo: [{ namespaceSelector: {} }],
  },
  nodeSelector: { "kubernetes.io/os": "linux" },
  tolerations: [{ operator: "Exists" }],
  affinity: { nodeAffinity: {} },
};

/** The `proxy:` section of the values of Liqo 1.1, with values that are not its defaults. */
const LIQO: Values = {
  enabled: true,
  replicas: 3,
  pod: {
    annotations: { "example.org/team": "network" },
    labels: { "example.org/tier": "edge" },
    extraArgs: ["--max-tunnel-age=1h"],
    resources: { limits: {}, requests: { memory: "100Mi" } },
    priorityClassName: "edge",
  },
  image: { name: "registry.example.org/proxy", version: "v9" },
  service: { type: "NodePort", annotations: { "example.org/note": "kept" } },
  config: { listeningPort: 9118 },
};

test("deploy/api-server-proxy.yaml is what the chart renders", async () => {
  const { stdout } = await template();
  assertEquals(readSource("deploy/api-server-proxy.yaml"), stdout, "run `deno task manifests`");
}, { skip });

for (const [name, values] of Object.entries({ "no values": {}, "everything on": ALL, LIQO })) {
  test(`chart is clean for helm lint --strict: ${name}`, async () => {
    const command = [HELM!, "lint", "--strict", "--kube-version=1.37.0", "--values=-", CHART];
    await output(command, { stdin: JSON.stringify(values) });
  }, { skip });

  test(`chart gives the proxy arguments that it takes: ${name}`, async () => {
    const resources = await render(values);
    const { args } = only(resources, "Deployment").spec.template.spec.containers[0];
    const inPod = { KUBERNETES_SERVICE_HOST: "10.96.0.1", KUBERNETES_SERVICE_PORT: "443" };
    const invocation = parseConfig(args, (name) => inPod[name as keyof typeof inPod]);
    assertEquals(invocation.kind, "run", JSON.stringify(invocation));
  }, { skip });

  test(`chart's selectors all find the pods and nothing else: ${name}`, async () => {
    const resources = await render(values);
    const { selector, template } = only(resources, "Deployment").spec;
    for (const [key, value] of Object.entries(selector.matchLabels)) {
      assertEquals(template.metadata.labels[key], value);
    }
    const selectors = resources.flatMap(({ kind, spec }) =>
      kind === "Service"
        ? [spec.selector]
        : kind === "PodDisruptionBudget"
        ? [spec.selector.matchLabels]
        : kind === "NetworkPolicy"
        ? [spec.podSelector.matchLabels]
        : []
    );
    assert(selectors.length >= 3);
    for (const found of selectors) assertEquals(found, selector.matchLabels);
  }, { skip });

  test(`chart has exactly one Service with the label that Liqo looks for: ${name}`, async () => {
    const resources = await render(values);
    const services = resources.filter(({ kind, metadata }) =>
      kind === "Service" && metadata.labels["app.kubernetes.io/name"] === "proxy"
    );
    assertEquals(services.length, 1);
    // Peers reach every port of it, so metrics must not be one.
    const port = (values as typeof LIQO & { config?: { listeningPort?: number } }).config
      ?.listeningPort ?? 8118;
    assertEquals(services[0].spec.ports.map(({ port }: { port: number }) => port), [port]);
  }, { skip });
}

test("chart puts all resources into the namespace of the release", async () => {
  for (const { kind, metadata } of await render(ALL)) {
    assertEquals(metadata.namespace, "liqo", kind);
  }
}, { skip });

for (
  const [shutdownDelay, drainTimeout, seconds] of [
    ["5s", "25s", 35],
    ["0", "500ms", 6],
    ["1.5s", "1m30s", 97],
    ["10s", "1h", 3_615],
  ] as const
) {
  test(`chart computes the grace period of ${shutdownDelay} and ${drainTimeout}`, async () => {
    const resources = await render({ config: { shutdownDelay, drainTimeout } });
    const { terminationGracePeriodSeconds, containers } =
      only(resources, "Deployment").spec.template.spec;
    assertEquals(terminationGracePeriodSeconds, seconds);
    assert(containers[0].args.includes(`--shutdown-delay=${shutdownDelay}`));
    assert(containers[0].args.includes(`--drain-timeout=${drainTimeout}`));
  }, { skip });
}

test("chart's pod has no rights, no token and no other Services in its environment", async () => {
  const { spec } = only(await render(), "Deployment").spec.template;
  assertEquals(spec.automountServiceAccountToken, false);
  assertEquals(spec.enableServiceLinks, false);
  const [container, ...others] = spec.containers;
  assertEquals(others, []);
  assertEquals(container.securityContext, {
    allowPrivilegeEscalation: false,
    capabilities: { drop: ["ALL"] },
    readOnlyRootFilesystem: true,
  });
  const { runAsNonRoot, seccompProfile, sysctls } = spec.securityContext;
  assertEquals({ runAsNonRoot, seccompProfile }, {
    runAsNonRoot: true,
    seccompProfile: { type: "RuntimeDefault" },
  });
  assertEquals(sysctls.map(({ name }: { name: string }) => name), [
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
  ]);
  assertEquals(only(await render(), "ServiceAccount").automountServiceAccountToken, false);
}, { skip });

test("chart's probes ask the admin port", async () => {
  const [container] = only(await render(), "Deployment").spec.template.spec.containers;
  assertEquals(container.livenessProbe.httpGet, { path: "/livez", port: "admin" });
  assertEquals(container.readinessProbe.httpGet, { path: "/readyz", port: "admin" });
  const admin = container.ports.find(({ name }: { name: string }) => name === "admin");
  assert(container.args.includes(`--admin-port=${admin.containerPort}`));
}, { skip });

test("chart's network policy lets in both ports, and out to the API server and DNS", async () => {
  const { ingress, egress } = only(await render(), "NetworkPolicy").spec;
  const ports = (rules: { ports: { port: number; protocol: string }[] }[]) =>
    rules.map((rule) => rule.ports.map(({ port, protocol }) => `${protocol}/${port}`));
  assertEquals(ports(ingress), [["TCP/8118"], ["TCP/8119"]]);
  assertEquals(ports(egress), [["TCP/443", "TCP/6443"], ["UDP/53", "TCP/53"]]);
}, { skip });

test("chart makes the IP of the address that it fixes for the Service", async () => {
  const resources = await render({ service: { clusterIP: "10.96.0.81" } });
  assertEquals(only(resources, "Service").spec.clusterIP, "10.96.0.81");
  const { apiVersion, metadata, spec } = only(resources, "IP");
  assertEquals({ apiVersion, name: metadata.name, spec }, {
    apiVersion: "ipam.liqo.io/v1alpha1",
    name: "api-server-proxy",
    spec: { ip: "10.96.0.81" },
  });
  assertEquals(metadata.labels["ipam.liqo.io/ip-type"], "api-server-proxy");
}, { skip });

for (
  const values of [
    {},
    { fullnameOverride: "api-server-proxy" },
    { fullnameOverride: "api-server" },
    { nameOverride: "proxy" },
  ]
) {
  test(
    `chart's Services bear no name of an IP, for Liqo would delete them: ${JSON.stringify(values)}`,
    async () => {
      const resources = await render({ ...values, serviceMonitor: { enabled: true } });
      const names = resources.filter(({ kind }) => kind === "Service")
        .map(({ metadata }) => metadata.name);
      assertEquals(names.length, 2);
      for (const ip of ["api-server-proxy", "api-server"]) {
        assert(!names.includes(ip), names.join());
      }
    },
    { skip },
  );
}

for (
  const [name, values] of Object.entries({
    "its address is not known": {},
    "Liqo makes it": { service: { clusterIP: "10.96.0.81" }, ip: { create: false } },
  })
) {
  test(`chart makes no IP when ${name}`, async () => {
    assertEquals((await render(values)).filter(({ kind }) => kind === "IP"), []);
  }, { skip });
}

test("chart leaves the number of pods to the autoscaler", async () => {
  const resources = await render({ autoscaling: { enabled: true, maxReplicas: 9 } });
  assertEquals(only(resources, "Deployment").spec.replicas, undefined);
  const { scaleTargetRef, maxReplicas } = only(resources, "HorizontalPodAutoscaler").spec;
  assertEquals(maxReplicas, 9);
  assertEquals(scaleTargetRef.name, only(resources, "Deployment").metadata.name);
}, { skip });

test("chart's monitor finds the metrics Service by label and port", async () => {
  const resources = await render({ serviceMonitor: { enabled: true } });
  const { selector, endpoints } = only(resources, "ServiceMonitor").spec;
  const { metadata, spec } = only(resources, "Service", "api-server-proxy-metrics");
  for (const [key, value] of Object.entries(selector.matchLabels)) {
    assertEquals(metadata.labels[key], value);
  }
  assertEquals(endpoints[0].port, spec.ports[0].name);
}, { skip });

test("chart takes the proxy section of Liqo's values as it is", async () => {
  const resources = await render(LIQO);
  const { replicas, template } = only(resources, "Deployment").spec;
  const [container] = template.spec.containers;
  assertEquals(replicas, 3);
  assertEquals(container.image, "registry.example.org/proxy:v9");
  assertEquals(container.args[0], "--port=9118");
  assertEquals(container.args.at(-1), "--max-tunnel-age=1h");
  assertEquals(container.resources.requests.memory, "100Mi");
  assertEquals(template.metadata.annotations, { "example.org/team": "network" });
  assertEquals(template.metadata.labels["example.org/tier"], "edge");
  assertEquals(template.spec.priorityClassName, "edge");
  const { metadata, spec } = only(resources, "Service");
  assertEquals(spec.type, "NodePort");
  assertEquals(metadata.annotations, { "example.org/note": "kept" });
}, { skip });

for (
  const [name, values, place] of [
    ["an unknown value", { replicaCount: 3 }, "'replicaCount' not allowed"],
    ["an unknown value inside", { config: { listenPort: 1 } }, "'listenPort' not allowed"],
    ["a port that is none", { config: { adminPort: 80_000 } }, "/config/adminPort"],
    ["a duration without unit", { config: { drainTimeout: "30" } }, "/config/drainTimeout"],
    ["a drain without end", { config: { drainTimeout: "0s" } }, "/config/drainTimeout"],
    ["an upstream without port", { config: { upstreams: ["a.b"] } }, "/config/upstreams/0"],
    ["a source that is no CIDR", { config: { allowFrom: ["10.0.0.1"] } }, "/config/allowFrom/0"],
    ["a headless Service", { service: { clusterIP: "None" } }, "/service/clusterIP"],
    ["a port behind its back", { pod: { extraArgs: ["--port=1"] } }, "/pod/extraArgs/0"],
    ["a misspelt peer", { networkPolicy: { dnsTo: [{ podSelektor: {} }] } }, "'podSelektor' not"],
    ["a number as a label", { pod: { labels: { tier: 1 } } }, "/pod/labels/tier"],
  ] as const
) {
  test(`chart refuses ${name}`, async () => {
    const { code, stderr } = await template(values);
    assertEquals(code, 1);
    assertStringIncludes(stderr, place);
  }, { skip });
}

test("chart's schema leaves no place for a misspelt value", () => {
  const schema = JSON.parse(readSource("deploy/helm/api-server-proxy/values.schema.json"));
  const open: string[] = [];
  const walk = (part: Record<string, unknown>, path: string) => {
    if ("properties" in part && part.additionalProperties !== false) open.push(path);
    for (const [key, value] of Object.entries(part)) {
      if (typeof value === "object" && value !== null) {
        walk(value as Record<string, unknown>, `${path}/${key}`);
      }
    }
  };
  walk(schema, "");
  assertEquals(open, []);
});

test("chart and image have the version of deno.json", async () => {
  const [chart] = await parseYaml(readSource("deploy/helm/api-server-proxy/Chart.yaml"));
  assertEquals(chart.version, project.version);
  assertEquals(chart.appVersion, project.version);
  assertEquals(/^ARG VERSION=(.*)$/m.exec(readSource("Dockerfile"))?.[1], project.version);
}, { skip });
