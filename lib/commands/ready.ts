/** A readiness probe for where there is no curl. */

const TIMEOUT_MS = 3_000;

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
