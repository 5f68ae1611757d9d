/** IP addresses and blocks of them, in one normal spelling: two spellings of one address compare equal. */
import { isIPv4 } from "@std/net/unstable-ip";

/** A block of addresses. A single address is a block of /32 or /128. */
export interface Cidr {
  /** Normalised, with no bit set after the prefix. */
  readonly address: string;
  readonly prefixBits: number;
}

const MAPPED_IPV4 = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/;
const CIDR = /^([^/]+)(?:\/(0|[1-9]\d{0,2}))?$/;

/**
 * An IPv4 or IPv6 address, without brackets, in its one normal spelling
 * (RFC 5952), an IPv4-mapped IPv6 address as the IPv4 one that it means;
 * `undefined` for anything else, zones included.
 */
export function normalAddress(text: string): string | undefined {
  // How the kernel names each IPv4 client of a listener on ::.
  if (/^::ffff:[\d.]+$/.test(text)) return normalAddress(text.slice("::ffff:".length));
  if (text.includes(":")) return normalIPv6(text);
  // isIPv4 reads the parts as numbers: "1...1", "0x7f.0.0.1" and " 1.1.1.1" pass.
  const plain = text.split(".").every((part) => String(Number(part)) === part);
  return plain && isIPv4(text) ? text : undefined;
}

function normalIPv6(text: string): string | undefined {
  // isIPv6 lets ":::" pass and not "::2:3:4:5:6:7:8"; URL reads what RFC 4291 says.
  const url = `http://[${text}]/`;
  if (!/^[0-9a-f:.]+$/i.test(text) || !URL.canParse(url)) return undefined;
  const address = new URL(url).hostname.slice(1, -1);
  const [, high, low] = MAPPED_IPV4.exec(address) ?? [];
  if (high === undefined || low === undefined) return address;
  return [parseInt(high, 16), parseInt(low, 16)]
    .flatMap((pair) => [pair >> 8, pair & 255]).join(".");
}

/** Reads `address/prefix` or a single address; `undefined` for anything else. */
export function parseCidr(text: string): Cidr | undefined {
  const [, addressText = "", prefixText] = CIDR.exec(text) ?? [];
  const address = normalAddress(addressText);
  // A mapped address would turn into an IPv4 one under an IPv6 prefix length.
  if (address === undefined || address.includes(":") !== addressText.includes(":")) {
    return undefined;
  }
  const addressBits = address.includes(":") ? 128 : 32;
  const prefixBits = Number(prefixText ?? addressBits);
  if (prefixBits > addressBits) return undefined;
  const hostBits = BigInt.asUintN(addressBits - prefixBits, addressNumber(address));
  return hostBits === 0n ? { address, prefixBits } : undefined;
}

/** The bits of a normalised address as one number, 32 or 128 bits wide. */
export function addressNumber(normal: string): bigint {
  if (!normal.includes(":")) {
    return normal.split(".").reduce((sum, part) => sum << 8n | BigInt(part), 0n);
  }
  const [left = "", right] = normal.split("::");
  const head = left === "" ? [] : left.split(":");
  const tail = right === undefined || right === "" ? [] : right.split(":");
  const zeros = Array<string>(8 - head.length - tail.length).fill("0");
  return [...head, ...zeros, ...tail]
    .reduce((sum, part) => sum << 16n | BigInt(`0x${part}`), 0n);
}

/** `hostname:port`, an IPv6 address in brackets. Takes what a socket has for its address. */
export function formatAddress({ hostname, port }: { hostname: string; port: number }): string {
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  // A text made by + or a template is a chain of its parts, which JSON.stringify prints more slowly.
  return [host, port].join(":");
}
