/** Hosts with a port in one normal form, so that two spellings of one host compare equal. */
import { formatAddress, normalAddress } from "./address.ts";

/** A host and port to connect to (RFC 9112 §3.2.3, authority-form), normalised. */
export interface Authority {
  /** Lower case, no trailing dot; an IPv6 address without brackets. */
  readonly host: string;
  /** 1 to 65535. */
  readonly port: number;
  /** A name given with a trailing dot: it is looked up as it is, without a search list. */
  readonly isAbsolute?: true;
}

// Not /u: under it a Kelvin sign would pass for a k.
const REG_NAME = /^(?=.{1,253}$)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/i;
// getaddrinfo reads such names as addresses: 127.1, 0x7f000001, 2130706433.
const ENDS_IN_NUMBER = /(?:^|\.)(?:\d+|0x[0-9a-f]*)$/i;
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
  return port === undefined || host === undefined ? undefined : { ...host, port };
}

/**
 * Reads an IPv6 address and a port with no brackets around the address. Which colon ends the address
 * is a guess, so this is for authorities that decide nothing; their {@linkcode formatAuthority} has
 * the brackets.
 *
 * @returns `undefined` when the text is anything else.
 */
export function parseUnbracketed(text: string): Authority | undefined {
  const [, host = "", port = ""] = /^([^[\]]*:[^[\]]*):(\d+)$/.exec(text) ?? [];
  return parseAuthority(`[${host}]:${port}`);
}

/** `host:port` as {@linkcode parseAuthority} reads it: an IPv6 address in brackets, the trailing dot kept. */
export function formatAuthority(authority: Authority): string {
  return formatAddress({ hostname: lookupName(authority), port: authority.port });
}

/** The host to resolve or to dial: with the trailing dot, if it was given, no search list is used. */
export function lookupName({ host, isAbsolute }: Authority): string {
  return isAbsolute ? `${host}.` : host;
}

/** A port of 1 to 65535 in plain digits, or `undefined`. */
export function parsePort(text: string): number | undefined {
  const port = Number(text);
  return PORT.test(text) && port <= 65_535 ? port : undefined;
}

function parseHost(text: string): Omit<Authority, "port"> | undefined {
  const isBracketed = text.startsWith("[");
  const isAbsolute = text.endsWith(".");
  const name = isAbsolute ? text.slice(0, -1) : text;
  if (!isBracketed && !REG_NAME.test(name)) return undefined;
  if (isBracketed || ENDS_IN_NUMBER.test(name)) {
    const host = parseAddress(text);
    return host === undefined ? undefined : { host };
  }
  const host = name.toLowerCase();
  return isAbsolute ? { host, isAbsolute } : { host };
}

/** An IPv6 address in brackets, or an IPv4 one without. Neither has a trailing dot. */
function parseAddress(text: string): string | undefined {
  const [, inBrackets] = /^\[(.*:.*)\]$/.exec(text) ?? [];
  return normalAddress(inBrackets ?? text);
}
