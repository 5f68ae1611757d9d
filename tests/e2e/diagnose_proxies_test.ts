/** `diagnose` with proxies of other makes in the place of ours. */
import { assertEquals } from "@std/assert";
import { createServerCertificate } from "../../demo/certificate.ts";
import { FakeApiServer } from "../commands/api_server.ts";
import { find } from "../deploy/tools.ts";
import { Process, run } from "../harness/child_process.ts";
import { freePort } from "../harness/peers.ts";
import { PROXY_START, proxyCommand } from "../harness/process.ts";
import { eventually } from "../harness/test.ts";
import { test } from "./environment.ts";

/** A proxy of another make. */
interface OtherProxy {
  readonly program: string;
  /** Its configuration: it listens on that port and opens tunnels to the other port alone. */
  readonly config: (port: number, serverPort: number) => string;
  readonly command: (program: string, file: string) => readonly string[];
}

const SQUID: OtherProxy = {
  program: "squid",
  config: (port, serverPort) => `
http_port 127.0.0.1:${port}
pid_filename none
cache_log stdio:/dev/null
access_log none
cache deny all
visible_hostname squid
dns_nameservers 127.0.0.1
dns_timeout 1 second
dns_retransmit_interval 1 second
acl server port ${serverPort} 1
http_access deny !server
http_access allow all
`,
  command: (program, file) => [program, "-N", "-f", file],
};
/** The same, for whoever has a name and a secret; its helper program accepts nobody. */
const SQUID_WITH_SECRETS: OtherProxy = {
  ...SQUID,
  config: (port, serverPort) => `
auth_param basic program /bin/false
acl known proxy_auth REQUIRED
http_access deny !known
${SQUID.config(port, serverPort)}`,
};
const TINYPROXY: OtherProxy = {
  program: "tinyproxy",
  config: (port, serverPort) => `
Port ${port}
Listen 127.0.0.1
ConnectPort ${serverPort}
ConnectPort 1
`,
  command: (program, file) => [program, "-d", "-c", file],
};
/** It opens no tunnels; its one server is down. */
const HAPROXY: OtherProxy = {
  program: "haproxy",
  config: (port) => `
defaults
  mode http
  retries 0
  timeout connect 5s
  timeout client 5s
  timeout server 5s
listen all
  bind 127.0.0.1:${port}
  server down 127.0.0.1:1
`,
  command: (program, file) => [program, "-db", "-f", file],
};

const NAME = "https://kubernetes.default.svc:1", ALLOWED = "https://127.0.0.1:1";
const DENIED = "https://127.0.0.1:2";

for (
  const [proxy, server, answer, why] of [
    [SQUID, DENIED, "squid/* answers, not api-server-proxy: 403 Forbidden", "does not allow"],
    [SQUID, ALLOWED, "squid/* answers, not api-server-proxy: 503 Service Unavailable", "cannot"],
    [SQUID, NAME, "squid/* answers, not api-server-proxy: 500 Internal Server Error", "cannot"],
    [
      SQUID_WITH_SECRETS,
      ALLOWED,
      "squid/* answers, not api-server-proxy: 407 Proxy Authentication Required",
      "wants a name and a secret",
    ],
    [
      TINYPROXY,
      DENIED,
      "tinyproxy/* answers, not api-server-proxy: 403 Access violation",
      "does not allow",
    ],
    [
      TINYPROXY,
      ALLOWED,
      "tinyproxy/* answers, not api-server-proxy: 500 Unable to connect",
      "cannot",
    ],
    [
      HAPROXY,
      NAME,
      "another proxy answers, not api-server-proxy: 503 Service Unavailable",
      "cannot",
    ],
  ] as const
) {
  const program = find(proxy.program);
  const skip = program === undefined;
  const reason = skip ? ` (skipped: needs ${proxy.program})` : "";
  const kind = `${proxy.program} and what it answers for ${server}`;
  test(`diagnose recognizes ${kind}: ${why}${reason}`, async () => {
    await using running = await start(proxy, program!, 1);
    const { code, connect } = await diagnose(running.url, server, "");
    const [found, next] = [connect.found.replace(/\/[\d.]+/, "/*"), connect.next.at(-1)!];
    assertEquals({ code, found }, { code: 1, found: answer });
    assertEquals(next.slice(0, 27 + why.length), `If you want this proxy: it ${why}`);
  }, skip);
}

for (const proxy of [SQUID, TINYPROXY]) {
  const program = find(proxy.program);
  const skip = program === undefined;
  const reason = skip ? ` (skipped: needs ${proxy.program})` : "";
  test(`diagnose goes through a tunnel of ${proxy.program}${reason}`, async () => {
    const certificate = await createServerCertificate(["127.0.0.1"]);
    await using api = await FakeApiServer.start({}, certificate);
    await using running = await start(proxy, program!, api.authority.port);
    const server = `https://127.0.0.1:${api.authority.port}`;
    const { code, connect } = await diagnose(running.url, server, certificate.authority);
    assertEquals([code, connect.result], [0, "ok"]);
  }, skip);
}

/** Starts a proxy and waits until it listens. */
async function start(
  { config, command }: OtherProxy,
  program: string,
  serverPort: number,
): Promise<AsyncDisposable & { readonly url: string }> {
  const port = freePort();
  const file = await Deno.makeTempFile({ suffix: ".conf" });
  // They change their user before they read it again.
  await Deno.chmod(file, 0o644);
  await Deno.writeTextFile(file, config(port, serverPort));
  const running = new Process(command(program, file));
  await eventually("it listens", () => canConnect(port), true);
  return {
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      await running[Symbol.asyncDispose]();
      await Deno.remove(file);
    },
  };
}

async function canConnect(port: number): Promise<boolean> {
  try {
    using _conn = await Deno.connect({ hostname: "127.0.0.1", port });
    return true;
  } catch {
    return false;
  }
}

/** What the command finds, in the step `connect`. */
async function diagnose(proxyUrl: string, server: string, ca: string) {
  const command = proxyCommand("diagnose", "--output=json", proxyUrl, server);
  const { code, stdout } = await run(command, { ...PROXY_START, stdin: ca });
  const [connect] = JSON.parse(stdout).steps
    .filter(({ step }: { step: string }) => step === "connect");
  return { code, connect: connect as { result: string; found: string; next: string[] } };
}
