/** Helpers for sockets: write all bytes, recognise a reset, listen on every address. */
import { normalAddress } from "../protocol/address.ts";

/** Writes all bytes, calling `onBytes` for each part that was written. */
export async function writeAll(
  to: Deno.TcpConn,
  bytes: Uint8Array,
  onBytes?: (count: number) => void,
): Promise<void> {
  for (let sent = 0; sent < bytes.length;) {
    const count = await to.write(sent === 0 ? bytes : bytes.subarray(sent));
    sent += count;
    onBytes?.(count);
  }
}

/** Whether a socket's error means that the peer is gone. */
export function isReset(error: unknown): boolean {
  return error instanceof Deno.errors.ConnectionReset ||
    error instanceof Deno.errors.BrokenPipe ||
    error instanceof Deno.errors.ConnectionAborted ||
    error instanceof Deno.errors.NotConnected;
}

/** There is no listening on an address. */
export class CannotListen extends Error {}

/** Connections that the kernel may hold until they are accepted. */
const ACCEPT_BACKLOG = 1_024;

/**
 * Listens on an address, or on every one if no host is given: IPv6 and IPv4, or IPv4 alone where
 * the machine has no IPv6. On most machines one socket takes both; where `net.ipv6.bindv6only` is
 * set, it takes two.
 *
 * @param reusePort Whether workers of this process share the port.
 * @returns The sockets, all on the same port.
 * @throws {CannotListen} Saying why.
 */
export function listenOn(
  options: { host: string | undefined; port: number; reusePort?: boolean },
): Deno.TcpListener[] {
  try {
    return listenOnAll(options);
  } catch (error) {
    throw new CannotListen((error as Error).message);
  }
}

function listenOnAll(
  { host, port, reusePort = false }: {
    host: string | undefined;
    port: number;
    reusePort?: boolean;
  },
): Deno.TcpListener[] {
  const listen = (hostname: string, port: number) =>
    Deno.listen({ hostname, port, reusePort, tcpBacklog: ACCEPT_BACKLOG });
  if (host !== undefined) return [listen(host, port)];
  let all: Deno.TcpListener;
  try {
    all = listen("::", port);
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) throw error;
    return [listen("0.0.0.0", port)];
  }
  if (!isV6Only()) return [all];
  try {
    return [all, listen("0.0.0.0", (all.addr as Deno.NetAddr).port)];
  } catch (error) {
    all.close();
    throw error;
  }
}

/** Whether a socket on :: leaves IPv4 to others: then the same port is still free there. */
function isV6Only(): boolean {
  using all = Deno.listen({ hostname: "::", port: 0 });
  try {
    Deno.listen({ hostname: "0.0.0.0", port: (all.addr as Deno.NetAddr).port }).close();
    return true;
  } catch {
    return false;
  }
}

/** Whether a connection that this host has made ends at that listener. */
export function isSameListener(listener: Deno.NetAddr, conn: Deno.TcpConn): boolean {
  const remote = conn.remoteAddr as Deno.NetAddr;
  if (remote.port !== listener.port) return false;
  const host = normalAddress(remote.hostname);
  if (listener.hostname !== "::" && listener.hostname !== "0.0.0.0") {
    return host === normalAddress(listener.hostname);
  }
  // To one of its own addresses a host connects from that same address, and to
  // any in 127.0.0.0/8 from 127.0.0.1.
  const local = normalAddress((conn.localAddr as Deno.NetAddr).hostname);
  return host === local || (host?.startsWith("127.") ?? false);
}
