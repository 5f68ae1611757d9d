/**
 * `diagnose` on a consumer's machine, with real parts: a kube-apiserver, our proxy, and a network
 * whose links are broken in turn.
 *
 *   consumer ── gateway ── provider
 */
import { X509Certificate } from "node:crypto";
import {
  assert,
  assertEquals,
  assertLessOrEqual,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { type Outcome, output, run } from "../harness/child_process.ts";
import { PROXY_START, proxyCommand, ProxyProcess } from "../harness/process.ts";
import { eventually } from "../harness/test.ts";
import { createServerCertificate } from "../../demo/certificate.ts";
import { Cluster, KUBECTL, SERVER } from "./cluster.ts";
import { test } from "./environment.ts";
import { find, missing } from "../deploy/tools.ts";
import { Machine, whyNoNamespaces } from "./network_namespaces.ts";

const PORT = 8118;
const CONSUMER = "192.168.110.0";
const PROVIDER = "192.168.110.3";
const PROXY_URL = `http://${PROVIDER}:${PORT}`;

const reason = await whyNoNamespaces() ?? missing({ openssl: find("openssl") !== undefined });
const skip = reason !== undefined;
const why = skip ? ` (skipped: ${reason})` : "";

let stack: AsyncDisposableStack;
let consumer: Machine, gateway: Machine, provider: Machine;
let cluster: Cluster;

Deno.test.beforeAll(async () => {
  if (skip) return;
  stack = new AsyncDisposableStack();
  consumer = stack.use(await Machine.create("consumer"));
  gateway = stack.use(await Machine.create("gateway"));
  provider = stack.use(await Machine.create("provider"));
  await consumer.connect(CONSUMER, gateway, "192.168.110.1");
  await gateway.connect("192.168.110.2", provider, PROVIDER);
  await consumer.route(`${PROVIDER}/32`, "192.168.110.1");
  await provider.route(`${CONSUMER}/32`, "192.168.110.2");
  cluster = stack.use(await Cluster.start({ prefix: provider.prefix }));
  stack.use(
    await ProxyProcess.start({
      prefix: provider.prefix,
      host: PROVIDER,
      port: PORT,
      flags: ["--upstream", cluster.address],
    }),
  );
});
Deno.test.afterAll(async () => {
  await stack?.disposeAsync();
});

/** Runs `diagnose` on the consumer's machine. */
async function diagnose(stdin: string, ...args: string[]): Promise<Outcome> {
  const command = [...consumer.prefix, ...proxyCommand("diagnose", ...args)];
  return await run(command, { ...PROXY_START, stdin });
}

type Fields = Record<string, unknown>;

/** What kubectl makes of the cluster's kubeconfig, with other values in its cluster. */
async function kubeconfig(
  user: "admin" | "guest" = "admin",
  { cluster: fields = {}, token }: { cluster?: Fields; token?: string } = {},
): Promise<string> {
  const file = await cluster.kubeconfig(PROXY_URL, { user, ...token && { token } });
  const view = ["config", "view", "--raw", "--minify", "--flatten", "-o", "json"];
  const config = JSON.parse(await output([KUBECTL, `--kubeconfig=${file}`, ...view]));
  Object.assign(config.clusters[0].cluster, fields);
  return JSON.stringify(config);
}

/** The printed table without times: one line a step, and its conclusion. */
function tableOf({ stdout }: Outcome): string[] {
  const lines = stdout.trimEnd().split("\n");
  assertMatch(lines[0]!, /^Checking the path: this machine -> HTTP proxy /);
  const end = lines.findLastIndex((line) => line === "");
  // Without the sentence that says what the broken step means.
  const conclusion = lines.slice(end).slice(-1);
  return [...lines.slice(2, end), ...conclusion].filter((line) => !line.startsWith(" "))
    .map((line) => line.replace(/ +\d+ ms {2}/, " ").replace(/ {2,}/g, " "));
}

const OK = {
  kubeconfig: 'kubeconfig ok context "admin"; user "admin": a token',
  address: `address ok ${PROVIDER}`,
  tcp: `tcp ok connected to ${PROVIDER}:${PORT} from ${CONSUMER}`,
  connect: "connect ok 200 Connection established",
};
const NO_API_SERVER = ["readyz", "version", "user"]
  .map((step) => `${step} skipped there is no connection to the API server`);

/** Has the cluster's authority sign a certificate; an expired one was valid for a second. */
async function sign(
  validity: "valid" | "expired",
  subject: string,
  usage: string,
  alternativeName = "DNS:nobody",
  keyFile?: string,
): Promise<{ certificate: string; key: string }> {
  const scratch = await cluster.scratch();
  const request = `${scratch}/request`, key = keyFile ?? `${scratch}/key`;
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", key];
  const extensions = [`extendedKeyUsage=${usage}`, `subjectAltName=${alternativeName}`];
  await output([
    ...["openssl", "req", "-new", "-subj", subject, "-out", request],
    ...keyFile === undefined ? newKey : ["-key", keyFile],
    ...extensions.flatMap((extension) => ["-addext", extension]),
  ]);
  const certificate = await output([
    ...["openssl", "x509", "-req", "-in", request, "-copy_extensions", "copy"],
    ...["-CA", cluster.ca, "-CAkey", cluster.ca.replace(/crt$/, "key")],
    ...["-days", validity === "valid" ? "1" : "0"],
  ]);
  return { certificate, key: await Deno.readTextFile(key) };
}

test("diagnose finds nothing wrong with a good path" + why, async () => {
  const outcome = await diagnose(await kubeconfig(), "--cidr=192.168.110.0/24");
  const [kube, address, tcp, connect, tls, readyz, version, user, end] = tableOf(outcome);
  assertEquals(
    [kube, address, tcp, connect],
    [OK.kubeconfig, `${OK.address}, inside 192.168.110.0/24`, OK.tcp, OK.connect],
  );
  assertMatch(tls!, /^tls ok certificate for kubernetes, .*; issued by CN=test-ca; valid until /);
  assertEquals(readyz, "readyz ok the API server is ready");
  assertMatch(version!, /^version ok Kubernetes v\d+\./);
  assertEquals(
    user,
    "user ok authenticated as admin; groups: system:masters, system:authenticated",
  );
  assertEquals(end, "Every step succeeded: clients on this machine can use the API server.");
  assertEquals(outcome.code, 0);
}, skip);

test("diagnose works without a kubeconfig, as in a pod" + why, async () => {
  const ca = await Deno.readTextFile(cluster.ca);
  const { code, stdout } = await diagnose(ca, PROXY_URL, SERVER, "--output=json");
  const { steps, firstBroken } = JSON.parse(stdout);
  assertEquals([code, firstBroken], [0, null]);
  assertEquals(
    steps.map(({ result }: { result: string }) => result),
    ["ok", "ok", "ok", "ok", "ok", "ok", "ok", "skipped"],
  );
  for (const { durationMs } of steps) assertLessOrEqual(durationMs ?? 0, 5_000);
}, skip);

test("diagnose tells a wrong token (401) from a missing right (403)" + why, async () => {
  const wrong = await diagnose(await kubeconfig("admin", { token: "wrong" }));
  assertEquals(tableOf(wrong).slice(-2), [
    "user FAILED 401: the API server does not accept the credentials (a token)",
    "First broken step: user",
  ]);
  assertEquals(wrong.code, 1);

  const guest = await kubeconfig("guest");
  assertMatch(tableOf(await diagnose(guest)).at(-2)!, /^user ok authenticated as guest; groups: /);
  const admin = await cluster.kubeconfig(undefined);
  const direct = [`--server=https://${cluster.address}`, `--kubeconfig=${admin}`];
  const kubectl = [...provider.prefix, KUBECTL, ...direct];
  await output([...kubectl, "delete", "clusterrolebinding", "system:basic-user"]);
  const denied = await diagnose(guest);
  const [user, end] = tableOf(denied).slice(-2);
  assertMatch(
    user!,
    /^user FAILED 403: the credentials are accepted, but the user lacks a right: .*User "guest" cannot create resource "selfsubjectreviews"/,
  );
  assertEquals([denied.code, end], [1, "First broken step: user"]);
}, skip);

test("diagnose finds that there is no route" + why, async () => {
  const config = await kubeconfig("admin", { cluster: { "proxy-url": "http://10.81.0.3:8118" } });
  const { code, stdout } = await diagnose(config);
  const outcome = { code, stdout, stderr: "" };
  assertEquals(code, 1);
  assertEquals(tableOf(outcome), [
    OK.kubeconfig,
    "address ok 10.81.0.3",
    "tcp FAILED there is no route from here to 10.81.0.3:8118",
    "connect skipped there is no connection to the proxy",
    "tls skipped there is no tunnel to the API server",
    ...NO_API_SERVER,
    "First broken step: tcp",
  ]);
  assert(stdout.includes("api-server-proxy remap"));
}, skip);

test("diagnose gives up after 5 s when packets are dropped" + why, async () => {
  const rule = ["FORWARD", "--destination", PROVIDER, "--jump", "DROP"];
  await gateway.run("iptables", "--append", ...rule);
  try {
    const outcome = await diagnose(await kubeconfig());
    assertEquals(outcome.code, 1);
    assertEquals(tableOf(outcome), [
      OK.kubeconfig,
      OK.address,
      `tcp FAILED no answer from ${PROVIDER}:${PORT} within 5 s`,
      "connect skipped there is no connection to the proxy",
      "tls skipped there is no tunnel to the API server",
      ...NO_API_SERVER,
      "First broken step: tcp",
    ]);
  } finally {
    await gateway.run("iptables", "--delete", ...rule);
  }
}, skip);

test("diagnose finds a wrong port, and a wrong scheme" + why, async () => {
  const port = { "proxy-url": `http://${PROVIDER}:${PORT + 1}` };
  const refused = await diagnose(await kubeconfig("admin", { cluster: port }));
  assertEquals(
    tableOf(refused)[2],
    `tcp FAILED ${PROVIDER}:${PORT + 1} refused the connection: the address answers, but nothing ` +
      "listens on that port",
  );
  const scheme = { "proxy-url": `https://${PROVIDER}:${PORT}` };
  const https = await diagnose(await kubeconfig("admin", { cluster: scheme }));
  assertMatch(tableOf(https)[0]!, /^kubeconfig FAILED proxy-url has the scheme https:\/\//);
  assertEquals(tableOf(https).at(-1), "First broken step: kubeconfig");
  assertMatch(tableOf(https).at(-2)!, /^user ok /);
}, skip);

test(
  "diagnose finds a name that the certificate has not, and a CA that did not sign" + why,
  async () => {
    const name = { server: "https://api.example.com" };
    const other = await diagnose(await kubeconfig("admin", { cluster: name }));
    assertMatch(
      tableOf(other)[4]!,
      /^tls FAILED the API server's certificate is not valid for api\.example\.com, only for kubernetes, /,
    );
    const { authority } = await createServerCertificate(["other"]);
    const ca = { "certificate-authority-data": btoa(authority) };
    const unsigned = await diagnose(await kubeconfig("admin", { cluster: ca }));
    assertEquals(
      tableOf(unsigned).slice(4),
      [
        "tls FAILED the certificate authority that was given (CN=api-server-proxy demo CA) did not " +
        "issue the API server's certificate: that was CN=test-ca",
        "readyz ok the API server is ready",
        tableOf(unsigned)[6]!,
        "user skipped credentials are not sent to a server that is not trusted",
        "First broken step: tls",
      ],
    );
  },
  skip,
);

test("diagnose finds a real API server in the proxy's place" + why, async () => {
  const config = await kubeconfig("admin", {
    cluster: { "proxy-url": `http://${cluster.address}` },
  });
  // On the provider's machine: the API server listens on its loopback.
  const command = [...provider.prefix, ...proxyCommand("diagnose")];
  const outcome = await run(command, { ...PROXY_START, stdin: config });
  assertMatch(
    tableOf(outcome)[3]!,
    /^connect FAILED a TLS server answers, not a proxy; its certificate is for kubernetes, /,
  );
}, skip);

test("diagnose says that a client certificate has expired" + why, async () => {
  const config = JSON.parse(await kubeconfig());
  const diagnoseWith = async (validity: "valid" | "expired") => {
    const { certificate, key } = await sign(validity, "/O=system:masters/CN=someone", "clientAuth");
    const data = { "client-certificate-data": btoa(certificate), "client-key-data": btoa(key) };
    config.users[0].user = data;
    return { certificate, outcome: await diagnose(JSON.stringify(config)) };
  };
  const good = await diagnoseWith("valid");
  assertEquals(
    tableOf(good.outcome).at(-2),
    "user ok authenticated as someone; groups: system:masters, system:authenticated",
  );
  const { certificate, outcome } = await diagnoseWith("expired");
  assertEquals(outcome.code, 1);
  assertEquals(tableOf(outcome).slice(-2), [
    "user FAILED 401: the API server does not accept the credentials (a client certificate)",
    "First broken step: user",
  ]);
  const day = new X509Certificate(certificate).validToDate.toISOString().slice(0, 10);
  assertStringIncludes(outcome.stdout, `-> The client certificate expired on ${day}.`);
}, skip);

test("diagnose says that the API server's own certificate has expired" + why, async () => {
  const config = await kubeconfig();
  const file = cluster.ca.replace(/ca\.crt$/, "serving.crt");
  const before = await Deno.readTextFile(file);
  const subject = ["/CN=kubernetes", "serverAuth", "DNS:kubernetes.default.svc"] as const;
  const { certificate } = await sign("expired", ...subject, file.replace(/crt$/, "key"));
  const day = new X509Certificate(certificate).validToDate.toISOString().slice(0, 10);
  // It watches the file.
  await Deno.writeTextFile(file, certificate);
  let table: string[] = [];
  const tls = async () => (table = tableOf(await diagnose(config)))[4];
  await eventually(
    "it serves it",
    tls,
    `tls FAILED the API server's certificate expired on ${day}`,
  );
  assertEquals(table.slice(5), [
    "readyz ok the API server is ready",
    table[6]!,
    "user skipped credentials are not sent to a server that is not trusted",
    "First broken step: tls",
  ]);
  await Deno.writeTextFile(file, before);
  await eventually("it serves the other again", async () => (await tls())!.slice(0, 7), "tls ok ");
}, skip);

test("diagnose lists what is not ready when etcd cannot be reached" + why, async () => {
  const config = await kubeconfig();
  const others = [cluster.address, cluster.kubelet].map((address) => address.split(":").at(-1));
  const sockets = await provider.run("ss", "--listening", "--tcp", "--numeric", "--no-header");
  const ports = [...sockets.matchAll(/ 127\.0\.0\.1:(\d+) /g)].map(([, port]) => port!);
  const etcd = ports.filter((port) => !others.includes(port));
  const rule = (port: string) => [
    ...["INPUT", "--protocol", "tcp", "--destination-port", port],
    ...["--jump", "REJECT", "--reject-with", "tcp-reset"],
  ];
  for (const port of etcd) await provider.run("iptables", "--append", ...rule(port));
  try {
    let outcome = await diagnose(config);
    const readyz = async () => tableOf(outcome = await diagnose(config))[5];
    await eventually(
      "it finds that out",
      readyz,
      "readyz FAILED the API server is not ready: etcd, etcd-readiness",
    );
    assertEquals(outcome.code, 1);
    assertMatch(tableOf(outcome)[6]!, /^version ok Kubernetes v/);
    assertEquals(tableOf(outcome).slice(7), [
      "user ok authenticated as admin; groups: system:masters, system:authenticated",
      "First broken step: readyz",
    ]);
    assertStringIncludes(
      outcome.stdout,
      "-> The path to it works. If this lasts, look at the API server's own log and at etcd.",
    );
  } finally {
    for (const port of etcd) await provider.run("iptables", "--delete", ...rule(port));
  }
}, skip);

test("diagnose gives the proxy's reason when the API server is down" + why, async () => {
  const config = await kubeconfig();
  await cluster.kill();
  const outcome = await diagnose(config);
  assertEquals(outcome.code, 1);
  assertEquals(tableOf(outcome), [
    OK.kubeconfig,
    OK.address,
    OK.tcp,
    "connect FAILED the proxy refused: 502 API server refused the connection",
    "tls skipped there is no tunnel to the API server",
    ...NO_API_SERVER,
    "First broken step: connect",
  ]);
}, skip);
