/** Which address to listen on when none is given. */

/**
 * On every address by default: IPv6 and IPv4, or IPv4 alone where the machine has no IPv6.
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
