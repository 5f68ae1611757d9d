/** Options of {@linkcode getAvailablePort}. */
export interface GetAvailablePortOptions {
  /** The port to return if it is free. 0, or none: any free port. */
  preferredPort?: number;
}

/**
 * Returns a TCP port that was free a moment ago. Another process may take it before the caller does: whoever can
 * listen on port 0 and read the port from the listener should do that instead.
 *
 * @throws {Deno.errors.PermissionDenied} And whatever else `Deno.listen` throws, except that the port is in use.
 */
export function getAvailablePort(options?: GetAvailablePortOptions): number {
  const preferred = options?.preferredPort;
  if (!preferred) return tryPort(0);
  try {
    return tryPort(preferred);
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) return tryPort(0);
    throw error;
  }
}

function tryPort(port: number): number {
  using listener = Deno.listen({ port });
  return listener.addr.port;
}
