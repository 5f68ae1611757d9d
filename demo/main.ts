/** The proxy in front of a small API server, without a cluster: `deno task demo`. */
import { formatAddress } from "../lib/protocol/address.ts";
import { type Config, parseConfig } from "../lib/config/config.ts";
import { serve } from "../lib/serve.ts";
import { type ApiServer, SERVER_NAME, startApiServer } from "./api_server.ts";

const TOKEN = "demo";

async function main(args: readonly string[]): Promise<number> {
  const once = args.includes("--once");
  if (args.some((arg) => arg !== "--once" && arg !== "--")) {
    console.error("usage: deno task demo [--once]");
    return 2;
  }

  const apiServer = await startApiServer(TOKEN);
  const upstream = formatAddress(apiServer.address);
  console.log(
    `1. The demo's own API server listens on ${upstream}, with a certificate for ${SERVER_NAME}.\n`,
  );

  const flags = [
    `--upstream=${upstream}`,
    `--allowed-hosts=${SERVER_NAME}:443`,
    "--host=127.0.0.1",
    "--port=0",
    "--admin-port=0",
    "--log-format=text",
  ];
  const logged = Promise.withResolvers<void>();
  console.log("2. The proxy starts with these flags, and logs:");
  console.log(`   ${flags.join(" ")}`);
  const proxy = await serve(configOf(flags), "demo", (line) => {
    console.log(`   ${line.trimEnd()}`);
    if (line.includes(" tunnel ")) logged.resolve();
  });

  console.log("\n3. A request goes to the API server through a tunnel (> sent, < received):");
  await request(proxy.address, apiServer, "/version");

  console.log("\n4. The proxy logs the tunnel:");
  await logged.promise;

  if (!once) {
    const interrupted = interruption();
    console.log(
      `\n${linesToTry(formatAddress(proxy.address), formatAddress(proxy.adminAddress!))}`,
    );
    await interrupted;
  }
  proxy.cut();
  await Promise.all([proxy.finished, apiServer.close()]);
  return 0;
}

function configOf(flags: readonly string[]): Config {
  const invocation = parseConfig(flags, () => undefined);
  if (invocation.kind !== "run") throw new Error(JSON.stringify(invocation));
  return invocation.config;
}

/** Does by hand what kubectl does, and shows what is sent and received. */
async function request(proxy: Deno.NetAddr, apiServer: ApiServer, path: string): Promise<void> {
  const conn = await Deno.connect({ hostname: proxy.hostname, port: proxy.port });
  await send(conn, `CONNECT ${SERVER_NAME}:443 HTTP/1.1`, `Host: ${SERVER_NAME}:443`);
  const [reply = ""] = await readHead(conn);
  console.log(`   < ${reply}`);
  if (!reply.startsWith("HTTP/1.1 200 ")) throw new Error("the proxy has refused the tunnel");

  const tls = await Deno.startTls(conn, {
    hostname: SERVER_NAME,
    caCerts: [apiServer.certificateAuthority],
  });
  await tls.handshake();
  console.log(`   = TLS with the API server; its certificate is valid for ${SERVER_NAME}`);
  await send(
    tls,
    `GET ${path} HTTP/1.1`,
    `Host: ${SERVER_NAME}`,
    `Authorization: Bearer ${TOKEN}`,
    "Connection: close",
  );
  const [head = "", body = ""] = (await new Response(tls.readable).text()).split("\r\n\r\n");
  console.log(`   < ${head.split("\r\n")[0]}\n   < ${body.trimEnd()}`);
}

async function send(conn: Deno.Conn, ...lines: readonly string[]): Promise<void> {
  for (const line of lines) console.log(`   > ${line}`);
  const writer = conn.writable.getWriter();
  await writer.write(new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n`));
  writer.releaseLock();
}

/** The lines of an HTTP head; the server must send nothing after it unasked. */
async function readHead(conn: Deno.Conn): Promise<string[]> {
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(1024);
  let head = "";
  while (!head.endsWith("\r\n\r\n")) {
    const count = await conn.read(buffer);
    if (count === null) throw new Error("the proxy has closed the connection");
    head += decoder.decode(buffer.subarray(0, count), { stream: true });
  }
  return head.split("\r\n");
}

function linesToTry(proxy: string, admin: string): string {
  const curl = `curl --proxy http://${proxy} --insecure --oauth2-bearer ${TOKEN}`;
  const kubectl = `HTTPS_PROXY=http://${proxy} kubectl --kubeconfig=/dev/null ` +
    `--insecure-skip-tls-verify --token=${TOKEN} --server`;
  return `5. Try it from another terminal. ${SERVER_NAME} can be reached through the proxy only:
   ${curl} https://${SERVER_NAME}/version
   ${kubectl}=https://${SERVER_NAME} get namespaces
   ${kubectl}=https://${SERVER_NAME} get namespaces --watch

   A wrong token, which the API server refuses:
   ${kubectl.replace(`--token=${TOKEN}`, "--token=wrong")}=https://${SERVER_NAME} get namespaces

   A host that is not in --allowed-hosts, which the proxy refuses:
   ${kubectl}=https://example.com get namespaces

   The proxy's metrics and readiness:
   curl http://${admin}/metrics http://${admin}/readyz?verbose

   (The API server makes a new certificate authority at each start and writes it to no file: hence
   --insecure and --insecure-skip-tls-verify.)

Ctrl-C ends the demo. The proxy logs:`;
}

function interruption(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, resolve);
  return promise;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
