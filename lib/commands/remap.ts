/**
 * The address at which a peer cluster reaches this one's proxy: Liqo maps the
 * external CIDR of a cluster to another one in each peer, host bits unchanged.
 */
import { addressNumber, normalAddress, parseCidr } from "../protocol/address.ts";
import { EXIT_SUCCESS, EXIT_USAGE, type Io } from "./command.ts";

/** `remap REMAPPED_IP REMAPPED_EXT_CIDR`: prints the remapped address. */
export function remap(args: readonly string[], { print, printError }: Io): number {
  const [remappedIp, remappedExtCidr, ...rest] = args;
  if (remappedIp === undefined || remappedExtCidr === undefined || rest.length > 0) {
    printError("usage: api-server-proxy remap REMAPPED_IP REMAPPED_EXT_CIDR");
    printError("e.g.   api-server-proxy remap 10.70.0.3 10.81.0.0/16");
    return EXIT_USAGE;
  }
  try {
    print(remapAddress(remappedIp, remappedExtCidr));
    return EXIT_SUCCESS;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    printError(error.message);
    return EXIT_USAGE;
  }
}

/**
 * Replaces the network part of an address by that of a CIDR, bit by bit.
 *
 * @param remappedIp IPv4 address from `status` of the `IP` resource.
 * @param remappedExtCidr IPv4 CIDR under which the peer sees the external CIDR.
 * @throws {RangeError} Saying which argument is wrong and what it takes.
 */
export function remapAddress(remappedIp: string, remappedExtCidr: string): string {
  const ip = normalAddress(remappedIp);
  if (ip === undefined || remappedIp.includes(":")) {
    throw new RangeError(
      `REMAPPED_IP "${remappedIp}": takes an IPv4 address such as 10.70.0.3`,
    );
  }
  const network = remappedExtCidr.includes("/") ? parseCidr(remappedExtCidr) : undefined;
  const prefixBits = network?.prefixBits ?? 0;
  if (network === undefined || network.address.includes(":") || prefixBits % 32 === 0) {
    throw new RangeError(
      `REMAPPED_EXT_CIDR "${remappedExtCidr}": takes an IPv4 network such as ` +
        "10.81.0.0/16, a prefix from 1 to 31, no bit set after it",
    );
  }
  const hostPart = BigInt.asUintN(32 - prefixBits, addressNumber(ip));
  const remapped = addressNumber(network.address) | hostPart;
  return [24n, 16n, 8n, 0n].map((shift) => (remapped >> shift) & 255n).join(".");
}
