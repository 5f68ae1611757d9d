/**
 * Many tunnels at once through a running proxy, each proved by an echo.
 *
 *   deno run --allow-net tests/deploy/tunnels.ts 127.0.0.1:8118 127.0.0.1:9443 1000
 *
 * The proxy must have the second address as its upstream: the echo server listens there.
 */
import { assertEquals } from "@std/assert";

/** Sends everything back until stopped. */
export function startEcho(address: Deno.ListenOptions): { port: number } & Disposable {
  const listener = Deno.listen(address);
  const conns = new Set<Deno.Conn>();
  const accept = async () => {
    while (true) {
      const conn = await listener.accept().catch(() => undefined);
      if (!conn) return;
      conns.add(conn);
      conn.readable.pipeTo(conn.writable).catch(() => {}).finally(() => conns.delete(conn));
    }
  };
  accept();
  return {
    port: listener.addr.port,
    [Symbol.dispose]() {
      listener.close();
      for (const conn of conns) {
        try {
          conn.close();
        } catch {
          // The pipe has closed it.
        }
      }
    },
  };
}

async function readExactly(conn: Deno.Conn, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let have = 0; have < length;) {
    const n = await conn.read(bytes.subarray(have));
    if (n === null) throw new Error(`the connection ended after ${have} of ${length} bytes`);
    have += n;
  }
  return bytes;
}

const ESTABLISHED = "HTTP/1.1 200 Connection established\r\n\r\n";

/** Opens one tunnel and leaves it open. */
export async function openTunnel(proxy: Deno.ConnectOptions): Promise<Deno.TcpConn> {
  const conn = await Deno.connect(proxy);
  const head = "CONNECT kubernetes.default.svc:443 HTTP/1.1\r\n" +
    "Host: kubernetes.default.svc:443\r\n\r\n";
  await conn.write(new TextEncoder().encode(head));
  const answer = await readExactly(conn, ESTABLISHED.length);
  assertEquals(new TextDecoder().decode(answer), ESTABLISHED);
  return conn;
}

/** One message there and back. */
export async function echo(conn: Deno.Conn, message: string): Promise<void> {
  const bytes = new TextEncoder().encode(message);
  await conn.write(bytes);
  assertEquals(new TextDecoder().decode(await readExactly(conn, bytes.length)), message);
}

/** Opens `count` tunnels, some at a time, and uses every one of them while all are open. */
export async function useTunnels(proxy: Deno.ConnectOptions, count: number): Promise<void> {
  const conns: Deno.Conn[] = [];
  try {
    while (conns.length < count) {
      const some = Array.from({ length: Math.min(100, count - conns.length) });
      conns.push(...await Promise.all(some.map(() => openTunnel(proxy))));
    }
    await Promise.all(conns.map((conn, i) => echo(conn, `tunnel ${i} `.padEnd(1_000, "."))));
  } finally {
    for (const conn of conns) conn.close();
  }
}

function parse(address: string | undefined): { hostname: string; port: number } {
  const [, hostname, port] = /^(.+):(\d+)$/.exec(address ?? "") ?? [];
  if (!hostname) throw new Error("usage: tunnels.ts PROXY_HOST:PORT UPSTREAM_HOST:PORT COUNT");
  return { hostname, port: Number(port) };
}

if (import.meta.main) {
  const [proxy, upstream, count = "1000"] = Deno.args;
  using _ = startEcho(parse(upstream));
  await useTunnels(parse(proxy), Number(count));
  console.log(`${count} tunnels, all of them echoed`);
}
