import { assert, assertEquals, assertFalse } from "@std/assert";
import { addressNumber, type Cidr, normalAddress, parseCidr } from "../../lib/protocol/address.ts";
import { type Authority, parseAuthority } from "../../lib/protocol/authority.ts";
import { createPolicy } from "../../lib/protocol/policy.ts";

function authority(text: string): Authority {
  const read = parseAuthority(text);
  assert(read !== undefined, text);
  return read;
}

function block(text: string): Cidr {
  const read = parseCidr(text);
  assert(read !== undefined, text);
  return read;
}

const LISTED = [
  "Kubernetes.default.svc:443",
  "10.96.0.1:443",
  "[2001:db8::1]:6443",
  "dot.example.:1",
];

/** Whether a client that asks with this spelling gets there. */
function reaches(asked: string, listed: readonly string[] = LISTED): boolean {
  const read = parseAuthority(asked);
  return read !== undefined && createPolicy([], listed.map(authority)).authorityAllowed(read);
}

for (
  const [name, asked] of [
    ["as it is listed", "Kubernetes.default.svc:443"],
    ["in lower case", "kubernetes.default.svc:443"],
    ["in capitals", "KUBERNETES.DEFAULT.SVC:443"],
    ["with a trailing dot", "kubernetes.default.svc.:443"],
    ["without the listed trailing dot", "dot.example:1"],
    ["of an IPv4 address", "10.96.0.1:443"],
    ["of an IPv4 address mapped to IPv6", "[::ffff:10.96.0.1]:443"],
    ["of the same in hexadecimal", "[::FFFF:0A60:1]:443"],
    ["of an IPv6 address", "[2001:db8::1]:6443"],
    ["of an IPv6 address in full", "[2001:0DB8:0000:0000:0000:0000:0000:0001]:6443"],
    ["of an IPv6 address with an IPv4 end", "[2001:db8::0.0.0.1]:6443"],
  ] as const
) {
  Deno.test(`createPolicy() allows a listed authority in the spelling ${name}`, () => {
    assert(reaches(asked));
  });
}

for (
  const [name, asked] of [
    ["another host", "evil.example:443"],
    ["another port", "kubernetes.default.svc:444"],
    ["a port of another that is listed", "10.96.0.1:6443"],
    ["a longer name", "kubernetes.default.svc.evil.example:443"],
    ["a shorter name", "kubernetes.default:443"],
    ["a name with more in front", "xkubernetes.default.svc:443"],
    ["a subdomain", "a.kubernetes.default.svc:443"],
    ["two trailing dots", "kubernetes.default.svc..:443"],
    ["another letter for a dot", "kubernetes-default.svc:443"],
    ["a Kelvin sign", "\u212Aubernetes.default.svc:443"],
    ["userinfo that looks listed", "kubernetes.default.svc:443@evil.example:443"],
    ["a zone", "[2001:db8::1%eth0]:6443"],
    ["another address of the block", "10.96.0.2:443"],
    ["an address in decimal", "174063617:443"],
    ["an address in octal", "012.96.0.1:443"],
    ["an address of three parts", "10.96.1:443"],
    ["an IPv4-compatible address", "[::10.96.0.1]:443"],
    ["a NAT64 address", "[64:ff9b::10.96.0.1]:443"],
    ["another IPv6 address", "[2001:db8::2]:6443"],
    ["the wildcard address", "0.0.0.0:443"],
  ] as const
) {
  Deno.test(`createPolicy() does not let through ${name}`, () => {
    assertFalse(reaches(asked));
  });
}

Deno.test("createPolicy() allows every authority when none is listed", () => {
  assert(reaches("anything.example:1", []));
});

const SOURCES: readonly (readonly [blocks: string, source: string, allowed: boolean])[] = [
  ["", "10.0.0.1", true],
  ["", "fd00::1", true],
  ["10.70.0.0/16", "10.70.0.0", true],
  ["10.70.0.0/16", "10.70.255.255", true],
  ["10.70.0.0/16", "10.69.255.255", false],
  ["10.70.0.0/16", "10.71.0.0", false],
  ["10.70.0.0/16", "::ffff:10.70.0.1", true],
  ["10.70.0.0/16", "::ffff:10.71.0.1", false],
  ["10.70.0.0/16", "::10.70.0.1", false],
  ["10.70.0.3", "10.70.0.3", true],
  ["10.70.0.3", "10.70.0.2", false],
  ["10.70.0.3/32", "10.70.0.3", true],
  ["10.70.0.3/32", "10.70.0.4", false],
  ["10.70.0.2/31", "10.70.0.3", true],
  ["10.70.0.2/31", "10.70.0.4", false],
  ["128.0.0.0/1", "255.255.255.255", true],
  ["128.0.0.0/1", "127.255.255.255", false],
  ["192.168.0.0/17", "192.168.127.255", true],
  ["192.168.0.0/17", "192.168.128.0", false],
  ["0.0.0.0/0", "255.255.255.255", true],
  ["0.0.0.0/0", "::ffff:1.2.3.4", true],
  ["0.0.0.0/0", "fd00::1", false],
  ["::/0", "fd00::1", true],
  ["::/0", "1.2.3.4", false],
  ["::/0,0.0.0.0/0", "1.2.3.4", true],
  ["2001:db8::/32", "2001:db8:ffff::1", true],
  ["2001:db8::/32", "2001:db9::", false],
  ["2001:db8::/33", "2001:db8:7fff::1", true],
  ["2001:db8::/33", "2001:db8:8000::1", false],
  ["fd00::1/128", "fd00:0::1", true],
  ["fd00::1/128", "fd00::2", false],
  ["fd00::1", "fd00::1", true],
  ["fd00::1", "fd00::", false],
  ["10.0.0.0/8,fd00::/8", "fdff::1", true],
  ["10.0.0.0/8,fd00::/8", "10.1.1.1", true],
  ["10.0.0.0/8,fd00::/8", "11.1.1.1", false],
];

for (const [blocks, source, allowed] of SOURCES) {
  const verb = allowed ? "allows" : "refuses";
  Deno.test(`createPolicy() ${verb} the source ${source} with "${blocks}"`, () => {
    const policy = createPolicy(blocks === "" ? [] : blocks.split(",").map(block), []);
    const normal = normalAddress(source);
    assert(normal !== undefined);
    assertEquals(policy.sourceAllowed(normal), allowed);
  });
}

Deno.test("createPolicy() gives the name of the smallest named block that has the source", () => {
  const policy = createPolicy([
    { ...block("10.0.0.0/8"), peer: "wide" },
    { ...block("10.81.0.0/16"), peer: "cl01" },
    block("10.81.3.0/24"),
    block("11.0.0.0/8"),
    { ...block("fd00::/8"), peer: "six" },
    { ...block("fd00::1"), peer: "one" },
  ], []);
  const rows: [string, string | undefined][] = [
    ["10.1.1.1", "wide"],
    ["10.81.0.1", "cl01"],
    ["10.81.3.1", "cl01"],
    ["11.0.0.1", undefined],
    ["12.0.0.1", undefined],
    ["fd00::1", "one"],
    ["fd00::2", "six"],
  ];
  for (const [source, peer] of rows) assertEquals(policy.peerOf(source), peer, source);
});

for (const [family, bits] of [["IPv4", 32], ["IPv6", 128]] as const) {
  Deno.test(`createPolicy() agrees with the bits for every prefix length of ${family}`, () => {
    const text = bits === 32 ? "172.21.165.90" : "2001:db8:a5a5:5a5a:1234:8765:fedc:ba98";
    const number = addressNumber(text);
    for (let prefixBits = 0; prefixBits <= bits; prefixBits++) {
      const policy = createPolicy([network(number, prefixBits, bits)], []);
      for (let bit = 0; bit < bits; bit++) {
        const source = addressText(number ^ 1n << BigInt(bits - 1 - bit), bits);
        const behindThePrefix = bit >= prefixBits;
        const which = `/${prefixBits}, bit ${bit} turned`;
        assertEquals(policy.sourceAllowed(source), behindThePrefix, which);
      }
    }
  });
}

function network(number: bigint, prefixBits: number, bits: number): Cidr {
  const hostBits = BigInt(bits - prefixBits);
  return block(`${addressText(number >> hostBits << hostBits, bits)}/${prefixBits}`);
}

function addressText(number: bigint, bits: number): string {
  const [partBits, radix, separator] = bits === 32 ? [8, 10, "."] : [16, 16, ":"];
  const parts = Array.from({ length: bits / partBits }, (_, part) => {
    const shift = BigInt(bits - partBits * (part + 1));
    return BigInt.asUintN(partBits, number >> shift).toString(radix);
  });
  const normal = normalAddress(parts.join(separator));
  assert(normal !== undefined);
  return normal;
}
