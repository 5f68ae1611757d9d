/** Many clients, good and bad, and what they meet. */
import { assertEquals } from "@std/assert";
import { formatAuthority } from "../../lib/protocol/authority.ts";
import type { Authority } from "../../lib/protocol/authority.ts";
import { ESTABLISHED, type Peer } from "./peers.ts";
import type { ProxyProcess } from "./process.ts";

/** Calls `once` that many times, some at once. */
export async function many(
  count: number,
  once: (index: number) => Promise<void>,
  atOnce = 32,
): Promise<void> {
  let next = 0;
  const one = async () => {
    while (next < count) await once(next++);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, one));
}

/** A request for that place. */
export function headFor(authority: Authority): string {
  return `CONNECT ${formatAuthority(authority)} HTTP/1.0\r\n\r\n`;
}

/** A client whose tunnel to that place is up. */
export async function openTunnel(program: ProxyProcess, to: Authority): Promise<Peer> {
  const client = await program.connect(headFor(to));
  assertEquals(await client.readText(ESTABLISHED.length), ESTABLISHED);
  return client;
}

/** A client as it should be: it says something, hears it back and leaves. */
export async function goodTunnel(program: ProxyProcess, to: Authority): Promise<void> {
  using client = await openTunnel(program, to);
  await client.write("ping");
  assertEquals(await client.readText(4), "ping");
}

/** An upstream's end of a tunnel that sends back what comes. */
export async function echo(peer: Peer): Promise<void> {
  const buffer = new Uint8Array(16 * 1024);
  for (let count; (count = await peer.conn.read(buffer)) !== null;) {
    await peer.write(buffer.subarray(0, count));
  }
}
