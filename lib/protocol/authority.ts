/**
 * Hosts, addresses and authorities in one normal spelling, so that two
 * spellings of one place compare equal as plain strings.
 */
import { isIPv4 } from "@std/net/unstable-ip";

/** A place to connect to (RFC 9112 §3.2.3, authority-form), normalised. */
export interface Authority {
  /** Lower case, no trailing dot; an IPv6 address without brackets. */
  readonly host: string;
  /** 1 to 65535. */
  readonly port: number;
}

// Not /u: under it a Kelvin sign would pass for a k.
const REG_NAME = /^(?=.{1,253}$)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/i;
// getaddrinfo reads such names as addresses: 127.1, 0x7f000001, 2130706433.
const ENDS_IN_NUMBER = /(?:^|\.)(?:\d+|0x[0-9a-f]*)$/i;
const MAPPED_IPV4 = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/;
const PORT = /^[1-9]\d{0,4}$/;

/**
 * Reads `host:port` as RFC 3986 §3.2.2 and §3.2.3 spell it, an IPv6 address in
 * brackets. Stricter than the RFC where a second reading is possible: no
 * percent-encoding, no zone, no userinfo, no leading zeros, and a host that
 * ends in a number is a dotted-quad address or nothing.
 *
 * @returns `undefined` when the text is anything else.
 */
export function parseAuthority(text: string): Authority | undefined {
  const colon = text.lastIndexOf(":");
  if (colon < 0) return undefined;
  const port = parsePort(text.slice(colon + 1));
  const host = parseHost(text.slice(0, colon));
  return port === undefined || host === undefined ? undefined : { host, port };
}

/** `host:port`, an IPv6 address in brackets. */
export function formatAuthority({ host, port }: Authority): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** A port of 1 to 65535 in plain digits, or `undefined`. */
export function parsePort(text: string): number | undefined {
  const port = Number(text);
  return PORT.test(text) && port <= 65_535 ? port : undefined;
}

/**
 * An IPv4 or IPv6 address, without brackets, in its one normal spelling
 * (RFC 5952), an IPv4-mapped IPv6 address as the IPv4 one that it means;
 * `undefined` for anything else, zones included.
 */
export function normalAddress(text: string): string | undefined {
  // What the kernel says of each IPv4 client of a listener on ::.
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

function parseHost(text: string): string | undefined {
  if (text.startsWith("[")) {
    return text.endsWith("]") ? normalIPv6(text.slice(1, -1)) : undefined;
  }
  const name = text.replace(/\.$/, "");
  if (!REG_NAME.test(name)) return undefined;
  // An address has no trailing dot.
  return ENDS_IN_NUMBER.test(name) ? normalAddress(text) : name.toLowerCase();
}
