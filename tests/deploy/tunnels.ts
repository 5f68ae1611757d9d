/**
 * Many tunnels at once through a running proxy, each proved by an echo.
 *
 *   deno run --allow-net tests/deploy/tunnels.ts 127.0.0.1:8118 127.0.0.1:9443 1000
 *
 * The proxy must have the second address as its upstream: the echo server listens there.
 */
import { assertEquals } from "@std/assert";
import { echo as sendBack } from "../harness/crowd.ts";
import { connectTo, ESTABLISHED, type Peer, TestUpstream } from "../harness/peers.ts";

const HEAD =
  "CONNECT kubernetes.default.svc:443 HTTP/1.1\r\nHost: kubernetes.default.svc:443\r\n\r\n";

/** Sends everything back until stopped. */
export function startEcho(
  { hostname, port }: { hostname: string; port: number },
): { port: number } & Disposable {
  const upstream = new TestUpstream(hostname, port);
  void upstream.serve(sendBack);
  return { port: upstream.authority.port, [Symbol.dispose]: () => upstream[Symbol.dispose]() };
}

/** Opens one tunnel and leaves it open. */
export async function openTunnel(
  { hostname: host, port }: { hostname: string; port: number },
): Promise<Peer> {
  const client = await connectTo({ host, port }, HEAD);
  assertEquals(await client.readText(ESTABLISHED.length), ESTABLISHED);
  return client;
}

/** One message there and back. */
export async function echo(client: Peer, message: string): Promise<void> {
  await client.write(message);
  assertEquals(await client.readText(message.length), message);
}

/** Opens `count` tunnels, some at a time, and uses every one of them while all are open. */
export async function useTunnels(
  proxy: { hostname: string; port: number },
  count: number,
): Promise<void> {
  const clients: Peer[] = [];
  try {
    while (clients.length < count) {
      const some = Array.from({ length: Math.min(100, count - clients.length) });
      clients.push(...await Promise.all(some.map(() => openTunnel(proxy))));
    }
    await Promise.all(clients.map((client, i) => echo(client, `tunnel ${i} `.padEnd(1_000, "."))));
  } finally {
    for (const client of clients) client.close();
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
