/** What several files do with sockets: write all bytes, tell a reset from an error, listen everywhere. */
import { normalAddress } from "../protocol/address.ts";

/** Writes all bytes, calling `onBytes` for each part that has gone out. */
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

/** Whether an error of a socket says that the peer is gone. */
export function isReset(error: unknown): boolean {
  return error instanceof Deno.errors.ConnectionReset ||
    error instanceof Deno.errors.BrokenPipe ||
    error instanceof Deno.errors.ConnectionAborted ||
    error instanceof Deno.errors.NotConnected;
}

/**
 * Listens on every address if no host is given: IPv6 and IPv4, or IPv4 alone
 * where the machine has no IPv6.
 *
 * @throws What `listen` throws.
 */
export function onHost<T>(host: string | undefined, listen: (hostname: string) => T): T {
  if (host !== undefined) return listen(host);
  try {
    return listen("::");
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) throw error;
    return listen("0.0.0.0");
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
