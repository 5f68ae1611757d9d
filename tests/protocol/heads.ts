/** Request heads and what is to come of each. A character is a byte: `\xNN` is any byte. */
import type { RefusalKind } from "../../lib/protocol/refusal.ts";

/** A head that is served: for which authority. */
export type Served = readonly [name: string, head: string, authority: string];
/** A head that is refused: how, and the reason where the kind does not say it. */
export type Refused = readonly [name: string, head: string, kind: RefusalKind, reason?: string];

export const LINE = "CONNECT kubernetes.default.svc:443 HTTP/1.1";
export const HOST = "Host: kubernetes.default.svc:443";

/** Lines, each with its CR LF, and the blank line. */
export function head(...lines: string[]): string {
  return [...lines, "", ""].join("\r\n");
}

const first = (line: string) => head(line, HOST);
const target = (text: string) => first(`CONNECT ${text} HTTP/1.1`);
const field = (line: string) => head(LINE, HOST, line);
const host = (value: string) => head(LINE, `Host:${value}`);
/** A GET whose request line has that many bytes. */
const longLine = (bytes: number) => first(`GET /${"a".repeat(bytes - 14)} HTTP/1.1`);
/** A request with a head of that many bytes. */
export function longHead(bytes: number): string {
  const short = field("A: ");
  return field(`A: ${"a".repeat(bytes - short.length)}`);
}

const SVC = "kubernetes.default.svc:443";

export const SERVED: readonly Served[] = [
  ["HTTP/1.1 and a Host", head(LINE, HOST), SVC],
  ["HTTP/1.0 without any field", head(`CONNECT ${SVC} HTTP/1.0`), SVC],
  ["HTTP/1.0 with a Host", head(`CONNECT ${SVC} HTTP/1.0`, HOST), SVC],
  ["a name in capitals", target("Kubernetes.DEFAULT.svc:443"), SVC],
  [
    "a name with a trailing dot",
    target("kubernetes.default.svc.:443"),
    "kubernetes.default.svc.:443",
  ],
  ["an IPv4 address", target("10.96.0.1:443"), "10.96.0.1:443"],
  ["an IPv6 address in brackets", target("[2001:DB8:0::1]:6443"), "[2001:db8::1]:6443"],
  ["an IPv4-mapped IPv6 address", target("[::ffff:10.0.0.1]:443"), "10.0.0.1:443"],
  ["the lowest port", target("a:1"), "a:1"],
  ["the highest port", target("a:65535"), "a:65535"],
  ["a Host that differs", head(LINE, "Host: elsewhere.example:1"), SVC],
  ["a Host without the port", head(LINE, "Host: kubernetes.default.svc"), SVC],
  ["a Host without a value", head(LINE, "Host:"), SVC],
  ["a Host with an IPv6 address", head(LINE, "Host: [fd00::1]:443"), SVC],
  ["a Host amid spaces and tabs", head(LINE, `Host: \t ${SVC} \t `), SVC],
  ["a Host with no space before it", head(LINE, `Host:${SVC}`), SVC],
  ["a field name in any case", head(LINE, `hOsT: ${SVC}`), SVC],
  ["a field without a value", field("X:"), SVC],
  ["a field value with a tab and colons", field("X: a\tb: c"), SVC],
  ["a field value with bytes outside ASCII", field("X: \xc3\xa9\x80\xff"), SVC],
  ["every character that a field name may have", field("!#$%&'*+-.^_`|~09azAZ: x"), SVC],
  ["one field many times", head(LINE, HOST, "X: 1", "X: 2", "X: 1"), SVC],
  ["field names that begin like those refused", field("Content-Length-X: 1"), SVC],
  ["an empty line in front", `\r\n${head(LINE, HOST)}`, SVC],
  ["several empty lines in front", `\r\n\r\n\r\n${head(LINE, HOST)}`, SVC],
  ["a Content-Length of 0", field("content-length: 0"), SVC],
  ["a Content-Length of 0 amid blanks", field("Content-Length: \t0 "), SVC],
  ["a Host with an empty port", host(" a:"), SVC],
  ["a Host with an escape", host(" a%2Db"), SVC],
  ["a Host with an address of a future version", host(" [v1.fe80::a+en1]:443"), SVC],
  ["credentials", field("Proxy-Authorization: Basic eA=="), SVC],
  ["credentials twice", head(LINE, HOST, "Proxy-Authorization: a", "proxy-authorization:"), SVC],
  ["a head of exactly 16 KiB", longHead(16_384), SVC],
  ["a head of exactly 16 KiB that begins with an empty line", `\r\n${longHead(16_382)}`, SVC],
];

const LONE = "a CR or LF that stands alone";
const CONTROL = "a control byte";
const NON_ASCII = "a byte outside ASCII in the request line";
const NOT_A_LINE = "the first line is not a request line";
const NOT_A_TARGET = "the request target is not host:port";
const FOLDED = "a folded field line";
const NO_COLON = "a field line without a colon";
const BAD_NAME = "a field name with a byte that is not allowed there";
const TWO_HOSTS = "more than one Host field";
const NO_HOST = "the Host field is missing";
const BAD_HOST = "a Host field that is not a host";

const malformed = (rows: readonly (readonly [string, string])[], reason: string): Refused[] =>
  rows.map(([name, text]) => [name, text, "malformed_head", reason]);

export const REFUSED: readonly Refused[] = [
  ["the method in lower case", first(`connect ${SVC} HTTP/1.1`), "method_not_allowed"],
  ["the method in mixed case", first(`Connect ${SVC} HTTP/1.1`), "method_not_allowed"],
  ["a method that begins with CONNECT", first(`CONNECTX ${SVC} HTTP/1.1`), "method_not_allowed"],
  ["GET in origin-form", first("GET /version HTTP/1.1"), "method_not_allowed"],
  ["GET in absolute-form", first(`GET http://${SVC}/ HTTP/1.1`), "method_not_allowed"],
  ["OPTIONS with an asterisk", first("OPTIONS * HTTP/1.1"), "method_not_allowed"],
  ["HTTP/2 with prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "version_not_supported"],
  ["HTTP/1.2", first(`CONNECT ${SVC} HTTP/1.2`), "version_not_supported"],
  ["HTTP/0.9 written out", first(`CONNECT ${SVC} HTTP/0.9`), "version_not_supported"],
  ["HTTP/2.0", first(`CONNECT ${SVC} HTTP/2.0`), "version_not_supported"],
  ["HTTP/2.0, another method", first("GET / HTTP/2.0"), "version_not_supported"],
  ["HTTP/3.0", first(`CONNECT ${SVC} HTTP/3.0`), "version_not_supported"],
  ["Content-Length", field("Content-Length: 5"), "body_announced"],
  ["Content-Length of 00", field("Content-Length: 00"), "body_announced"],
  ["Content-Length without a value", field("Content-Length:"), "body_announced"],
  ["Content-Length of 0 as a list", field("Content-Length: 0, 0"), "body_announced"],
  [
    "two Content-Lengths of 0",
    head(LINE, HOST, "Content-Length: 0", "Content-Length: 0"),
    "body_announced",
  ],
  ["Transfer-Encoding", field("Transfer-Encoding: chunked"), "body_announced"],
  ["Transfer-Encoding in capitals", field("TRANSFER-ENCODING: identity"), "body_announced"],
  ["a request line of exactly 8 KiB, for its method", longLine(8_192), "method_not_allowed"],
  ["a request line one byte over 8 KiB", longLine(8_193), "request_line_too_long"],
  ["a request line without an end", "A".repeat(9_000), "request_line_too_long"],
  [
    "a request line of exactly 8 KiB after an empty line, for its method",
    `\r\n${longLine(8_192)}`,
    "method_not_allowed",
  ],
  [
    "a request line one byte over 8 KiB after an empty line",
    `\r\n${longLine(8_193)}`,
    "request_line_too_long",
  ],
  ["empty lines without an end", "\r\n".repeat(8_193), "head_too_long"],
  [
    "a head one byte over 16 KiB for the empty line in front",
    `\r\n${longHead(16_383)}`,
    "head_too_long",
  ],
  ["a head one byte over 16 KiB", longHead(16_385), "head_too_long"],
  [
    "a head without an end",
    head(LINE, HOST).slice(0, -2) + "a: b\r\n".repeat(3e3),
    "head_too_long",
  ],
  ...malformed([
    ["no port", target("kubernetes.default.svc")],
    ["an empty port", target("a:")],
    ["port 0", target("a:0")],
    ["port 65536", target("a:65536")],
    ["a port with a sign", target("a:+443")],
    ["a port with a leading zero", target("a:0443")],
    ["a port in hexadecimal", target("a:0x1bb")],
    ["a port that is a word", target("a:https")],
    ["a port of many digits", target(`a:${"4".repeat(99)}`)],
    ["no host", target(":443")],
    ["an IPv6 address without brackets", target("fd00::1:443")],
    ["an IPv6 address with a zone", target("[fe80::1%eth0]:443")],
    ["an IPv6 address with an escaped zone", target("[fe80::1%25eth0]:443")],
    ["an IPv6 address without a port", target("[::1]")],
    ["userinfo", target("admin@a:443")],
    ["userinfo with a password", target("admin:secret@a:443")],
    ["a path", target("a:443/api")],
    ["a query", target("a:443?x")],
    ["a fragment", target("a:443#x")],
    ["percent-encoding", target("%61:443")],
    ["absolute-form", target("https://a:443/")],
    ["origin-form", target("/a:443")],
    ["asterisk-form", target("*")],
    ["a number in place of an address", target("127.1:443")],
  ], NOT_A_TARGET),
  ...malformed([
    ["HTTP/0.9", `CONNECT ${SVC}\r\n`],
    ["the protocol's name in lower case", first(`CONNECT ${SVC} http/1.1`)],
    ["HTTP/1.10", first(`CONNECT ${SVC} HTTP/1.10`)],
    ["HTTP/1", first(`CONNECT ${SVC} HTTP/1`)],
    ["HTTP/01.1", first(`CONNECT ${SVC} HTTP/01.1`)],
    ["HTTP/1,1", first(`CONNECT ${SVC} HTTP/1,1`)],
    ["another protocol", first(`CONNECT ${SVC} SIP/1.1`)],
    ["two spaces after the method", first(`CONNECT  ${SVC} HTTP/1.1`)],
    ["two spaces before the version", first(`CONNECT ${SVC}  HTTP/1.1`)],
    ["a space at the end of the line", first(`${LINE} `)],
    ["a space in front of the line", first(` ${LINE}`)],
    ["a space within the port", target("a: 443")],
    ["a space before the port", target("a :443")],
    ["a method with a byte that is no token's", first(`CON(NECT ${SVC} HTTP/1.1`)],
    ["a line of one space in front", ` \r\n${first(LINE)}`],
  ], NOT_A_LINE),
  ...malformed([
    ["a tab in the request line", first(LINE.replace(" ", "\t"))],
    ["NUL in the request line", target("a\0b:443")],
    ["DEL in the request line", target("a\x7fb:443")],
    ["a vertical tab in the request line", first(LINE.replace(" ", "\v"))],
    ["NUL in a field value", field("X: a\0b")],
    ["NUL in a field name", field("X\0: a")],
    ["DEL in a field value", field("X: a\x7f")],
    ["ESC in a field value", field("X: \x1b[2J")],
  ], CONTROL),
  ...malformed([
    ["a TLS ClientHello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"],
  ], "TLS instead of a CONNECT request"),
  ...malformed([
    ["a byte outside ASCII in the name", target("k\xc3\xbcbe:443")],
    ["a byte outside ASCII as the first", `\xff${first(LINE)}`],
    ["a no-break space for a space", first(LINE.replace(" ", "\xa0"))],
  ], NON_ASCII),
  ...malformed([
    ["a bare LF after the request line", `${LINE}\n${HOST}\r\n\r\n`],
    ["a bare LF after a field", `${LINE}\r\n${HOST}\n\r\n`],
    ["a bare LF as the blank line", `${LINE}\r\n${HOST}\r\n\n`],
    ["a bare LF in front", `\n${first(LINE)}`],
    ["a bare CR in the request line", `CONNECT a:1\r HTTP/1.1\r\n\r\n`],
    ["a bare CR in a field value", field("X: a\rb")],
    ["a bare CR as the blank line", `${LINE}\r\n${HOST}\r\n\rx`],
    ["two CR before the LF", `${LINE}\r\r\n\r\n`],
    ["CR CR LF after a field", `${LINE}\r\n${HOST}\r\r\n\r\n`],
  ], LONE),
  ...malformed([
    ["a field line folded with a space", field("X: a\r\n b")],
    ["a field line folded with a tab", field("X: a\r\n\tb")],
    ["a first field line that begins with a space", head(LINE, ` ${HOST}`)],
    ["a line of one space", field(" ")],
  ], FOLDED),
  ...malformed([
    ["a field line without a colon", field("X")],
    ["a second request line for a field", field("GET / HTTP/1.1")],
  ], NO_COLON),
  ...malformed([
    ["a space before the colon", head(LINE, `Host : ${SVC}`)],
    ["a tab before the colon", field("X\t: a")],
    ["a space within a field name", field("X Y: a")],
    ["an empty field name", field(": a")],
    ["a field name outside ASCII", field("X\xe9: a")],
    ["a field name in quotes", field('"X": a')],
    ["a field name with a slash", field("X/Y: a")],
  ], BAD_NAME),
  ...malformed([
    ["two Hosts that differ", field("Host: b:1")],
    ["two Hosts that are the same", field(HOST)],
    ["two Hosts in different case", field(HOST.toUpperCase())],
    ["two Hosts on HTTP/1.0", head(`CONNECT ${SVC} HTTP/1.0`, HOST, HOST)],
  ], TWO_HOSTS),
  ...malformed([
    ["no Host on HTTP/1.1", head(LINE)],
    ["other fields but no Host", head(LINE, "X-Host: a:1", "Hos: a")],
  ], NO_HOST),
  ...malformed([
    ["a Host with a space within", host(" a b")],
    ["a Host with a tab within", host(" a\tb")],
    ["a Host with a path", host(" a/b")],
    ["a Host that is a URL", host(" http://a")],
    ["a Host with userinfo", host(" u@a")],
    ["a Host with a quote", host(' "a"')],
    ["a Host with a backslash", host(" a\\b")],
    ["a Host outside ASCII", host(" \xe9")],
    ["a Host in HTML", host(" <a>")],
    ["a Host with a port that is a word", host(" 10.0.0.1:abc")],
    ["a Host with two ports", host(" a:1:2")],
    ["a Host with a port and a list", host(" a:1,b:1")],
    ["a Host with an IPv6 address without brackets", host(" fd00::1:443")],
    ["a Host with no IPv6 address in brackets", host(" [fd00:::1]:443")],
    ["a Host with an IPv4 address in brackets", host(" [10.0.0.1]:443")],
    ["a Host with a name in brackets", host(" [a]:443")],
    ["a Host with a zone", host(" [fe80::1%25eth0]:443")],
    ["a Host with one bracket", host(" [fd00::1")],
    ["a Host with more after the brackets", host(" [fd00::1]a")],
    ["a Host with half an escape", host(" a%2")],
    ["a Host with a percent sign", host(" 100%")],
  ], BAD_HOST),
];
