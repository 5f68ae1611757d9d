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
// uri-host [ ":" port ], or nothing (RFC 9112 §3.2); which one does not matter.
const HOST_VALUE = /^[ \t]*(?:[\w.~!$&'()*+,;=%:[\]-]+[ \t]*)?$/;

const IS_TOKEN_BYTE = new Uint8Array(256);
for (const char of "!#$%&'*+-.^_`|~") IS_TOKEN_BYTE[char.charCodeAt(0)] = 1;
for (const char of "0123456789abcdefghijklmnopqrstuvwxyz") {
  IS_TOKEN_BYTE[char.charCodeAt(0)] = 1;
  IS_TOKEN_BYTE[char.toUpperCase().charCodeAt(0)] = 1;
}

/**
 * Reads one head as it arrives. It looks at each byte once, however the bytes
 * are split, and what it says does not depend on the split.
 */
export class ConnectRequestParser {
  #scannedBytes = 0;
  #lineStart = 0;
  #request: { authority: Authority; hostRequired: boolean } | undefined;
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
      const line = received.subarray(this.#lineStart, at - 1);
      this.#lineStart = at + 1;
      if (this.#request === undefined) this.#readRequestLine(line);
      else if (line.length > 0) this.#readField(line);
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

  #readRequestLine(line: Uint8Array): void {
    const [, method, target, version] = REQUEST_LINE.exec(latin1(line)) ?? [];
    if (method === undefined || target === undefined) {
      throw malformed("the first line is not a request line");
    }
    if (method !== "CONNECT") throw new Refusal("method_not_allowed");
    if (version !== "1.0" && version !== "1.1") throw new Refusal("version_not_supported");
    const authority = parseAuthority(target);
    if (authority === undefined) {
      throw malformed("the request target is not host:port");
    }
    this.#request = { authority, hostRequired: version === "1.1" };
  }

  #readField(line: Uint8Array): void {
    if (line[0] === SP || line[0] === HTAB) throw malformed("a folded field line");
    const colon = line.indexOf(COLON);
    if (colon < 0) throw malformed("a field line without a colon");
    const name = line.subarray(0, colon);
    if (name.length === 0 || !name.every((byte) => IS_TOKEN_BYTE[byte])) {
      throw malformed("a field name with a byte that is not allowed there");
    }
    switch (latin1(name).toLowerCase()) {
      case "host":
        if (++this.#hosts > 1) throw malformed("more than one Host field");
        if (!HOST_VALUE.test(latin1(line.subarray(colon + 1)))) {
          throw malformed("a Host field that is not a host");
        }
        break;
      case "content-length":
      case "transfer-encoding":
        throw new Refusal("body_announced");
    }
  }

  #finish(
    { authority, hostRequired }: { authority: Authority; hostRequired: boolean },
    headBytes: number,
  ): ConnectRequest {
    if (hostRequired && this.#hosts === 0) throw malformed("the Host field is missing");
    return { authority, headBytes };
  }
}

function malformed(what: string): Refusal {
  return new Refusal("malformed_head", what);
}

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}
