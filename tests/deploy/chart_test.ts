import { assert, assertEquals, assertGreater, assertStringIncludes } from "@std/assert";
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
  image: { version: "1.2.3", digest: "sha256:" + "0".repeat(64) },
  commonLabels: { "app.kubernetes.io/part-of": "liqo" },
  imagePullSecrets: [{ name: "registry" }],
  config: {
    upstreams: ["10.0.0.10:6443", "[fd00::1]:6443"],
    allowedHosts: ["kubernetes.default.svc:443"],
    allowFrom: ["cl01=10.70.0.0/16", "10.0.0.9", "fd00::/8"],
    workers: "auto",
    logLevel: "debug",
  },
  pod: { extraArgs: ["--idle-timeout=1h"], priorityClassName: "system-cluster-critical" },
  credentials: { existingSecret: "peers" },
  service: { clusterIP: "10.96.0.81", ipFamilyPolicy: "PreferDualStack" },
  serviceMonitor: { enabled: true, labels: { release: "prometheus" } },
  prometheusRule: { enabled: true },
  dashboard: { enabled: true },
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

/** The environment that the kubelet gives a pod. */
function inPod(name: string): string | undefined {
  const variables = { KUBERNETES_SERVICE_HOST: "10.96.0.1", KUBERNETES_SERVICE_PORT: "443" };
  return variables[name as keyof typeof variables];
}

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
    const invocation = parseConfig(args, inPod);
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

/** `TCP/443` for each port of each rule. */
function portsOf(rules: { ports: { port: number; protocol: string }[] }[]): string[][] {
  return rules.map((rule) => rule.ports.map(({ port, protocol }) => `${protocol}/${port}`));
}

test("chart's network policy lets in both ports, and out to the API server and DNS", async () => {
  const { ingress, egress } = only(await render(), "NetworkPolicy").spec;
  assertEquals(portsOf(ingress), [["TCP/8118"], ["TCP/8119"]]);
  assertEquals(portsOf(egress), [
    ["TCP/443", "TCP/6443", "TCP/8443", "TCP/16443"],
    ["UDP/53", "TCP/53", "UDP/5353", "TCP/5353"],
  ]);
}, { skip });

for (
  const [name, values, ports] of [
    ["an address", { config: { upstreams: ["10.0.0.1:16443"] } }, [16443]],
    ["several, each once", {
      config: { upstreams: ["10.0.0.1:6443", "[fd00::1]:6443", "api.example.org:7000"] },
    }, [6443, 7000]],
    [
      "443, which may be a Service's",
      { config: { upstreams: ["10.96.0.1:443", "10.0.0.9:8080"] } },
      [
        ...[443, 6443, 8443, 16443, 8080],
      ],
    ],
    ["a URL", { config: { upstreams: ["https://10.0.0.1:16443", "https://[fd00::1]:6443/"] } }, [
      ...[16443, 6443],
    ]],
    ["a URL without a port", { config: { upstreams: ["https://[fd00::1]"] } }, [
      ...[443, 6443, 8443, 16443],
    ]],
    ["the API server's Service", {
      config: { upstreams: ["kubernetes.default.svc.cluster.local:443"] },
    }, [443, 6443, 8443, 16443]],
    ["allowed hosts, which are dialled without an upstream", {
      config: { allowedHosts: ["10.0.0.1:9443"] },
    }, [9443]],
    ["not allowed hosts, which are only a check beside an upstream", {
      config: { upstreams: ["10.0.0.1:6443"], allowedHosts: ["kubernetes.default.svc:443"] },
    }, [6443]],
    ["as given for a Service", {
      config: { upstreams: ["api.tenant.svc:443"] },
      networkPolicy: { upstreamPorts: [9443] },
    }, [9443]],
  ] as [string, Values, number[]][]
) {
  test(`chart's network policy has the ports of its upstreams: ${name}`, async () => {
    const { egress } = only(await render(values), "NetworkPolicy").spec;
    assertEquals(portsOf(egress)[0], ports.map((port) => `TCP/${port}`));
  }, { skip });
}

for (const upstream of ["api:443", "api.tenant.svc:443", "api.tenant.svc.cluster.local.:6443"]) {
  test(`chart refuses to derive ports from ${upstream}, unless no policy needs them`, async () => {
    const config = { upstreams: [upstream] };
    const { code, stderr } = await template({ config });
    assertEquals(code, 1);
    assertStringIncludes(
      stderr,
      `networkPolicy.upstreamPorts: cannot be derived from "${upstream}", a Service`,
    );
    await render({ config, networkPolicy: { enabled: false } });
    await render({ config, hostNetwork: true });
  }, { skip });
}

test("chart's Service keeps the sources that allowFrom judges", async () => {
  const policyOf = async (type: string, allowFrom: string[]) => {
    const resources = await render({ service: { type }, config: { allowFrom } });
    return only(resources, "Service").spec.externalTrafficPolicy;
  };
  assertEquals(await policyOf("LoadBalancer", ["10.0.0.0/8"]), "Local");
  assertEquals(await policyOf("NodePort", ["10.0.0.0/8"]), "Local");
  assertEquals(await policyOf("NodePort", []), undefined);
  assertEquals(await policyOf("ClusterIP", ["10.0.0.0/8"]), undefined);
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

test(
  "chart's IP outlives a release, for another one would give peers another address",
  async () => {
    const { metadata } = only(await render({ service: { clusterIP: "10.96.0.81" } }), "IP");
    assertEquals(metadata.annotations["helm.sh/resource-policy"], "keep");
    assertEquals(metadata.annotations["liqo.io/preinstalled"], "true");
  },
  { skip },
);

test("chart makes neither Service nor IP when its pods serve behind Liqo's", async () => {
  const resources = await render({ service: { create: false, clusterIP: "10.96.0.81" } });
  assertEquals(resources.filter(({ kind }) => kind === "Service" || kind === "IP"), []);
}, { skip });

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

const SERVICE_IPV6 = { service: { clusterIP: "fd00::1" } };

for (
  const [name, values, words] of [
    ["an unknown value", { replicaCount: 3 }, "'replicaCount' not allowed"],
    ["an unknown value inside", { config: { listenPort: 1 } }, "'listenPort' not allowed"],
    ["a port that is none", { config: { adminPort: 80_000 } }, "/config/adminPort': maximum"],
    ["a word that is none of them", { config: { logLevel: "loud" } }, "one of 'debug', 'info'"],
    ["a misspelt peer", { networkPolicy: { dnsTo: [{ podSelektor: {} }] } }, "'podSelektor' not"],
    ["a number as a label", { pod: { labels: { tier: 1 } } }, "/pod/labels/tier': got number"],
    [
      "a duration without unit",
      { config: { drainTimeout: "30" } },
      'config.drainTimeout "30": takes a duration, such as 500ms, 10s, 1m30s or 1h',
    ],
    [
      "a drain without end",
      { config: { drainTimeout: "0s" } },
      'config.drainTimeout "0s": 0 is no limit, and a pod\'s grace period needs one',
    ],
    [
      "an upstream without port",
      { config: { upstreams: ["a.b"] } },
      'config.upstreams[0] "a.b": takes HOST:PORT, an IPv6 address in brackets',
    ],
    [
      "a source that is no CIDR",
      { config: { allowFrom: ["10.0.0.0/8", "cl01"] } },
      'config.allowFrom[1] "cl01": takes a CIDR or an address, or NAME= and one of them',
    ],
    [
      "a range of a load balancer that is no CIDR",
      { service: { loadBalancerSourceRanges: ["10.0.0.1"] } },
      'service.loadBalancerSourceRanges[0] "10.0.0.1": takes a CIDR, such as 10.81.0.0/16',
    ],
    [
      "a headless Service",
      { service: { clusterIP: "None" } },
      'service.clusterIP "None": takes an address of the Service range, or nothing',
    ],
    [
      "an IPv6 address for Liqo",
      SERVICE_IPV6,
      'service.clusterIP "fd00::1": Liqo\'s IP resource takes IPv4 alone',
    ],
    [
      "a port that the Service would not follow",
      { pod: { extraArgs: ["--idle-timeout=1h", "--port=1"] } },
      'pod.extraArgs[1] "--port=1": give config.listeningPort, which other resources follow',
    ],
    [
      "an upstream that the policy would not follow",
      { pod: { extraArgs: ["--force-host=a.b:1"] } },
      'pod.extraArgs[0] "--force-host=a.b:1": give config.upstreams',
    ],
    ["an argument that is no flag", { pod: { extraArgs: ["ready"] } }, "takes --flag=value"],
    [
      "a variable that stands for a flag",
      { extraEnv: [{ name: "API_SERVER_PROXY_PORT", value: "1" }] },
      'extraEnv[0] "API_SERVER_PROXY_PORT": stands for a flag',
    ],
    [
      "a variable that slows the event loop down",
      { extraEnv: [{ name: "DENO_TOKIO_EVENT_INTERVAL", value: "61" }] },
      'extraEnv[0] "DENO_TOKIO_EVENT_INTERVAL": changes how Deno itself runs',
    ],
    [
      "a variable that changes the upstream",
      { extraEnv: [{ name: "KUBERNETES_SERVICE_PORT", value: "1" }] },
      'extraEnv[0] "KUBERNETES_SERVICE_PORT": changes the upstream: give config.upstreams',
    ],
    [
      "a variable given twice",
      { extraEnv: [{ name: "A", value: "1" }, { name: "A", value: "2" }] },
      'extraEnv[1] "A": is given twice',
    ],
    [
      "a label of the chart's own, for all resources",
      { commonLabels: { "app.kubernetes.io/name": "mine" } },
      'commonLabels "app.kubernetes.io/name": the chart sets this label itself',
    ],
    [
      "a label of the chart's own, for pods",
      { pod: { labels: { "helm.sh/chart": "mine" } } },
      'pod.labels "helm.sh/chart": this label is there already',
    ],
    [
      "a label given twice",
      { commonLabels: { team: "a" }, serviceMonitor: { labels: { team: "b" } } },
      'serviceMonitor.labels "team": this label is there already',
    ],
    ["a digest that is none", { image: { digest: "0".repeat(64) } }, "takes sha256: and 64"],
    [
      "a digest behind the tag",
      { image: { version: "1@sha256:" + "0".repeat(64) } },
      "the digest goes into image.digest",
    ],
    [
      "a load balancer that lets anybody in",
      { service: { type: "LoadBalancer" } },
      'service.type "LoadBalancer": lets anybody on the network in; give config.allowFrom or ' +
      "credentials.existingSecret too",
    ],
    [
      "two monitors",
      { serviceMonitor: { enabled: true }, podMonitor: { enabled: true } },
      "podMonitor.enabled: every pod would be scraped twice",
    ],
    [
      "a scrape longer than its interval",
      { podMonitor: { interval: "10s", scrapeTimeout: "15s" } },
      'podMonitor.scrapeTimeout "15s": is more than the interval, 10s',
    ],
  ] as [string, Values, string][]
) {
  test(`chart refuses ${name}, in words`, async () => {
    const { code, stderr } = await template(values);
    assertEquals(code, 1);
    assertStringIncludes(stderr, words);
    assert(!stderr.includes("does not match pattern"), stderr);
  }, { skip });
}

test("chart refuses all mistakes at once", async () => {
  const { stderr } = await template({
    ...{ config: { upstreams: ["a.b"], idleTimeout: "5" }, image: { digest: "x" } },
  });
  for (const name of ["config.upstreams[0]", "config.idleTimeout", "image.digest"]) {
    assertStringIncludes(stderr, `\n${name} `);
  }
}, { skip });

test("chart lets a load balancer stand before credentials", async () => {
  const resources = await render({
    ...{ service: { type: "LoadBalancer" }, credentials: { existingSecret: "peers" } },
  });
  assertEquals(only(resources, "Service").spec.type, "LoadBalancer");
}, { skip });

test("chart takes an IPv6 address for the Service where Liqo gets none", async () => {
  const resources = await render({ ...SERVICE_IPV6, ip: { create: false } });
  assertEquals(only(resources, "Service").spec.clusterIP, "fd00::1");
}, { skip });

test("chart's numbers fit each other", async () => {
  const resources = await render();
  const { replicas, strategy, template } = only(resources, "Deployment").spec;
  const { terminationGracePeriodSeconds, containers: [{ args, resources: { limits, requests } }] } =
    template.spec;
  const invocation = parseConfig(args, inPod);
  assert(invocation.kind === "run");
  const { config } = invocation;
  // A drain ends 1 s after its deadline at the latest, before the kubelet kills the pod.
  const endMs = config.shutdownDelayMs + config.drainTimeoutMs + 1_000;
  assertGreater(terminationGracePeriodSeconds * 1_000, endMs);
  // A drain of nodes and an update both leave a pod that serves.
  assertGreater(replicas, only(resources, "PodDisruptionBudget").spec.maxUnavailable);
  assertEquals(strategy.rollingUpdate.maxUnavailable, 0);
  // The process with one worker, large buffers of all tunnels, and the tunnels themselves.
  const mebibytes = (quantity: string) => Number(/^(\d+)Mi$/.exec(quantity)![1]);
  const tunnels = config.maxConnections * 16 / 1_024;
  assertEquals(config.workers, 1);
  assertGreater(mebibytes(limits.memory), 55 + 64 + tunnels);
  assertGreater(mebibytes(limits.memory), mebibytes(requests.memory));
  // Liqo asks the API server through the proxy, and gives up after 5 s.
  assertGreater(5_000, config.connectTimeoutMs);
}, { skip });

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
  const { image } = only(await render(), "Deployment").spec.template.spec.containers[0];
  assertStringIncludes(chart.annotations["artifacthub.io/images"], `image: ${image}\n`);
  assertEquals(/^ARG VERSION=(.*)$/m.exec(readSource("Dockerfile"))?.[1], project.version);
}, { skip });
