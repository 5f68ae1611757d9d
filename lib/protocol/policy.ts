/** Who may use the proxy, and for which authority. */
import { matchSubnets } from "@std/net/unstable-ip";
import type { Cidr } from "./address.ts";
import { type Authority, formatAuthority } from "./authority.ts";

/** What is allowed; an empty list of sources or authorities allows all. */
export interface Policy {
  /** @param source A normalised address. */
  sourceAllowed(source: string): boolean;
  authorityAllowed(authority: Authority): boolean;
}

/** Makes a policy of `--allow-from` and `--allowed-hosts`. */
export function createPolicy(
  allowFrom: readonly Cidr[],
  allowedAuthorities: readonly Authority[],
): Policy {
  const subnets = allowFrom.map((cidr) => `${cidr.address}/${cidr.prefixBits}`);
  const authorities = new Set(allowedAuthorities.map(destination));
  return {
    sourceAllowed: (source) => subnets.length === 0 || matchSubnets(source, subnets),
    authorityAllowed: (authority) =>
      authorities.size === 0 || authorities.has(destination(authority)),
  };
}

/** The same for a name with and without a trailing dot: who may ask for one may ask for the other. */
function destination({ host, port }: Authority): string {
  return formatAuthority({ host, port });
}
