import { assertEquals, assertNotEquals } from "@std/assert";
import {
  formatAuthority,
  lookupName,
  parseAuthority,
  parsePort,
} from "../../lib/protocol/authority.ts";

const label63 = "a".repeat(63);
/** 253 characters. */
const longest = `${label63}.${label63}.${label63}.${"a".repeat(61)}`;

const NORMAL: readonly (readonly [name: string, text: string, host: string, port: number])[] = [
  ["a name", "kubernetes.default.svc:443", "kubernetes.default.svc", 443],
  ["a name of one label", "localhost:1", "localhost", 1],
  ["a name in capitals", "KUBERNETES.Default.svc:443", "kubernetes.default.svc", 443],
  ["a name of digits and letters", "3com.example:443", "3com.example", 443],
  ["a label of digits that is not the last", "10.example:443", "10.example", 443],
  ["a last label that begins with a digit", "a.1b:443", "a.1b", 443],
  ["a last label that only begins like hexadecimal", "a.0xg:443", "a.0xg", 443],
  ["an underscore", "_api.my_host:443", "_api.my_host", 443],
  ["punycode", "xn--bcher-kva.example:443", "xn--bcher-kva.example", 443],
  ["the longest label", `${label63}:443`, label63, 443],
  ["the longest name", `${longest}:443`, longest, 443],
  ["the highest port", "a:65535", "a", 65_535],
  ["an IPv4 address", "10.96.0.1:6443", "10.96.0.1", 6_443],
  ["the first and the last IPv4 address", "0.0.0.0:1", "0.0.0.0", 1],
  ["an address of 255s", "255.255.255.255:1", "255.255.255.255", 1],
  ["an IPv6 address", "[2001:db8::1]:443", "2001:db8::1", 443],
  ["IPv6 in capitals", "[2001:DB8::ABCD]:443", "2001:db8::abcd", 443],
  ["IPv6 with zeros in front", "[2001:0db8:0000::0001]:443", "2001:db8::1", 443],
  ["IPv6 in full", "[2001:db8:0:0:0:0:0:1]:443", "2001:db8::1", 443],
  ["IPv6 shortened at the wrong place", "[2001:db8:0:0:1::]:443", "2001:db8:0:0:1::", 443],
  ["IPv6 with two runs of zeros", "[1:0:0:2:0:0:0:3]:443", "1:0:0:2::3", 443],
  ["IPv6 :: for one group in front", "[::2:3:4:5:6:7:8]:443", "0:2:3:4:5:6:7:8", 443],
  ["IPv6 :: for one group behind", "[1:2:3:4:5:6:7::]:443", "1:2:3:4:5:6:7:0", 443],
  ["IPv6 :: for one group within", "[1:2:3::5:6:7:8]:443", "1:2:3:0:5:6:7:8", 443],
  ["IPv6 unspecified", "[::]:443", "::", 443],
  ["IPv6 unspecified in full", "[0:0:0:0:0:0:0:0]:443", "::", 443],
  ["IPv6 with IPv4 at its end", "[64:ff9b::10.0.0.1]:443", "64:ff9b::a00:1", 443],
  ["IPv4-mapped", "[::ffff:10.0.0.1]:443", "10.0.0.1", 443],
  ["IPv4-mapped in capitals", "[::FFFF:10.0.0.1]:443", "10.0.0.1", 443],
  ["IPv4-mapped in hexadecimal", "[::ffff:a00:1]:443", "10.0.0.1", 443],
  ["IPv4-mapped in full", "[0:0:0:0:0:ffff:0a00:0001]:443", "10.0.0.1", 443],
  ["IPv4-mapped 0.0.0.0", "[::ffff:0:0]:443", "0.0.0.0", 443],
  ["IPv4-mapped 255.255.255.255", "[::ffff:ffff:ffff]:443", "255.255.255.255", 443],
  ["almost IPv4-mapped", "[::fffe:a00:1]:443", "::fffe:a00:1", 443],
  ["IPv4-compatible is IPv6", "[::10.0.0.1]:443", "::a00:1", 443],
];

const NOTHING: readonly (readonly [name: string, text: string])[] = [
  ["nothing", ""],
  ["a colon", ":"],
  ["no port", "kubernetes"],
  ["an empty port", "a:"],
  ["an empty host", ":443"],
  ["a dot for a host", ".:443"],
  ["two trailing dots", "a..:443"],
  ["a dot in front", ".a:443"],
  ["two dots within", "a..b:443"],
  ["a label of 64", `${label63}a:443`],
  ["a name of 254", `${longest}a:443`],
  ["a second label of 64", `a.${label63}a:443`],
  ["port 0", "a:0"],
  ["port 65536", "a:65536"],
  ["a port that wraps around to 443", "a:4294967739"],
  ["a port with a zero in front", "a:0443"],
  ["a port with a sign", "a:+443"],
  ["a port with a minus", "a:-443"],
  ["a port in hexadecimal", "a:0x1bb"],
  ["a port with an exponent", "a:4e2"],
  ["a port with a fraction", "a:443.0"],
  ["a port with a space", "a: 443"],
  ["a port with a line break behind it", "a:443\n"],
  ["a port in other digits", "a:\u0664\u0664\u0663"],
  ["two ports", "a:1:2"],
  ["an address with three parts", "127.0.1:443"],
  ["an address with two parts", "127.1:443"],
  ["an address with five parts", "127.0.0.0.1:443"],
  ["an address in hexadecimal", "0x7f000001:443"],
  ["an address part in hexadecimal", "0x7f.1:443"],
  ["an address part in hexadecimal capitals", "0X7F.0.0.1:443"],
  ["a last part in hexadecimal", "127.0.0.0x1:443"],
  ["an address in hexadecimal capitals", "0X7F000001:443"],
  ["a last part in hexadecimal capitals", "127.0.0.0X1:443"],
  ["a last part of 0x", "a.0x:443"],
  ["an address in decimal", "2130706433:443"],
  ["an address in octal", "0177.0.0.1:443"],
  ["an address with a zero in front", "127.0.0.01:443"],
  ["an address part over 255", "127.0.0.256:443"],
  ["an address with a trailing dot", "127.0.0.1.:443"],
  ["a number with a trailing dot", "2130706433.:443"],
  ["an address with an empty part", "127..0.1:443"],
  ["an address with an exponent", "1e1.0.0.1:443"],
  ["an address with a sign", "127.0.0.+1:443"],
  ["a name that ends in a number", "kubernetes.443:443"],
  ["a space in front", " a:443"],
  ["a space behind the host", "a :443"],
  ["a line break behind the host", "a\n:443"],
  ["NUL", "a\0b:443"],
  ["userinfo", "u@a:443"],
  ["a scheme", "https://a:443"],
  ["a path", "a:443/"],
  ["a path before the port", "a/b:443"],
  ["a backslash", "a\\b:443"],
  ["percent-encoding", "%6b:443"],
  ["a dot in percent-encoding", "a%2eb:443"],
  ["a wildcard", "*.svc:443"],
  ["a comma", "a,b:443"],
  ["a letter outside ASCII", "b\u00fccher.example:443"],
  ["a Kelvin sign for a k", "\u212Aubernetes:443"],
  ["a dotted capital I", "kubernet\u0130s:443"],
  ["letters in full width", "\uFF41:443"],
  ["an ideographic full stop", "a\u3002b:443"],
  ["a soft hyphen", "a\u00adb:443"],
  ["a zero-width space", "a\u200bb:443"],
  ["IPv6 without brackets", "::1:443"],
  ["IPv6 with one bracket", "[::1:443"],
  ["IPv6 with the other bracket", "::1]:443"],
  ["IPv6 with more before it", "a[::1]:443"],
  ["IPv6 with more behind it", "[::1]a:443"],
  ["IPv6 with a dot behind it", "[::1].:443"],
  ["IPv6 with two brackets", "[[::1]]:443"],
  ["IPv6 with a zone", "[fe80::1%eth0]:443"],
  ["IPv6 with an escaped zone", "[fe80::1%25eth0]:443"],
  ["IPv6 with a zone of a number", "[fe80::1%1]:443"],
  ["IPv6 with a prefix length", "[fe80::/64]:443"],
  ["IPv6 with a space", "[::1 ]:443"],
  ["IPv6 with a tab", "[::\t1]:443"],
  ["IPv6 with a line break", "[::\n1]:443"],
  ["IPv6 twice with a path between", "[::1]/[]:443"],
  ["IPv6 twice with an at sign between", "[::1]@[::2]:443"],
  ["IPv6 with two ::", "[1::2::3]:443"],
  ["IPv6 with :::", "[:::1]:443"],
  ["IPv6 with seven groups", "[1:2:3:4:5:6:7]:443"],
  ["IPv6 with nine groups", "[1:2:3:4:5:6:7:8:9]:443"],
  ["IPv6 with eight groups and ::", "[1:2:3:4::5:6:7:8]:443"],
  ["IPv6 with a group of five", "[::12345]:443"],
  ["IPv6 with a letter that is no digit", "[::g]:443"],
  ["IPv6 with letters behind a group", "[1:2:3:4:5:6:7:8zz]:443"],
  ["IPv6 with a colon in front", "[:1::2]:443"],
  ["IPv6 with a colon behind", "[1::2:]:443"],
  ["IPv6 with IPv4 in the middle", "[::10.0.0.1:1]:443"],
  ["IPv6 with a short IPv4", "[::10.1]:443"],
  ["IPv6 with an IPv4 part of zeros", "[::ffff:010.0.0.1]:443"],
  ["IPv6 with an IPv4 part over 255", "[::ffff:10.0.0.256]:443"],
  ["a version of the future", "[v1.fe80::a+en1]:443"],
  ["empty brackets", "[]:443"],
  ["brackets around a name", "[a]:443"],
  ["brackets around IPv4", "[10.0.0.1]:443"],
];

for (const [name, text, host, port] of NORMAL) {
  Deno.test(`parseAuthority() reads ${name}`, () => {
    assertEquals(parseAuthority(text), { host, port });
  });
}

for (const [name, text] of NOTHING) {
  Deno.test(`parseAuthority() does not read ${name}`, () => {
    assertEquals(parseAuthority(text), undefined);
  });
}

for (
  const [name, text, host] of [
    ["a trailing dot", "kubernetes.default.svc.:443", "kubernetes.default.svc"],
    ["a trailing dot in capitals", "Kubernetes.SVC.:443", "kubernetes.svc"],
    ["a trailing dot after one label", "localhost.:443", "localhost"],
    ["a trailing dot after the longest name", `${longest}.:443`, longest],
  ] as const
) {
  Deno.test(`parseAuthority() keeps that a name is absolute: ${name}`, () => {
    const read = parseAuthority(text);
    assertEquals(read, { host, port: 443, isAbsolute: true });
    assertEquals(lookupName(read!), `${host}.`);
  });
}

Deno.test("lookupName() is the host where there is no trailing dot", () => {
  for (const [name, text, host] of NORMAL) {
    assertEquals(lookupName(parseAuthority(text)!), host, name);
  }
});

Deno.test("formatAuthority() prints what parseAuthority() reads as the same", () => {
  for (const text of [...NORMAL.map(([, text]) => text), "a.b.:1"]) {
    const read = parseAuthority(text)!;
    assertEquals(parseAuthority(formatAuthority(read)), read, text);
  }
  assertEquals(formatAuthority({ host: "a.b", port: 1, isAbsolute: true }), "a.b.:1");
});

Deno.test("formatAuthority() puts an IPv6 address, and nothing else, in brackets", () => {
  assertEquals(formatAuthority({ host: "fd00::1", port: 443 }), "[fd00::1]:443");
  assertEquals(formatAuthority({ host: "10.0.0.1", port: 443 }), "10.0.0.1:443");
  assertEquals(formatAuthority({ host: "a.b", port: 1 }), "a.b:1");
});

Deno.test("formatAuthority() tells a host and its port from another host and port", () => {
  const printed = ["1::2", "1:", "1"].map((host) => formatAuthority({ host, port: 2 }));
  assertEquals(new Set(printed).size, printed.length);
  assertNotEquals(
    formatAuthority({ host: "::1", port: 443 }),
    formatAuthority({ host: "::1:443", port: 443 }),
  );
});

Deno.test("parsePort() reads 1 to 65535 in plain digits", () => {
  const rows: [string, number | undefined][] = [
    ["1", 1],
    ["443", 443],
    ["65535", 65_535],
    ["65536", undefined],
    ["99999", undefined],
    ["0", undefined],
    ["00", undefined],
    ["", undefined],
    ["443 ", undefined],
    ["443\n", undefined],
    ["1_000", undefined],
  ];
  for (const [text, expected] of rows) assertEquals(parsePort(text), expected, text);
});
