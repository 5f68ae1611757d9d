/** HTTP/1.1 responses as text (RFC 9112). Pure. */
import { Buffer } from "node:buffer";

/** A response. */
export interface HttpResponse {
  readonly status: number;
  readonly phrase: string;
  /** By their names in lower case. */
  readonly fields: ReadonlyMap<string, string>;
  readonly body: string;
}

/** Whether a text has a whole head, or is no HTTP at all. */
export function hasHead(text: string): boolean {
  return text.includes("\r\n\r\n") || text.includes("\n\n") ||
    !"HTTP/1.".startsWith(text.slice(0, 7));
}

/** Whether a text has a whole response of which the head gives the length. */
export function hasResponse(text: string): boolean {
  const response = parseResponse(text);
  if (response === undefined) return hasHead(text);
  const length = response.fields.get("content-length");
  return length !== undefined && response.body.length >= Number(length);
}

/** Reads a response of bytes in Latin-1; `undefined` when it is none. */
export function parseResponse(text: string): HttpResponse | undefined {
  const [, head = "", rest = ""] = /^([^]*?)\r?\n\r?\n([^]*)$/.exec(text) ?? [];
  const [statusLine = "", ...lines] = head.split(/\r?\n/);
  const [, status, phrase = ""] = /^HTTP\/1\.[01] (\d{3})(?: (.*))?$/.exec(statusLine) ?? [];
  if (status === undefined) return undefined;
  const fields = new Map(lines.map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
  }));
  const isChunked = /chunked/i.test(fields.get("transfer-encoding") ?? "");
  return { status: Number(status), phrase, fields, body: isChunked ? dechunk(rest) : rest };
}

/** The content of chunks (RFC 9112 §7.1), as far as it is there. */
function dechunk(text: string): string {
  let content = "";
  for (let at = 0;;) {
    const [line, digits] = /^([0-9a-f]+)[^\n]*\n/i.exec(text.slice(at, at + 1024)) ?? [];
    const size = parseInt(digits ?? "0", 16);
    if (line === undefined || size === 0) return content;
    content += text.slice(at + line.length, at + line.length + size);
    at += line.length + size + "\r\n".length;
  }
}

/** Latin-1 bytes as the UTF-8 that they are. */
export function utf8(text: string): string {
  return new TextDecoder().decode(Uint8Array.from(text, (character) => character.charCodeAt(0)));
}

/** Credentials of the scheme Basic (RFC 7617). */
export function basic(name: string, secret: string): string {
  const pair = `${name}:${secret}`;
  return `Basic ${Buffer.from(pair).toString("base64")}`;
}
