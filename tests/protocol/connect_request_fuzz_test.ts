import { assert, assertEquals, assertGreater, assertNotEquals, fail } from "@std/assert";
import { parseAuthority } from "../../lib/protocol/authority.ts";
import { MAX_HEAD_BYTES, MAX_REQUEST_LINE_BYTES } from "../../lib/protocol/connect_request.ts";
import { type Random, randomFrom } from "../harness/random.ts";
import { CLIENTS } from "./clients.ts";
import { REFUSED, SERVED } from "./heads.ts";
import { byteByByte, bytesOf, type Outcome, outcome } from "./outcome.ts";
import { SMUGGLING } from "./smuggling.ts";

/** A case is made of this plus its number: a failure gives the sum, which makes it again. */
const SEED = 20_260_801;
const CASES = 6_000;

const METHODS = ["connect", "CONNECT ", "GET", "PRI", "", "CON\0NECT", "\xc3\xa9"];
const HOSTS = [
  "a",
  "A.b.",
  "a_b",
  "10.0.0.1",
  "127.1",
  "[::1]",
  "[::ffff:1.2.3.4]",
  "::1",
  "a..b",
  "",
];
const PORTS = [":443", ":1", ":65535", ":65536", ":0", ":0443", ":", "", ":443/", ":+1", ":1:2"];
const VERSIONS = ["HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.10", ""];
const ENDS = ["\n", "\r", "\r\r\n", "\n\r", " \r\n", "\r\n ", "\0\r\n"];
const FIELDS = [
  "Host: a:443",
  "Host: b",
  "host:",
  "Host : a",
  "Host: a b",
  "Host: a:b",
  "Host: a%2db:",
  "Host: ::1",
  "Host: [::1]:1",
  "Host: [::1",
  "Content-Length: 1",
  "content-length: 0",
  "Content-Length:0",
  "Proxy-Authorization: Basic eDp5",
  "Transfer-Encoding: chunked",
  "Proxy-Connection: keep-alive",
  "X: \xe9\t\xff",
  "X\t: a",
  "X",
  ": a",
  " folded",
  "",
];
const SPLICES = [
  "\r",
  "\n",
  "\r\n",
  "\r\n\r\n",
  "\0",
  " ",
  "\t",
  ":",
  "\x7f",
  "\x80",
  "\xff",
  "%",
  "@",
];

/** A head by the grammar, where now and then a part is another than it should be. */
function grammatical(random: Random): string {
  const pick = (from: readonly string[]) => from[random(from.length)]!;
  const mostly = (right: string, wrong: readonly string[]) => random(25) > 0 ? right : pick(wrong);
  const end = () => mostly("\r\n", ENDS);
  const authority = pick(HOSTS.slice(0, 7)) + pick(PORTS.slice(0, 3));
  const target = mostly(authority, HOSTS.map((host) => host + pick(PORTS)));
  const version = mostly("HTTP/1.1", VERSIONS);
  const front = mostly("", ["\r\n", "\r\n\r\n", "\n"]);
  const line = `${front}${mostly("CONNECT", METHODS)} ${target} ${version}${end()}`;
  const fields = Array.from({ length: random(3) }, () => mostly("X: a", FIELDS) + end());
  if (random(8) > 0) fields.unshift(`${FIELDS[0]}\r\n`);
  return line + fields.join("") + end() + (random(4) > 0 ? "" : "tunnel\r\n\r\n");
}

/** The text with something cut out, put in, doubled or changed. */
function mutated(text: string, random: Random): string {
  const at = random(text.length + 1), to = at + random(12);
  const splice = SPLICES[random(SPLICES.length)]!;
  const change = [
    () => splice,
    () => splice + text.slice(at, to),
    () => "",
    () => text.slice(at, to).repeat(2),
    () => String.fromCharCode(random(256)),
    () => text.slice(at, to).toUpperCase(),
  ][random(6)]!;
  return text.slice(0, at) + change() + text.slice(to);
}

const KNOWN = [
  ...[...CLIENTS, ...SERVED, ...REFUSED, ...SMUGGLING].map(([_name, head]) => head),
].filter((head) => head.length < 1_000);

/** The text as long as a request line or a head may be, or nearly. */
function lengthened(text: string, random: Random): string {
  const lineLength = text.indexOf("\r\n");
  if (random(2) > 0) {
    const value = "b".repeat(MAX_HEAD_BYTES - text.length - 8 + random(8));
    return text.replace("\r\n", `\r\nB: ${value}\r\n`);
  }
  const at = random(Math.max(lineLength, 1));
  const more = "a".repeat(MAX_REQUEST_LINE_BYTES - Math.max(lineLength, 0) - 3 + random(6));
  return text.slice(0, at) + more + text.slice(at);
}

function fuzzed(random: Random): Uint8Array {
  if (random(20) === 0) return Uint8Array.from({ length: random(300) }, () => random(256));
  let text = random(2) > 0 ? grammatical(random) : KNOWN[random(KNOWN.length)]!;
  for (let times = random(3); times > 0; times--) text = mutated(text, random);
  if (random(30) === 0 && text.length < MAX_REQUEST_LINE_BYTES) text = lengthened(text, random);
  return bytesOf(text);
}

/** Rising ends, some of them twice: nothing new may come too. */
function randomEnds(length: number, random: Random): number[] {
  const ends = Array.from({ length: random(6) }, () => random(length + 1));
  return [...ends, length].toSorted((a, b) => a - b);
}

// Written again from RFC 9112, in another way than the parser: what it accepts must match.
const MODEL = new RegExp(
  "^(?:\r\n)*CONNECT (?<target>[\\x21-\\x7e]+) HTTP/1\\.(?<minor>[01])\r\n" +
    "(?<fields>(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\\t\\x20-\\x7e\\x80-\\xff]*\r\n)*)\r\n",
);

/** Whether a head is one to accept, by a model that needs all its bytes at once. */
function modelAccepts(bytes: Uint8Array): boolean {
  const text = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  const [head, target = "", minor, fields = ""] = MODEL.exec(text) ?? [];
  if (head === undefined || head.length > MAX_HEAD_BYTES) return false;
  const valuesOf = (name: string) =>
    [...fields.matchAll(new RegExp(`^${name}:[\\t ]*(.*?)[\\t ]*\r$`, "gim"))]
      .map(([, value = ""]) => value);
  const hosts = valuesOf("host"), lengths = valuesOf("content-length");
  return parseAuthority(target) !== undefined &&
    hosts.length <= 1 && (hosts.length === 1 || minor === "0") &&
    hosts.every((host) => host === target || modelAcceptsHost(host)) &&
    (lengths.length === 0 || lengths.length === 1 && lengths[0] === "0") &&
    valuesOf("transfer-encoding").length === 0;
}

/** RFC 3986 §3.2.2, from the end: digits and a colon, then an address in brackets or a name. */
function modelAcceptsHost(value: string): boolean {
  const host = value.replace(/:[0-9]*$/, "");
  if (host.startsWith("[")) {
    const isFuture = /^\[v[0-9a-f]+\.[a-z0-9._~!$&'()*+,;=:-]+\]$/i.test(host);
    return isFuture || /^\[[0-9a-f:.]+\]$/i.test(host) && URL.canParse(`http://${host}`);
  }
  const name = host.replace(/%[0-9a-f][0-9a-f]/gi, "");
  return [...name].every((char) => /[a-z0-9._~!$&'()*+,;=-]/i.test(char));
}

function holds(bytes: Uint8Array, random: Random): Outcome {
  const whole = outcome(bytes);
  for (let times = 0; times < 3; times++) {
    const ends = randomEnds(bytes.length, random);
    assertEquals(outcome(bytes, ends), whole, `split at ${ends}`);
  }
  assertEquals(outcome(bytes, byteByByte(bytes)), whole, "byte by byte");
  if (bytes.length >= MAX_HEAD_BYTES) assertNotEquals(whole, "need more", "past the limit");
  assertEquals(typeof whole === "object" && "authority" in whole, modelAccepts(bytes), "the model");
  if (typeof whole === "object" && "authority" in whole) {
    const { authority, headBytes } = whole;
    const alone = outcome(bytes.subarray(0, headBytes));
    assertEquals(alone, whole, "its head alone");
    assertEquals(outcome(bytes.subarray(0, headBytes - 1)), "need more", "all but its last byte");
    assertEquals(outcome(bytes, undefined, true), whole, "where brackets may be left out");
    const printed = `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`;
    const again = { authority, headBytes: printed.length };
    assertEquals(outcome(bytesOf(printed)), again, "printed back");
  }
  return whole;
}

Deno.test("ConnectRequestParser holds its promises for bytes made up at random", () => {
  const seen = new Map<string, number>();
  for (let seed = SEED; seed < SEED + CASES; seed++) {
    const random = randomFrom(seed);
    const bytes = fuzzed(random);
    try {
      const result = holds(bytes, random);
      const key = typeof result === "string" ? result : "kind" in result ? result.kind : "request";
      seen.set(key, (seen.get(key) ?? 0) + 1);
    } catch (error) {
      const head = JSON.stringify(String.fromCharCode(...bytes.subarray(0, 600)));
      fail(`seed ${seed}, ${bytes.length} bytes ${head}: ${error}`);
    }
  }
  assertGreater(seen.get("request") ?? 0, CASES / 10, "too few of the cases are good heads");
  for (
    const kind of [
      "need more",
      "malformed_head",
      "body_announced",
      "method_not_allowed",
      "version_not_supported",
      "request_line_too_long",
      "head_too_long",
    ]
  ) assert(seen.has(kind), `no case came to ${kind}`);
});
