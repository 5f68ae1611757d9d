/**
 * Reads the head of a CONNECT request (RFC 9110 §9.3.6, RFC 9112 §2, §3,
 * §3.2.3, §5). Pure: never reads, waits or writes.
 *
 *     request-line = "CONNECT" SP host ":" port SP "HTTP/1." ( "0" / "1" )
 *     head         = request-line CRLF *( field-name ":" field-value CRLF ) CRLF
 *
 * Stricter than the RFC allows to be: no bare LF, no empty line in front, no
 * obs-fold, so that no other party can read the same bytes in another way.
 */
import { type Authority, parseAuthority } from "./authority.ts";
import { Refusal } from "./refusal.ts";

/** Without its CR LF. */
export const MAX_REQUEST_LINE_BYTES = 8 * 1024;
/** Request line, fields and the blank line, all CR LF included. */
export const MAX_HEAD_BYTES = 16 * 1024;

/** A CONNECT request: where to, and where the tunnel's first byte is. */
export interface ConnectRequest {
  readonly authority: Authority;
  /** What follows these bytes belongs to the tunnel. */
  readonly headBytes: number;
}

const CR = 0x0d, LF = 0x0a, SP = 0x20, HTAB = 0x09, COLON = 0x3a, DEL = 0x7f;
/** The first byte of a client that takes the proxy for an HTTPS server (RFC 8446 §5.1). */
const TLS_HANDSHAKE = 0x16;

const REQUEST_LINE = /^([!#$%&'*+.^_`|~\w-]+) (\S+) HTTP\/(\d\.\d)$/;
const ALPHANUMERIC = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/** tchar (RFC 9110 §5.6.2). */
const IS_TOKEN_BYTE = byteTable(ALPHANUMERIC + "!#$%&'*+-.^_`|~");
/** What uri-host [ ":" port ] is made of (RFC 9112 §3.2); which one it is does not matter. */
const IS_HOST_BYTE = byteTable(ALPHANUMERIC + "_.~!$&'()*+,;=%:[]-");

/** What a request line asks for. */
interface RequestLine {
  readonly authority: Authority;
  readonly hostRequired: boolean;
}

/** The request line read last: clients of one proxy nearly all send the same. */
let lastLine: { readonly bytes: Uint8Array; readonly means: RequestLine } | undefined;

/**
 * Reads one head as it arrives. It looks at each byte once, however the bytes
 * are split, and what it says does not depend on the split.
 */
export class ConnectRequestParser {
  #scannedBytes = 0;
  #lineStart = 0;
  #request: RequestLine | undefined;
  #hosts = 0;

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
      if (this.#request === undefined) this.#request = readRequestLine(received, end);
      else if (end > start) this.#readField(received, start, end);
      else return this.#finish(this.#request, at + 1);
    }
    this.#scannedBytes = received.length;
    return undefined;
  }

  #checkByte(received: Uint8Array, at: number): void {
    const byte = received[at]!;
    const inRequestLine = this.#request === undefined;
    const afterCr = at > this.#lineStart && received[at - 1] === CR;
    if (inRequestLine && at >= MAX_REQUEST_LINE_BYTES && byte !== CR && !afterCr) {
      throw new Refusal("request_line_too_long");
    }
    if (afterCr !== (byte === LF)) throw malformed("a CR or LF that stands alone");
    const isText = byte >= SP && byte !== DEL && (byte < DEL || !inRequestLine);
    const isLineEnd = byte === CR || byte === LF;
    if (!isText && !isLineEnd && (byte !== HTAB || inRequestLine)) {
      if (at === 0 && byte === TLS_HANDSHAKE) throw malformed("TLS instead of a CONNECT request");
      throw malformed(byte > DEL ? "a byte outside ASCII in the request line" : "a control byte");
    }
    const endsHead = byte === LF && at - 1 === this.#lineStart;
    if (at >= MAX_HEAD_BYTES - 1 && !endsHead) throw new Refusal("head_too_long");
  }

  #readField(received: Uint8Array, start: number, end: number): void {
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
      if (!isHostValue(received, colon + 1, end)) {
        throw malformed("a Host field that is not a host");
      }
    } else if (
      isName("content-length", received, start, colon) ||
      isName("transfer-encoding", received, start, colon)
    ) throw new Refusal("body_announced");
  }

  #finish({ authority, hostRequired }: RequestLine, headBytes: number): ConnectRequest {
    if (hostRequired && this.#hosts === 0) throw malformed("the Host field is missing");
    return { authority, headBytes };
  }
}

/** Reads the line that ends there. */
function readRequestLine(received: Uint8Array, end: number): RequestLine {
  if (lastLine !== undefined && lineIs(received, end, lastLine.bytes)) return lastLine.means;
  const line = received.subarray(0, end);
  const [, method, target, version] = REQUEST_LINE.exec(String.fromCharCode(...line)) ?? [];
  if (method === undefined || target === undefined) {
    throw malformed("the first line is not a request line");
  }
  if (method !== "CONNECT") throw new Refusal("method_not_allowed");
  if (version !== "1.0" && version !== "1.1") throw new Refusal("version_not_supported");
  const authority = parseAuthority(target);
  if (authority === undefined) throw malformed("the request target is not host:port");
  const means = { authority, hostRequired: version === "1.1" };
  lastLine = { bytes: line.slice(), means };
  return means;
}

/** Whether what is there up to that end is the same as those bytes. */
function lineIs(received: Uint8Array, end: number, bytes: Uint8Array): boolean {
  if (bytes.length !== end) return false;
  for (let at = 0; at < end; at++) {
    if (received[at] !== bytes[at]) return false;
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

/** Whether the token there is that name, in lower case, whatever its own case. */
function isName(name: string, bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start !== name.length) return false;
  for (let i = 0; i < name.length; i++) {
    // Of what a token may hold, only a letter can become that letter or a dash a dash.
    if ((bytes[start + i]! | 0x20) !== name.charCodeAt(i)) return false;
  }
  return true;
}

/** A host between optional blanks, or nothing but blanks. */
function isHostValue(bytes: Uint8Array, start: number, end: number): boolean {
  while (start < end && isBlank(bytes[start])) start++;
  while (start < end && isBlank(bytes[end - 1])) end--;
  return consistsOf(IS_HOST_BYTE, bytes, start, end);
}

function isBlank(byte: number | undefined): boolean {
  return byte === SP || byte === HTAB;
}

function malformed(what: string): Refusal {
  return new Refusal("malformed_head", what);
}
