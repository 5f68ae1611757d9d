/**
 * Reads the head of a CONNECT request (RFC 9110 §9.3.6, RFC 9112 §2, §3,
 * §3.2.3, §5). Pure: never reads, waits or writes.
 *
 *     request-line = "CONNECT" SP host ":" port SP "HTTP/1." ( "0" / "1" )
 *     head         = *CRLF request-line CRLF *( field-name ":" field-value CRLF ) CRLF
 *
 * Stricter than the RFC asks for: no bare LF and no obs-fold, so that no other
 * party can read the same bytes in another way.
 */
import { normalAddress } from "./address.ts";
import { type Authority, parseAuthority, parseUnbracketed } from "./authority.ts";
import { Refusal } from "./refusal.ts";

/** Without its CR LF. */
export const MAX_REQUEST_LINE_BYTES = 8 * 1024;
/** Empty lines, request line, fields and the blank line, all CR LF included. */
export const MAX_HEAD_BYTES = 16 * 1024;

/** A CONNECT request: where to, and where the tunnel's first byte is. */
export interface ConnectRequest {
  readonly authority: Authority;
  /** What follows these bytes belongs to the tunnel. */
  readonly headBytes: number;
  /** The values of all Proxy-Authorization fields, without blanks around them: views of the head. */
  readonly proxyAuthorization: readonly Uint8Array[];
}

const CR = 0x0d, LF = 0x0a, SP = 0x20, HTAB = 0x09, COLON = 0x3a, DEL = 0x7f;
const ZERO = new TextEncoder().encode("0"), HEAD = new TextEncoder().encode("HEAD ");
/** The first byte of a client that takes the proxy for an HTTPS server (RFC 8446 §5.1). */
const TLS_HANDSHAKE = 0x16;

const REQUEST_LINE = /^([!#$%&'*+.^_`|~\w-]+) (\S+) HTTP\/(\d\.\d)$/;
const ALPHANUMERIC = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/** tchar (RFC 9110 §5.6.2). */
const IS_TOKEN_BYTE = byteTable(ALPHANUMERIC + "!#$%&'*+-.^_`|~");
/** uri-host [ ":" port ] (RFC 9112 §3.2, RFC 3986 §3.2.2), but for what is in brackets. */
const HOST_VALUE =
  /^(?:\[([0-9a-f:.]+|v[0-9a-f]+\.[\w.~!$&'()*+,;=:-]+)\]|(?:[\w.~!$&'()*+,;=-]|%[0-9a-f]{2})*)(?::\d*)?$/i;
const NONE: readonly Uint8Array[] = [];

/** What a request line asks for. */
interface RequestLine {
  readonly authority: Authority;
  /** The target as it was sent. */
  readonly target: Uint8Array;
  readonly hostRequired: boolean;
}

/** The request line read last: clients of one proxy nearly all send the same. */
let lastLine: { readonly bytes: Uint8Array; readonly means: RequestLine } | undefined;

/**
 * Reads one head as it arrives. It looks at each byte once, however the bytes
 * are split, and what it says does not depend on the split.
 */
export class ConnectRequestParser {
  readonly #takesUnbracketed: boolean;
  #scannedBytes = 0;
  #lineStart = 0;
  #request: RequestLine | undefined;
  #hosts = 0;
  #contentLengths = 0;
  #proxyAuthorization = NONE;

  /**
   * @param takesUnbracketed Whether to accept an IPv6 address without brackets in the request
   * target, as the official Python client sends it for `exec`. For a proxy to which the target
   * decides nothing.
   */
  constructor(takesUnbracketed = false) {
    this.#takesUnbracketed = takesUnbracketed;
  }

  /**
   * @param received All that has been received so far, from the first byte on.
   * @returns The request once the head is complete; `undefined` to ask for more.
   * @throws {Refusal} At the first byte that makes the head one to refuse.
   */
  parse(received: Uint8Array): ConnectRequest | undefined {
    for (let at = this.#scannedBytes; at < received.length; at++) {
      this.#checkByte(received, at);
      if (received[at] !== LF) continue;
      const start = this.#lineStart, end = at - 1;
      this.#lineStart = at + 1;
      if (this.#request !== undefined) {
        if (end === start) return this.#finish(this.#request, at + 1);
        this.#readField(this.#request, received, start, end);
      } else if (end > start) {
        this.#request = readRequestLine(received, start, end, this.#takesUnbracketed);
      }
    }
    this.#scannedBytes = received.length;
    return undefined;
  }

  #checkByte(received: Uint8Array, at: number): void {
    const byte = received[at]!;
    const inRequestLine = this.#request === undefined;
    const afterCr = at > this.#lineStart && received[at - 1] === CR;
    const lineBytes = at - this.#lineStart;
    if (inRequestLine && lineBytes >= MAX_REQUEST_LINE_BYTES && byte !== CR && !afterCr) {
      throw new Refusal("request_line_too_long");
    }
    if (afterCr !== (byte === LF)) throw malformed("a CR or LF that stands alone");
    const isText = byte >= SP && byte !== DEL && (byte < DEL || !inRequestLine);
    const isLineEnd = byte === CR || byte === LF;
    if (!isText && !isLineEnd && (byte !== HTAB || inRequestLine)) {
      if (at === 0 && byte === TLS_HANDSHAKE) throw malformed("TLS instead of a CONNECT request");
      throw malformed(byte > DEL ? "a byte outside ASCII in the request line" : "a control byte");
    }
    const endsHead = byte === LF && lineBytes === 1 && !inRequestLine;
    if (at >= MAX_HEAD_BYTES - 1 && !endsHead) throw new Refusal("head_too_long");
  }

  #readField(request: RequestLine, received: Uint8Array, start: number, end: number): void {
    const first = received[start];
    if (first === SP || first === HTAB) throw malformed("a folded field line");
    let colon = start;
    while (colon < end && received[colon] !== COLON) colon++;
    if (colon === end) throw malformed("a field line without a colon");
    if (colon === start || !consistsOf(IS_TOKEN_BYTE, received, start, colon)) {
      throw malformed("a field name with a byte that is not allowed there");
    }
    if (isName("host", received, start, colon)) {
      if (++this.#hosts > 1) throw malformed("more than one Host field");
      const [from, to] = trimmed(received, colon + 1, end);
      // Clients that send an IPv6 address without brackets do so in both places.
      if (!isAt(received, from, to, request.target) && !isHostValue(received, from, to)) {
        throw malformed("a Host field that is not a host");
      }
    } else if (isName("content-length", received, start, colon)) {
      const [from, to] = trimmed(received, colon + 1, end);
      if (++this.#contentLengths > 1 || !isAt(received, from, to, ZERO)) {
        throw new Refusal("body_announced");
      }
    } else if (isName("transfer-encoding", received, start, colon)) {
      throw new Refusal("body_announced");
    } else if (isName("proxy-authorization", received, start, colon)) {
      const value = received.subarray(...trimmed(received, colon + 1, end));
      this.#proxyAuthorization = [...this.#proxyAuthorization, value];
    }
  }

  #finish({ authority, hostRequired }: RequestLine, headBytes: number): ConnectRequest {
    if (hostRequired && this.#hosts === 0) throw malformed("the Host field is missing");
    return { authority, headBytes, proxyAuthorization: this.#proxyAuthorization };
  }
}

/** Whether what has been received so far begins a HEAD request, to which no answer has a body (RFC 9110 §9.3.2). */
export function isHeadRequest(received: Uint8Array): boolean {
  let start = 0;
  while (received[start] === CR && received[start + 1] === LF) start += 2;
  return isAt(received, start, start + HEAD.length, HEAD);
}

/** Reads the request line that begins and ends there. */
function readRequestLine(
  received: Uint8Array,
  start: number,
  end: number,
  takesUnbracketed: boolean,
): RequestLine {
  if (lastLine !== undefined && isAt(received, start, end, lastLine.bytes)) return lastLine.means;
  const line = received.subarray(start, end);
  const [, method, target, version] = REQUEST_LINE.exec(String.fromCharCode(...line)) ?? [];
  if (method === undefined || target === undefined) {
    throw malformed("the first line is not a request line");
  }
  // What a method means is for the version to say.
  if (version !== "1.0" && version !== "1.1") throw new Refusal("version_not_supported");
  if (method !== "CONNECT") throw new Refusal("method_not_allowed");
  const bytes = line.slice();
  const hostRequired = version === "1.1";
  const targetBytes = bytes.subarray(method.length + 1, method.length + 1 + target.length);
  const authority = parseAuthority(target);
  if (authority !== undefined) {
    const means = { authority, target: targetBytes, hostRequired };
    lastLine = { bytes, means };
    return means;
  }
  // Not remembered: another parser may have to refuse it.
  const guessed = takesUnbracketed ? parseUnbracketed(target) : undefined;
  if (guessed === undefined) throw malformed("the request target is not host:port");
  return { authority: guessed, target: targetBytes, hostRequired };
}

/** Whether the bytes from there to there are those. */
function isAt(received: Uint8Array, start: number, end: number, bytes: Uint8Array): boolean {
  if (end - start !== bytes.length) return false;
  for (let at = 0; at < bytes.length; at++) {
    if (received[start + at] !== bytes[at]) return false;
  }
  return true;
}

function byteTable(chars: string): Uint8Array {
  const table = new Uint8Array(256);
  for (let i = 0; i < chars.length; i++) table[chars.charCodeAt(i)] = 1;
  return table;
}

function consistsOf(table: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    if (table[bytes[at]!] === 0) return false;
  }
  return true;
}

/** Whether the token there is that lower-case name, in any case. */
function isName(name: string, bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start !== name.length) return false;
  for (let i = 0; i < name.length; i++) {
    // Of what a token may hold, only a letter can become that letter or a dash a dash.
    if ((bytes[start + i]! | 0x20) !== name.charCodeAt(i)) return false;
  }
  return true;
}

/** Where a field's value begins and ends without the optional blanks around it. */
function trimmed(bytes: Uint8Array, start: number, end: number): [start: number, end: number] {
  while (start < end && isBlank(bytes[start])) start++;
  while (start < end && isBlank(bytes[end - 1])) end--;
  return [start, end];
}

function isHostValue(bytes: Uint8Array, start: number, end: number): boolean {
  const found = HOST_VALUE.exec(String.fromCharCode(...bytes.subarray(start, end)));
  const inBrackets = found?.[1];
  const isAddress = inBrackets === undefined || /^v/i.test(inBrackets) ||
    inBrackets.includes(":") && normalAddress(inBrackets) !== undefined;
  return found !== null && isAddress;
}

function isBlank(byte: number | undefined): boolean {
  return byte === SP || byte === HTAB;
}

function malformed(what: string): Refusal {
  return new Refusal("malformed_head", what);
}
