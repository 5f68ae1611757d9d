/**
 * IP addresses as text: which family they are of and which subnets they are in. Laxer than RFC 4291 and inet_pton(3):
 * these functions sort addresses that come from the operating system, they do not validate what people type.
 *
 * @module
 */

/** Whether `addr` is four numbers from 0 to 255 with dots between them, each in any notation that `Number` reads. */
export function isIPv4(addr: string): boolean {
  const octets = addr.split(".");
  return octets.length === 4 &&
    octets.every((octet) => isBetween(0, Number(octet), 0xff));
}

/**
 * Whether `addr` is eight groups of hex digits, or fewer with one of them left empty (`::`). The last group may be an
 * IPv4 address, which makes `::ffff:10.0.0.1` an IPv6 address, not an IPv4 one.
 */
export function isIPv6(addr: string): boolean {
  const groups = addr.split(":");
  if (addr.includes(".")) {
    const embedded = groups.pop() ?? "";
    if (groups.length === 0 || !isIPv4(embedded)) return false;
    groups.push(""); // it fills two groups, so it may stand for the missing ones
  }
  const isComplete = groups.length === 8 ||
    groups.length < 8 && groups.includes("");
  return isComplete && addr.split("::").length <= 2 &&
    groups.every((group) => group === "" || isBetween(0, parseInt(group, 16), 0xffff));
}

/**
 * Whether `addr` is in at least one of the subnets, `10.0.0.0/8` or `fd00::/8`. An entry without a prefix length
 * matches the same text only: `::1` does not match `0:0:0:0:0:0:0:1`. An IPv4 address is in no IPv6 subnet, not even
 * in `::ffff:0:0/96`, and the other way round. Text that is no address matches nothing.
 *
 * @throws {RangeError} If an IPv6 subnet has more than eight groups around its `::`.
 */
export function matchSubnets(addr: string, subnetOrIps: string[]): boolean {
  const isV4 = isIPv4(addr);
  if (!isV4 && !isIPv6(addr)) return false;
  return subnetOrIps.some((entry) => {
    if (!entry.includes("/")) return entry === addr;
    const { network } = parseSubnet(entry);
    if (isIPv4(network) !== isV4) return false;
    return isV4 ? matchIPv4Subnet(addr, entry) : matchIPv6Subnet(addr, entry);
  });
}

/** Whether the first bits of an IPv4 address, as many as the subnet's prefix length says, are those of the subnet. */
export function matchIPv4Subnet(addr: string, subnet: string): boolean {
  const { network, prefix } = parseSubnet(subnet);
  if (network === "" || !isBetween(0, prefix, 32)) return false;
  if (prefix === 0) return true; // `>>> 32` would shift by nothing
  const a = addr.split(".");
  const b = network.split(".");
  return a.length === 4 && b.length === 4 &&
    (toUint32(a) ^ toUint32(b)) >>> (32 - prefix) === 0;
}

/** The same for IPv6. */
export function matchIPv6Subnet(addr: string, subnet: string): boolean {
  const { network, prefix } = parseSubnet(subnet);
  if (network === "" || !isBetween(0, prefix, 128)) return false;
  if (prefix === 0) return true;
  const a = toBytes(addr);
  const b = toBytes(network);
  if (!a || !b) return false;
  const whole = prefix >> 3;
  for (let i = 0; i < whole; i++) if (a[i] !== b[i]) return false;
  const split = (a[whole] ?? 0) ^ (b[whole] ?? 0); // the byte in which the prefix ends
  return split >> (8 - prefix % 8) === 0;
}

/** The two parts of `network/prefix`. The prefix is NaN if it is no number, and may be out of range. */
function parseSubnet(subnet: string): { network: string; prefix: number } {
  const [network = "", prefix = ""] = subnet.split("/");
  return { network, prefix: parseInt(prefix, 10) };
}

/** False for NaN too. */
function isBetween(low: number, n: number, high: number): boolean {
  return n >= low && n <= high;
}

function toUint32(octets: string[]): number {
  return octets.reduce((bits, octet) => bits << 8 | Number(octet), 0);
}

/** The bytes of an IPv6 address, fewer than 16 where groups are missing. None if its IPv4 part has not four numbers. */
function toBytes(addr: string): number[] | undefined {
  const hex = addr.includes(".") ? embeddedToHex(addr) : addr;
  if (hex === undefined) return undefined;
  const [left = "", right] = hex.split("::");
  const groups = right === undefined ? left.split(":") : fillGap(left, right);
  return groups.flatMap((group) => {
    const bits = parseInt(group.padStart(4, "0"), 16);
    return [bits >> 8 & 0xff, bits & 0xff];
  });
}

/** `::ffff:10.0.0.1` as `::ffff:a00:1`. */
function embeddedToHex(addr: string): string | undefined {
  const groups = addr.split(":");
  const octets = groups.pop()?.split(".") ?? [];
  if (octets.length !== 4) return undefined;
  const high = toUint32(octets.slice(0, 2)).toString(16);
  const low = toUint32(octets.slice(2)).toString(16);
  return `${groups.join(":")}:${high}:${low}`;
}

function fillGap(left: string, right: string): string[] {
  const before = left === "" ? [] : left.split(":");
  const after = right === "" ? [] : right.split(":");
  const zeros = Array(8 - before.length - after.length).fill("0");
  return [...before, ...zeros, ...after];
}
