/** A readiness probe for where there is no curl. */
import { envName } from "../config/flags.ts";
import { EXIT_FAILURE, EXIT_SUCCESS, EXIT_USAGE, type Io } from "./command.ts";

const TIMEOUT_MS = 3_000;

/** `ready [URL]`: succeeds when a running proxy is ready, and prints why it is not. */
export async function ready(args: readonly string[], { env, printError }: Io): Promise<number> {
  const adminPort = env(envName("admin-port")) ?? "";
  // Nothing, or what the kubelet sets for a Service of that name, counts as not given.
  const port = /^\d+$/.test(adminPort) ? adminPort : "8119";
  const [url = `http://127.0.0.1:${port}/readyz`, ...rest] = args;
  if (rest.length > 0 || !URL.canParse(url) || new URL(url).protocol !== "http:") {
    printError("usage: api-server-proxy ready [URL]");
    printError("e.g.   api-server-proxy ready http://127.0.0.1:8119/readyz");
    return EXIT_USAGE;
  }
  const failure = await checkReady(url);
  if (failure === undefined) return EXIT_SUCCESS;
  printError(`${url}: ${failure}`);
  return EXIT_FAILURE;
}

/**
 * Asks a running proxy's `/readyz`. Not by `fetch`, which would go through
 * whatever proxy `HTTP_PROXY` names.
 *
 * @returns Why it is not ready, or `undefined`.
 */
export async function checkReady(url: string): Promise<string | undefined> {
  const { hostname, host, port, pathname, search } = new URL(url);
  let conn: Deno.TcpConn | undefined;
  let isLate = false;
  const abort = new AbortController();
  const timer = setTimeout(() => {
    isLate = true;
    abort.abort();
    conn?.close();
  }, TIMEOUT_MS);
  try {
    conn = await Deno.connect({
      hostname: hostname.replace(/^\[|\]$/g, ""),
      port: Number(port || 80),
      signal: abort.signal,
    });
    const head = `GET ${pathname}${search} HTTP/1.0\r\nHost: ${host}\r\n\r\n`;
    await conn.write(new TextEncoder().encode(head));
    return whyNotReady(await readAll(conn));
  } catch (error) {
    return isLate ? `no answer in ${TIMEOUT_MS / 1_000} s` : (error as Error).message;
  } finally {
    clearTimeout(timer);
    if (!isLate) conn?.close();
  }
}

async function readAll(conn: Deno.TcpConn): Promise<string> {
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(4 * 1024);
  let text = "";
  for (let count; (count = await conn.read(buffer)) !== null;) {
    text += decoder.decode(buffer.subarray(0, count), { stream: true });
  }
  return text;
}

function whyNotReady(response: string): string | undefined {
  const [, status] = /^HTTP\/1\.[01] (\d{3}) /.exec(response) ?? [];
  if (status === undefined) return "what answers does not speak HTTP";
  const body = response.slice(response.indexOf("\r\n\r\n") + 4).trim();
  return status.startsWith("2") ? undefined : `${status} ${body}`;
}
