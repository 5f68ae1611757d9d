/** `diagnose` with each link of the path broken in turn: what it finds and advises, as a table. */
import net from "node:net";
import { once } from "node:events";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { diagnose } from "../../lib/commands/diagnose.ts";
import { createServerCertificate } from "../../demo/certificate.ts";
import type { Authority } from "../../lib/protocol/authority.ts";
import { nobody, TestUpstream } from "../harness/peers.ts";
import { TestProxy } from "../harness/proxy.ts";
import { run as runProcess } from "../harness/child_process.ts";
import { PROXY_START, proxyCommand } from "../harness/process.ts";
import { test } from "../harness/test.ts";
import { filesIn, readSource } from "../sources.ts";
import { type Answer, FakeApiServer, TOKEN } from "./api_server.ts";

const DAY_MS = 24 * 3_600_000;
const STEPS = ["kubeconfig", "address", "tcp", "connect", "tls", "readyz", "version", "user"];
const SERVER = "https://kubernetes.default.svc";

/** What a run of the command printed. */
interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(args: string[], stdin = "", env: Record<string, string> = {}): Promise<Run> {
  const stdout: string[] = [], stderr: string[] = [];
  const code = await diagnose(args, {
    env: (name) => env[name],
    readStdin: () => Promise.resolve(stdin),
    print: (line) => void stdout.push(line),
    printError: (line) => void stderr.push(line),
  });
  return { code, stdout: stdout.join("\n"), stderr: stderr.join("\n") };
}

/** A kubeconfig with one context. */
interface Kubeconfig {
  readonly cluster: Record<string, unknown>;
  readonly user?: Record<string, unknown>;
}

function kubeconfig({ cluster, user = { token: TOKEN } }: Kubeconfig): string {
  return JSON.stringify({
    "current-context": "cl02",
    contexts: [{ name: "cl02", context: { cluster: "provider", user: "me" } }],
    clusters: [{ name: "provider", cluster: { server: SERVER, ...cluster } }],
    users: [{ name: "me", user }],
  });
}

function urlOf({ host, port }: Authority): string {
  return `http://${host}:${port}`;
}

/** What was found: `ok` for each step that is, else result, finding and advice. */
function tableOf({ stdout }: Run): Record<string, unknown> {
  const { steps } = JSON.parse(stdout);
  assertEquals(steps.map(({ step }: { step: string }) => step), STEPS);
  return Object.fromEntries(
    steps.map((
      { step, result, found, next }: Record<string, string> & { next: string[] },
    ) => [step, result === "ok" ? "ok" : [result, found, ...next]]),
  );
}

const ALL_OK = Object.fromEntries(STEPS.map((step) => [step, "ok"]));

const NO_TUNNEL = {
  tls: ["skipped", "there is no tunnel to the API server"],
  readyz: ["skipped", "there is no connection to the API server"],
  version: ["skipped", "there is no connection to the API server"],
  user: ["skipped", "there is no connection to the API server"],
};
const NOT_SENT = ["skipped", "credentials are not sent to a server that is not trusted"];
const NOT_A_PROXY = "proxy-url must be the address of the proxy, which listens on 8118 by default.";
const IF_OURS =
  "If you want api-server-proxy, correct the address and port in proxy-url: it listens on 8118 by " +
  "default.";
const CANNOT_CONNECT =
  "If you want this proxy: it cannot connect to kubernetes.default.svc:443. It may look up that " +
  "name in its own network; a Service's name is known in its own cluster only.";
const FIND_AUTHORITY =
  "The authority is in the API server's own cluster: `kubectl get configmap -n kube-system " +
  "kube-root-ca.crt -o jsonpath='{.data.ca\\.crt}'`. In a kubeconfig it is " +
  "certificate-authority-data, in base64.";

/** A good path: a fake API server behind a proxy of ours. */
class Path implements AsyncDisposable {
  readonly api: FakeApiServer;
  readonly proxy: TestProxy;

  private constructor(api: FakeApiServer, proxy: TestProxy) {
    this.api = api;
    this.proxy = proxy;
  }

  static async start(
    answers: Record<string, Answer> = {},
    validFromMs?: number,
  ): Promise<Path> {
    const certificate = await createServerCertificate(["kubernetes.default.svc"], validFromMs);
    const api = await FakeApiServer.start(answers, certificate);
    return new Path(api, new TestProxy({ upstreams: [api.authority] }));
  }

  get proxyUrl(): string {
    return urlOf(this.proxy.authority);
  }

  /** The cluster in a kubeconfig. */
  get cluster(): Record<string, unknown> {
    return {
      "proxy-url": this.proxyUrl,
      "certificate-authority-data": btoa(this.api.certificate.authority),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.proxy[Symbol.asyncDispose]();
    await this.api[Symbol.asyncDispose]();
  }
}

/** Runs it with that kubeconfig and gives the table. @returns Exit code and table. */
async function found(config: Kubeconfig, ...args: string[]) {
  const outcome = await run(["--output=json", ...args], kubeconfig(config));
  return { code: outcome.code, table: tableOf(outcome) };
}

/** A listener that gives everybody the same bytes and closes, in place of the proxy. */
async function behind(answer: string): Promise<{ code: number; connect: unknown }> {
  using server = new TestUpstream();
  void server.serve(async (peer) => {
    await peer.read(1);
    await peer.write(answer);
    await peer.closeWrite();
    await peer.readAll();
  });
  const { code, table } = await found({ cluster: { "proxy-url": urlOf(server.authority) } });
  assertEquals(table, { ...ALL_OK, ...NO_TUNNEL, connect: table.connect });
  return { code, connect: table.connect };
}

test("diagnose prints a line for each step of a good path, and exits with 0", async () => {
  await using path = await Path.start();
  const { code, stdout, stderr } = await run([], kubeconfig({ cluster: path.cluster }));
  const day = new Date(Date.now() + DAY_MS).toISOString().slice(0, 10);
  const { port } = path.proxy.authority;
  const issuer = "issued by CN=api-server-proxy demo CA";
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
  assertEquals(
    stdout.replace(/ +\d+ ms /g, " T "),
    `Checking the path: this machine -> HTTP proxy 127.0.0.1:${port} -> ` +
      `Kubernetes API server kubernetes.default.svc:443

kubeconfig  ok T  context "cl02"; user "me": a token
address     ok T  127.0.0.1
tcp         ok T  connected to 127.0.0.1:${port} from 127.0.0.1
connect     ok T  200 Connection established
tls         ok T  certificate for kubernetes.default.svc; ${issuer}; valid until ${day}
readyz      ok T  the API server is ready
version     ok T  Kubernetes v1.33.1
user        ok T  authenticated as me; groups: developers, system:authenticated

Every step succeeded: clients on this machine can use the API server.`,
  );
});

test("diagnose prints advice below the broken step, goes on, and names the step last", async () => {
  await using path = await Path.start();
  const cluster = { ...path.cluster, "proxy-url": path.proxyUrl.replace("http", "https") };
  const { code, stdout } = await run([], kubeconfig({ cluster }));
  assertEquals(code, 1);
  const lines = stdout.split("\n");
  assertMatch(lines[2]!, /^kubeconfig {2}FAILED {2} +0 ms {2}proxy-url has the scheme https:\/\//);
  assertEquals(
    lines[3],
    " ".repeat(31) + `-> Write ${path.proxyUrl} as proxy-url. The steps below use that.`,
  );
  assertMatch(lines.at(-4)!, /^user {8}ok /);
  assertEquals(lines.slice(-2), [
    "The kubeconfig does not lead kubectl through the proxy to the API server.",
    "First broken step: kubeconfig",
  ]);
});

test("diagnose is a command of the program, and needs nothing but the network", async () => {
  await using path = await Path.start();
  const stdin = kubeconfig({ cluster: path.cluster });
  const outcome = await runProcess(proxyCommand("diagnose"), { ...PROXY_START, stdin });
  assertEquals([outcome.code, outcome.stderr], [0, ""]);
  assertMatch(outcome.stdout, /\nEvery step succeeded: clients on this machine can use[^\n]+\n$/);
});

test("diagnose --output json prints one document, with times", async () => {
  await using path = await Path.start();
  const { stdout } = await run(["--output", "json"], kubeconfig({ cluster: path.cluster }));
  const { proxy, server, firstBroken, steps } = JSON.parse(stdout);
  assertEquals(proxy, `127.0.0.1:${path.proxy.authority.port}`);
  assertEquals({ server, firstBroken }, {
    server: "kubernetes.default.svc:443",
    firstBroken: null,
  });
  for (const step of steps) {
    assertEquals(Object.keys(step), ["step", "result", "durationMs", "found", "next"]);
    assert(Number.isInteger(step.durationMs));
  }
});

for (
  const [scheme, why] of [
    [
      "https",
      "kubectl then speaks TLS to the proxy, which takes plain HTTP; the TLS of the API server " +
      "runs inside the tunnel all the same",
    ],
    ["socks5", "the proxy is an HTTP proxy and does not speak socks5"],
  ]
) {
  test(`diagnose finds a proxy-url of ${scheme}://, and that http:// would do`, async () => {
    await using path = await Path.start();
    const url = path.proxyUrl.replace("http", scheme!);
    const { code, table } = await found({ cluster: { ...path.cluster, "proxy-url": url } });
    assertEquals(code, 1);
    assertEquals(table, {
      ...ALL_OK,
      kubeconfig: [
        "failed",
        `proxy-url has the scheme ${scheme}://: ${why}`,
        `Write ${path.proxyUrl} as proxy-url. The steps below use that.`,
      ],
    });
  });
}

test("diagnose finds a proxy-url without a scheme", async () => {
  await using path = await Path.start();
  const url = path.proxyUrl.replace("http://", "");
  const { table } = await found({ cluster: { ...path.cluster, "proxy-url": url } });
  assertEquals(table, {
    ...ALL_OK,
    kubeconfig: [
      "failed",
      "proxy-url has no scheme: kubectl does not know what to speak",
      `Write ${path.proxyUrl} as proxy-url. The steps below use that.`,
    ],
  });
});

test("diagnose says what happens without a proxy-url, and names NO_PROXY's trap", async () => {
  const { code, table } = await found({ cluster: {} });
  assertEquals(code, 1);
  const [result, text, first, second] = table.kubeconfig as string[];
  assertEquals(
    [result, text, first],
    [
      "failed",
      'context "cl02" has no proxy-url, so kubectl connects to kubernetes.default.svc:443 directly',
      "Name the proxy in the kubeconfig: " +
      "kubectl config set-cluster provider --proxy-url=http://ADDRESS:8118",
    ],
  );
  assertStringIncludes(second!, "unless NO_PROXY matches the server: entries such as .svc do.");
  assertEquals(table.address, ["skipped", "there is no proxy to look for"]);
});

for (
  const [list, entry] of [
    ["localhost,.svc,.cluster.local", ".svc"],
    ["*", "*"],
    ["svc", "svc"],
    ["*.default.svc", "*.default.svc"],
    ["kubernetes.default.svc:443", "kubernetes.default.svc:443"],
    ["kubernetes.default.svc:6443,10.0.0.0/8,default,.default", undefined],
    ["", undefined],
  ] as const
) {
  test(`diagnose finds what NO_PROXY excludes: ${JSON.stringify(list)}`, async () => {
    await using path = await Path.start();
    const config = kubeconfig({
      cluster: { ...path.cluster, "proxy-url": undefined },
    });
    const args = ["--output=json", path.proxyUrl, `--noproxy=${list}`];
    const table = tableOf(await run(args, config));
    const problem = [
      "failed",
      `NO_PROXY has ${entry}, which matches kubernetes.default.svc: clients leave out the proxy ` +
      "of HTTPS_PROXY",
      `Remove ${entry} from NO_PROXY, or give the proxy as proxy-url in the kubeconfig: then ` +
      "kubectl does not look at NO_PROXY.",
    ];
    assertEquals(table, entry === undefined ? ALL_OK : { ...ALL_OK, kubeconfig: problem });
  });
}

test("diagnose takes addresses in NO_PROXY for what Go takes them for", async () => {
  const cases = [
    ["10.0.0.1", "10.0.0.0/8", true],
    ["10.0.0.1", "10.5.5.5/8", true],
    ["10.0.0.1", "11.5.5.5/8", false],
    ["10.0.0.1", "10.0.0.1", true],
    ["10.0.0.1", "0.0.1", false],
    ["[fd00:10:96::1]", "fd00:10:96::1", true],
    ["[fd00:10:96::1]", "[fd00:10:96::1]:443", true],
    ["[fd00:10:96::1]", "[fd00:10:96::1]:6443", false],
    ["[fd00:10:96::1]", "fd00:10:96::/112", true],
  ] as const;
  for (const [host, list, isMatch] of cases) {
    const args = ["--output=json", urlOf(nobody()), `https://${host}`, `--noproxy=${list}`];
    const { kubeconfig } = tableOf(await run(args));
    assertEquals(kubeconfig !== "ok", isMatch, `${list}`);
  }
});

test("diagnose finds a server that is no https, and the proxy in its place", async () => {
  const { table } = await found({
    cluster: { server: "http://127.0.0.1:1", "proxy-url": urlOf(nobody()) },
  });
  assertEquals(table.kubeconfig, [
    "failed",
    "server is http://127.0.0.1:1, which is not https: a client then asks the proxy for no tunnel",
    "Write https://127.0.0.1:1. If that is the proxy's address, write it as proxy-url, and a name " +
    "of the API server as server: https://kubernetes.default.svc",
  ]);
});

test("diagnose finds the proxy's port in server, and no proxy-url", async () => {
  const { table } = await found({ cluster: { server: "https://10.81.0.3:8118" } });
  const [result, text, first, second] = table.kubeconfig as string[];
  assertEquals([result, text, first], [
    "failed",
    'context "cl02" has no proxy-url, so kubectl connects to 10.81.0.3:8118 directly',
    "If 10.81.0.3:8118 is the proxy, write http://10.81.0.3:8118 as proxy-url, and a name of the " +
    "API server as server: https://kubernetes.default.svc",
  ]);
  assertMatch(second!, /^Name the proxy in the kubeconfig: /);
});

test("diagnose says in one sentence what the first broken step means", async () => {
  await using path = await Path.start();
  await using lone = new TestProxy({ upstreams: [nobody()] });
  const other = await createServerCertificate(["other"]);
  const url = (authority: Authority) => ({ ...path.cluster, "proxy-url": urlOf(authority) });
  const cases: [string, string, Kubeconfig][] = [
    ["tcp", "This machine cannot connect to the proxy.", { cluster: url(nobody()) }],
    [
      "connect",
      "The proxy's address can be reached, but what is there opens no tunnel to the API server.",
      { cluster: url(lone.authority) },
    ],
    [
      "tls",
      "The proxy opens the tunnel, but there is no trusted connection to the API server through it.",
      { cluster: { ...path.cluster, "certificate-authority-data": btoa(other.authority) } },
    ],
    [
      "user",
      "The path works, but the API server does not let this user in.",
      { cluster: path.cluster, user: { token: "wrong" } },
    ],
  ];
  for (const [step, meaning, config] of cases) {
    const { stdout } = await run([], kubeconfig(config));
    assertEquals(stdout.split("\n").slice(-3), ["", meaning, `First broken step: ${step}`]);
  }
});

test("diagnose compares the address with --cidr, and gives the one to use instead", async () => {
  await using path = await Path.start();
  const outside = await found({ cluster: path.cluster }, "--cidr=10.81.0.0/16");
  assertEquals(outside.code, 1);
  assertEquals(outside.table, {
    ...ALL_OK,
    address: [
      "failed",
      "127.0.0.1 lies outside 10.81.0.0/16",
      "If 127.0.0.1 is the address in the proxy's own cluster, use 10.81.0.1 here: that is what " +
      "`api-server-proxy remap 127.0.0.1 10.81.0.0/16` prints.",
    ],
  });
  const inside = await found({ cluster: path.cluster }, "--cidr=127.0.0.0/8");
  assertEquals(inside, { code: 0, table: ALL_OK });
});

test("diagnose finds a name that nobody knows", async () => {
  const { code, table } = await found({ cluster: { "proxy-url": "http://proxy.invalid:8118" } });
  assertEquals(code, 1);
  const [result, text] = table.address as string[];
  assertEquals([result, text], ["failed", "the name proxy.invalid was not found"]);
  assertEquals(table.tcp, ["skipped", "there is no address to connect to"]);
});

test("diagnose finds that nothing listens", async () => {
  const { code, table } = await found({ cluster: { "proxy-url": urlOf(nobody()) } });
  assertEquals(code, 1);
  assertEquals(table, {
    ...ALL_OK,
    ...NO_TUNNEL,
    tcp: [
      "failed",
      "127.0.0.1:1 refused the connection: the address answers, but nothing listens on that port",
      "Check the port: api-server-proxy listens on 8118 unless --port says otherwise.",
      "In the proxy's cluster, check that it runs and is ready: `kubectl get pods -n liqo -l " +
      "app.kubernetes.io/name=proxy`.",
    ],
    connect: ["skipped", "there is no connection to the proxy"],
  });
});

test("diagnose gives the refusal of our proxy and its advice: 502", async () => {
  await using proxy = new TestProxy({ upstreams: [nobody()] });
  const { code, table } = await found({ cluster: { "proxy-url": urlOf(proxy.authority) } });
  assertEquals(code, 1);
  assertEquals(table, {
    ...ALL_OK,
    ...NO_TUNNEL,
    connect: [
      "failed",
      "the proxy refused: 502 API server refused the connection",
      "The API server may be restarting: try again, and if it keeps failing ask the proxy's " +
      "administrator to check --upstream.",
    ],
  });
});

test("diagnose gives the refusal of our proxy and its advice: 403", async () => {
  const allowFrom = [{ address: "10.0.0.0", prefixBits: 8 }];
  await using proxy = new TestProxy({ allowFrom });
  const { table } = await found({ cluster: { "proxy-url": urlOf(proxy.authority) } });
  assertEquals(table.connect, [
    "failed",
    "the proxy refused: 403 Source address not allowed by the API server proxy",
    "Ask the administrator of this proxy to add your address to --allow-from.",
  ]);
});

for (
  const [answer, text, ...next] of [
    [
      "HTTP/1.1 403 Forbidden\r\nServer: squid/5.7\r\nContent-Length: 0\r\n\r\n",
      "squid/5.7 answers, not api-server-proxy: 403 Forbidden",
      IF_OURS,
      "If you want this proxy: it does not allow kubernetes.default.svc:443: ask its administrator.",
    ],
    [
      "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
      "another proxy answers, not api-server-proxy: 407 Proxy Authentication Required",
      IF_OURS,
      "If you want this proxy: it wants a name and a secret: proxy-url: http://NAME:SECRET@HOST:PORT.",
    ],
    [
      "HTTP/1.1 407 No secret\r\nProxy-Status: api-server-proxy; error=http_request_denied\r\n" +
      "Content-Length: 25\r\n\r\nNo secret. Ask for one.\r\n",
      "the proxy refused: 407 No secret",
      "Ask for one.",
    ],
    [
      "HTTP/1.1 500 Unable to connect\r\nServer: tinyproxy/1.11.1\r\n\r\n",
      "tinyproxy/1.11.1 answers, not api-server-proxy: 500 Unable to connect",
      IF_OURS,
      CANNOT_CONNECT,
    ],
    [
      "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
      "another proxy answers, not api-server-proxy: 502 Bad Gateway",
      IF_OURS,
      CANNOT_CONNECT,
    ],
    [
      "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
      "another proxy answers, not api-server-proxy: 503 Service Unavailable",
      IF_OURS,
      CANNOT_CONNECT,
    ],
    [
      "HTTP/1.1 504 Gateway Timeout\r\n\r\n",
      "another proxy answers, not api-server-proxy: 504 Gateway Timeout",
      IF_OURS,
      CANNOT_CONNECT,
    ],
    [
      "HTTP/1.1 404 Not Found\r\nServer: envoy\r\n\r\n",
      "envoy answers, not api-server-proxy: 404 Not Found",
      IF_OURS,
      "If you want this proxy: it refuses the tunnel: ask its administrator.",
    ],
    [
      "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
      "a web server answers, not a CONNECT proxy: 500 Internal Server Error",
      NOT_A_PROXY,
    ],
    [
      "HTTP/1.1 405 Not Allowed\r\nServer: nginx/1.22.1\r\nContent-Length: 3\r\n\r\nno\n",
      "a web server (nginx/1.22.1) answers, not a CONNECT proxy: 405 Not Allowed",
      NOT_A_PROXY,
    ],
    [
      "HTTP/1.0 501 Unsupported method ('CONNECT')\r\n\r\n",
      "a web server answers, not a CONNECT proxy: 501 Unsupported method ('CONNECT')",
      NOT_A_PROXY,
    ],
    [
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
      "a web server answers, not a CONNECT proxy: 200 OK",
      NOT_A_PROXY,
    ],
    [
      "SSH-2.0-OpenSSH_9.2p1\r\n",
      'what answers does not speak HTTP: "SSH-2.0-OpenSSH_9.2p1"',
      NOT_A_PROXY,
    ],
    [
      "",
      "the connection was closed without an answer",
      "What listens there is no HTTP proxy, or it closes connections from this machine. " +
      NOT_A_PROXY,
    ],
  ]
) {
  test(`diagnose finds what is in the proxy's place: ${JSON.stringify(answer)}`, async () => {
    assertEquals(await behind(answer!), { code: 1, connect: ["failed", text, ...next] });
  });
}

test("diagnose finds an API server in the proxy's place", async () => {
  await using api = await FakeApiServer.start();
  const { code, table } = await found({ cluster: { "proxy-url": urlOf(api.authority) } });
  assertEquals(code, 1);
  assertEquals(table.connect, [
    "failed",
    "a TLS server answers, not a proxy; its certificate is for kubernetes.default.svc",
    "This is an API server: write its address as server, and the proxy's address as proxy-url.",
    NOT_A_PROXY,
  ]);
});

test("diagnose asks what it is that opens no tunnel in time", async () => {
  const nothing = "the connection is open, but nothing answered within 4.5 s";
  const late = "answers, but did not open the tunnel within 4.5 s";
  const advice =
    "It may be waiting for the API server: ask the proxy's administrator to check the path from it " +
    "to there.";
  const cases = [
    ["", nothing, `What listens there is no proxy, or it hangs. ${NOT_A_PROXY}`],
    ["405 No\r\nProxy-Status: api-server-proxy", `api-server-proxy ${late}`, advice],
    ["400 Bad Request\r\nServer: squid/5.7", `squid/5.7 ${late}`, IF_OURS, advice],
  ];
  await Promise.all(cases.map(async ([answer, words, ...next]) => {
    using server = new TestUpstream();
    void server.serve(async (peer) => {
      if (await peer.readText(3) === "GET" && answer !== "") {
        await peer.write(`HTTP/1.1 ${answer}\r\n\r\n`);
      }
      await peer.readAll();
    });
    const { code, table } = await found({ cluster: { "proxy-url": urlOf(server.authority) } });
    assertEquals(code, 1);
    assertEquals(table, { ...ALL_OK, ...NO_TUNNEL, connect: ["failed", words, ...next] });
  }));
});

test("diagnose finds what speaks no TLS at the end of the tunnel", async () => {
  using upstream = new TestUpstream();
  void upstream.serve(async (peer) => {
    await peer.read(1);
    await peer.write("HTTP/1.1 400 Bad Request\r\n\r\n");
  });
  await using proxy = new TestProxy({ upstreams: [upstream.authority] });
  const { code, table } = await found({ cluster: { "proxy-url": urlOf(proxy.authority) } });
  assertEquals(code, 1);
  const [result, text, advice] = table.tls as string[];
  assertEquals(result, "failed");
  assertMatch(text!, /^the tunnel is open, but at its end nothing speaks TLS: /);
  assertEquals(
    advice,
    "Ask the proxy's administrator to check that --upstream is the API server's TLS port.",
  );
});

test("diagnose finds a certificate for other names, and goes on without credentials", async () => {
  await using path = await Path.start();
  const cluster = { ...path.cluster, server: "https://api.example.com" };
  const { code, table } = await found({ cluster });
  assertEquals(code, 1);
  assertEquals(table, {
    ...ALL_OK,
    tls: [
      "failed",
      "the API server's certificate is not valid for api.example.com, only for " +
      "kubernetes.default.svc",
      "Write https://kubernetes.default.svc as server, or keep it and add " +
      "tls-server-name: kubernetes.default.svc to the cluster in the kubeconfig.",
    ],
    user: NOT_SENT,
  });
  assertEquals(path.api.requests.map(({ authorization }) => authorization), [undefined, undefined]);
  const named = { ...cluster, "tls-server-name": "kubernetes.default.svc" };
  assertEquals(await found({ cluster: named }), { code: 0, table: ALL_OK });
});

test("diagnose finds the CA of another cluster with the same name", async () => {
  await using path = await Path.start();
  const other = await createServerCertificate(["kubernetes.default.svc"]);
  const cluster = { ...path.cluster, "certificate-authority-data": btoa(other.authority) };
  const { code, table } = await found({ cluster });
  assertEquals(code, 1);
  assertEquals(table, {
    ...ALL_OK,
    tls: [
      "failed",
      "the certificate authority that was given has the name of the one that issued the API " +
      "server's certificate (CN=api-server-proxy demo CA), but another key",
      "Either the authority is that of another cluster, or an old one; or the tunnel leads to the API " +
      "server of another cluster: its certificate is for kubernetes.default.svc.",
      FIND_AUTHORITY,
    ],
    user: NOT_SENT,
  });
});

test("diagnose finds that a CA did not issue the certificate", async () => {
  await using path = await Path.start();
  const cluster = {
    ...path.cluster,
    "certificate-authority-data": btoa(path.api.certificate.certificate),
  };
  const { table } = await found({ cluster });
  assertEquals(
    (table.tls as string[])[1],
    "the certificate authority that was given " +
      "(CN=kubernetes.default.svc) did not issue the API server's certificate: that was " +
      "CN=api-server-proxy demo CA",
  );
});

test("diagnose finds that no CA was given", async () => {
  await using path = await Path.start();
  const cluster = { ...path.cluster, "certificate-authority-data": undefined };
  const { table } = await found({ cluster });
  assertEquals(table.tls, [
    "failed",
    "the certificate is issued by CN=api-server-proxy demo CA, which is no public authority, and " +
    "no other authority was given",
    FIND_AUTHORITY,
  ]);
});

test("diagnose finds a certificate that expired, and one that is not valid yet", async () => {
  for (
    const [fromDays, words] of [[-3, "expired on"], [3, "is not valid before"]] as const
  ) {
    const fromMs = Date.now() + fromDays * DAY_MS;
    await using path = await Path.start({}, fromMs);
    const { code, table } = await found({ cluster: path.cluster });
    assertEquals(code, 1);
    const day = new Date(fromMs + (fromDays < 0 ? DAY_MS : 0)).toISOString().slice(0, 10);
    assertEquals(
      (table.tls as string[]).slice(0, 2),
      ["failed", `the API server's certificate ${words} ${day}`],
    );
    assertEquals({ ...table, tls: "ok" }, { ...ALL_OK, user: NOT_SENT });
  }
});

test("diagnose takes insecure-skip-tls-verify as kubectl does, and says so", async () => {
  await using path = await Path.start();
  const cluster = { "proxy-url": path.proxyUrl, "insecure-skip-tls-verify": true };
  const { code, stdout } = await run([], kubeconfig({ cluster }));
  assertEquals(code, 0);
  assertStringIncludes(stdout, "not verified (insecure-skip-tls-verify); certificate for");
});

test("diagnose lists what is not ready, and goes on", async () => {
  const body = "[+]ping ok\n[-]etcd failed: reason withheld\n[-]informer-sync failed: reason " +
    "withheld\nreadyz check failed\n";
  await using path = await Path.start({ "/readyz": { status: 500, body } });
  const { code, table } = await found({ cluster: path.cluster });
  assertEquals(code, 1);
  assertEquals(table, {
    ...ALL_OK,
    readyz: [
      "failed",
      "the API server is not ready: etcd, informer-sync",
      "The path to it works. If this lasts, look at the API server's own log and at etcd.",
    ],
  });
});

test("diagnose takes nobody for authenticated whom the answer does not name", async () => {
  const reviews = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
  for (const body of ["ok", "{}", '{"status":{"userInfo":{"username":7}}}']) {
    await using path = await Path.start({ [reviews]: { status: 200, body } });
    const { table } = await found({ cluster: path.cluster });
    assertEquals(table.user, [
      "failed",
      "200 Answer, but no name: what answers is no Kubernetes API server",
      "Check `server`, and --upstream of the proxy.",
    ]);
  }
});

test("diagnose finds a web server at the end of the tunnel", async () => {
  const page = { status: 404, body: "<html>" };
  await using path = await Path.start({ "/readyz": page, "/version": page });
  const { table } = await found({ cluster: path.cluster });
  const next = "Check `server`, and --upstream of the proxy.";
  assertEquals(table, {
    ...ALL_OK,
    readyz: [
      "failed",
      "404 Answer: what answers at the end of the tunnel is no API server",
      next,
    ],
    version: [
      "failed",
      "404 Answer: what answers at the end of the tunnel is no Kubernetes API server",
      next,
    ],
  });
});

test("diagnose tells credentials (401) from rights (403)", async () => {
  const reviews = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
  const message = 'selfsubjectreviews is forbidden: User "me" cannot create resource';
  await using path = await Path.start();
  await using forbidding = await Path.start({
    [reviews]: { status: 403, body: JSON.stringify({ message }) },
  });
  const wrong = await found({ cluster: path.cluster, user: { token: "another" } });
  assertEquals(wrong.code, 1);
  assertEquals(wrong.table, {
    ...ALL_OK,
    user: [
      "failed",
      "401: the API server does not accept the credentials (a token)",
      "Get new ones from the cluster of that API server. This is about who the client is, not " +
      "about what it may do.",
    ],
  });
  const lacking = await found({ cluster: forbidding.cluster });
  assertEquals(lacking.code, 1);
  assertEquals(lacking.table.user, [
    "failed",
    `403: the credentials are accepted, but the user lacks a right: ${message}`,
    "Ask the administrator of that cluster for a role (RBAC); new credentials do not help.",
  ]);
});

test("diagnose says that a token or a client certificate has expired", async () => {
  await using path = await Path.start();
  const claims = btoa(JSON.stringify({ exp: 1_000_000_000 })).replaceAll("=", "");
  const { table } = await found({ cluster: path.cluster, user: { token: `e30.${claims}.x` } });
  assertEquals((table.user as string[])[2], "The token expired on 2001-09-09.");
});

test("diagnose authenticates with a client certificate, in the user step alone", async () => {
  await using path = await Path.start();
  const { certificate, privateKey } = await createServerCertificate(["someone"]);
  const user = {
    "client-certificate-data": btoa(certificate),
    "client-key-data": btoa(privateKey),
  };
  assertEquals(await found({ cluster: path.cluster, user }), { code: 0, table: ALL_OK });
  assertEquals(
    path.api.requests.map(({ clientCertificate }) => clientCertificate),
    [undefined, undefined, "CN=someone"],
  );
});

test("diagnose sends no credentials to a server that a later tunnel ends at", async () => {
  await using path = await Path.start();
  await using impostor = await FakeApiServer.start();
  const ends = [path.api.authority];
  const proxy = net.createServer((client) => {
    client.once("data", () => {
      const upstream = net.connect(ends.pop() ?? impostor.authority);
      client.on("error", () => {}).on("close", () => upstream.destroy());
      upstream.on("error", () => {}).on("close", () => client.destroy());
      client.write("HTTP/1.1 200 OK\r\n\r\n");
      client.pipe(upstream).pipe(client);
    });
  });
  await once(proxy.listen(0, "127.0.0.1"), "listening");
  const { port } = proxy.address() as net.AddressInfo;
  const url = urlOf({ host: "127.0.0.1", port });
  const { code, table } = await found({ cluster: { ...path.cluster, "proxy-url": url } });
  assertEquals(code, 1);
  assertEquals(table, { ...ALL_OK, user: ["failed", NOT_SENT[1]] });
  assertEquals(impostor.requests.map(({ authorization }) => authorization), [undefined]);
  await once(proxy.close(), "close");
});

test("diagnose asks with credentials where the API server shows nothing without", async () => {
  const closed = { status: 401, body: "" };
  await using path = await Path.start({ "/readyz": closed, "/version": closed });
  assertEquals(await found({ cluster: path.cluster }), { code: 0, table: ALL_OK });
  assertEquals(
    path.api.requests.map(({ authorization }) => authorization !== undefined),
    [false, true, false, true, true],
  );
});

for (
  const [user, why] of [
    [{ exec: { command: "aws" } }, "its credentials come from a program (aws)"],
    [{ "auth-provider": { name: "oidc" } }, "its credentials come from an auth-provider"],
    [{ tokenFile: "/var/token" }, "its token is in a file (/var/token), which is not read here"],
    [{}, "no credentials given"],
  ] as const
) {
  test(`diagnose says why it cannot authenticate: ${JSON.stringify(user)}`, async () => {
    await using path = await Path.start();
    const { code, stdout } = await run([], kubeconfig({ cluster: path.cluster, user }));
    assertEquals(code, 0);
    assertMatch(stdout, /\nNo step failed\. Not checked: user$/);
    assertStringIncludes(stdout, why);
  });
}

test("diagnose sends the name and secret of proxy-url, and prints neither", async () => {
  using server = new TestUpstream();
  let head = "";
  void server.serve(async (peer) => {
    while (!head.endsWith("\r\n\r\n")) head += await peer.readText(1);
    await peer.write("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n");
  });
  const url = urlOf(server.authority).replace("//", "//cl01:s%40crt@");
  const { stdout } = await run([], kubeconfig({ cluster: { "proxy-url": url } }));
  assertEquals(
    head,
    "CONNECT kubernetes.default.svc:443 HTTP/1.1\r\nHost: kubernetes.default.svc:443\r\n" +
      `Proxy-Authorization: Basic ${btoa("cl01:s@crt")}\r\n\r\n`,
  );
  assertStringIncludes(
    stdout,
    "it does not accept the name and secret in proxy-url: ask its administrator.",
  );
  for (const secret of ["s%40crt", "s@crt", btoa("cl01:s@crt")]) assert(!stdout.includes(secret));
});

test("diagnose finds what kubectl cannot read in a URL, and goes on without it", async () => {
  await using path = await Path.start();
  const next = "Write such characters percent-encoded there: % as %25, # as %23, / as %2F.";
  const unreadable =
    "the name and secret in proxy-url have a character with which kubectl cannot read it";
  for (const userInfo of ["cl01:a%zz", "cl01:100%", "cl01:a^b", "clé:secret"]) {
    const url = path.proxyUrl.replace("//", `//${userInfo}@`);
    const { table } = await found({ cluster: { ...path.cluster, "proxy-url": url } });
    assertEquals(table, { ...ALL_OK, kubeconfig: ["failed", unreadable, next] });
  }
  for (const url of [`${path.proxyUrl}\n`, ` ${path.proxyUrl}`, `${path.proxyUrl}\t`]) {
    const { table } = await found({ cluster: { ...path.cluster, "proxy-url": url } });
    const blank = "proxy-url has a blank or a line break in it, with which kubectl cannot read it";
    const kubeconfig = ["failed", blank, "Remove it from proxy-url."];
    assertEquals(table, { ...ALL_OK, kubeconfig });
  }
  const { table } = await found({ cluster: { ...path.cluster, server: `${SERVER}\n` } });
  assertEquals(table.kubeconfig, [
    "failed",
    "server has a blank or a line break in it, with which kubectl cannot read it",
    "Remove it from server.",
  ]);
});

test("diagnose takes URLs as arguments, and the CA from input, flag or variable", async () => {
  await using path = await Path.start();
  const { authority } = path.api.certificate;
  const table = { ...ALL_OK, user: ["skipped", "no credentials given"] };
  const args = ["--output=json", path.proxyUrl, SERVER];
  const ways: [string[], string, Record<string, string>][] = [
    [[...args, "--noproxy", ""], authority, {}],
    [[...args, "--upstream-ca", authority], "", {}],
    [args, authority, {}],
    [[...args, `--upstream-ca=${authority}`], "", {}],
    [args, "", { API_SERVER_PROXY_UPSTREAM_CA: authority }],
    [args.slice(0, 2), authority, {}],
  ];
  for (const [args, stdin, env] of ways) {
    const outcome = await run(args, stdin, env);
    assertEquals([outcome.code, tableOf(outcome)], [0, table]);
  }
});

test("diagnose prints what servers send without control characters", async () => {
  using server = new TestUpstream();
  void server.serve(async (peer) => {
    await peer.read(1);
    await peer.write("HTTP/1.1 403 \x1b[2J\u202egood\r\nContent-Length: 0\r\n\r\n");
  });
  const cluster = { "proxy-url": urlOf(server.authority) };
  const { stdout } = await run([], kubeconfig({ cluster }));
  assertStringIncludes(
    stdout,
    "another proxy answers, not api-server-proxy: 403 \\u{1b}[2J\\u{202e}good\n",
  );
});

test("diagnose says that clients use port 80 where proxy-url has none", async () => {
  const { table } = await found({ cluster: { "proxy-url": "http://127.0.0.1" } });
  if (table.tcp === "ok") return;
  assertEquals(
    (table.tcp as string[])[2],
    "proxy-url has no port, so clients use 80. api-server-proxy listens on 8118.",
  );
  assert(!`${table.tcp}`.includes("Check the port"));
});

for (
  const [name, args, stdin, said] of [
    ["nothing at all", [], "", "no kubeconfig on standard input: kubectl config view --raw"],
    ["YAML", [], "apiVersion: v1\nclusters:\n", "standard input is no kubeconfig in JSON"],
    ["another document", [], "{}", "standard input has no clusters"],
    ["an unknown flag", ["--sidr=x"], "", "--sidr: no such flag"],
    ["a wrong CIDR", ["--cidr=10.81.0.1/16"], "", '--cidr "10.81.0.1/16": takes a block'],
    ["a wrong format", ["--output=yaml"], "", '--output "yaml": takes text or json'],
    ["too many arguments", ["a", "b", "c"], "", '"c": takes PROXY_URL and SERVER_URL'],
    ["a wrong server", ["http://10.0.0.1:8118", "ftp://x"], "", 'server "ftp://x": takes a URL'],
    ["a wrong proxy", ["http://:8118"], "", "the proxy's URL: takes a URL such as http://10"],
    ["no CA", ["http://10.0.0.1:8118"], "what?", "the certificate authority: takes a certificate"],
    [
      "secrets removed",
      [],
      kubeconfig({ cluster: { "certificate-authority-data": "DATA+OMITTED" } }),
      "the kubeconfig has its secrets removed: kubectl config view --raw",
    ],
    [
      "a token from a file that ends with a line break",
      [],
      kubeconfig({ cluster: {}, user: { token: "abc\n" } }),
      "token: has a line break or another control character, which kubectl does not send",
    ],
    [
      "a group with a control character",
      [],
      kubeconfig({ cluster: {}, user: { token: "abc", as: "me", "as-groups": ["a\x00"] } }),
      "as-groups: has a line break or another control character",
    ],
    [
      "a client certificate without its key",
      [],
      kubeconfig({ cluster: {}, user: { "client-certificate-data": btoa("any") } }),
      "client-certificate-data: kubectl refuses it without client-key-data",
    ],
    [
      "a number for a text",
      [],
      kubeconfig({ cluster: { "proxy-url": 5 } }),
      "proxy-url: takes a text, in quotes",
    ],
    [
      "a file for the CA",
      [],
      kubeconfig({ cluster: { "certificate-authority": "/etc/ca.crt" } }),
      "certificate-authority is a file (/etc/ca.crt), and this command reads no files",
    ],
    [
      "a context that is not there",
      [],
      JSON.stringify({ "current-context": "x", contexts: [], clusters: [] }),
      'the kubeconfig has no context named "x"',
    ],
  ] as const
) {
  test(`diagnose exits with 2 and says what it takes, given ${name}`, async () => {
    const { code, stdout, stderr } = await run([...args], stdin);
    assertEquals({ code, stdout }, { code: 2, stdout: "" });
    assertStringIncludes(stderr, said);
  });
}

test("diagnose tells every wrong flag in one run", async () => {
  const { stderr } = await run(["--sidr=x", "--output=yaml", "--cidr=1"]);
  assertEquals(stderr.split("\n").length, 4);
});

test("diagnose --help prints how it is used", async () => {
  const { code, stdout } = await run(["--help"]);
  assertEquals(code, 0);
  assertMatch(stdout, /^Usage:\n {2}kubectl config view --raw --minify --flatten -o json \| /);
});

test("diagnose is loaded when it runs, not when the proxy starts", () => {
  const others = filesIn("lib").filter((file) => !/^lib\/commands\/diagnose\b/.test(file));
  const importing = ["main.ts", ...others]
    .filter((file) => /\bfrom\s+["'][^"']*\/diagnose\b/.test(readSource(file)));
  assertEquals(importing, []);
});
