/** Asking the admin port of a running proxy, for commands. */
import { envName } from "../config/flags.ts";
import type { Io } from "./command.ts";

const TIMEOUT_MS = 3_000;

/** What the admin port has answered, or why it has not. */
export type AdminAnswer =
  | { readonly status: number; readonly body: string }
  | { readonly failure: string };

/** What to print when there is no {@linkcode ownAdminUrl}. */
export const NO_ADMIN_PORT = `${
  envName("admin-port")
} "off": this proxy has no admin port; give the URL of one that has`;

/** The URL of a path on the admin port of the proxy on this machine; `undefined`: it has none. */
export function ownAdminUrl(path: string, env: Io["env"]): string | undefined {
  const given = env(envName("admin-port")) ?? "";
  if (given === "off") return undefined;
  // Nothing, or what the kubelet sets for a Service of that name, counts as not given.
  const port = /^\d+$/.test(given) ? given : "8119";
  return `http://127.0.0.1:${port}${path}`;
}

/** Whether a text is a URL that {@linkcode askAdmin} takes. */
export function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && new URL(text).protocol === "http:";
}

/** Sends a GET. Not by `fetch`, which would go through the proxy that `HTTP_PROXY` names. */
export async function askAdmin(url: string): Promise<AdminAnswer> {
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
    return readAnswer(await readAll(conn));
  } catch (error) {
    return {
      failure: isLate ? `no answer in ${TIMEOUT_MS / 1_000} s` : (error as Error).message,
    };
  } finally {
    clearTimeout(timer);
    if (!isLate) conn?.close();
  }
}

/** Far more than a proxy reports. */
const MAX_CHARS = 64 * 1024 * 1024;

async function readAll(conn: Deno.TcpConn): Promise<string> {
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(64 * 1024);
  let text = "";
  for (let count; (count = await conn.read(buffer)) !== null;) {
    text += decoder.decode(buffer.subarray(0, count), { stream: true });
    if (text.length > MAX_CHARS) throw new Error("what answers does not end");
  }
  return text;
}

function readAnswer(response: string): AdminAnswer {
  const [, status] = /^HTTP\/1\.[01] (\d{3}) /.exec(response) ?? [];
  if (status === undefined) return { failure: "what answers does not speak HTTP" };
  return { status: Number(status), body: response.slice(response.indexOf("\r\n\r\n") + 4).trim() };
}
