import { assertEquals } from "@std/assert";
import {
  addressNumber,
  type Cidr,
  formatAddress,
  normalAddress,
  parseCidr,
} from "../../lib/protocol/address.ts";

Deno.test("normalAddress() reads addresses without brackets and nothing else", () => {
  const rows: [string, string | undefined][] = [
    ["10.0.0.1", "10.0.0.1"],
    ["::1", "::1"],
    ["0:0::1", "::1"],
    ["::ffff:10.0.0.1", "10.0.0.1"],
    ["[::1]", undefined],
    ["fe80::1%eth0", undefined],
    ["localhost", undefined],
    ["1...1", undefined],
    [" 1.1.1.1", undefined],
    ["1.1.1.1 ", undefined],
    ["1.1.1", undefined],
    ["0x7f.0.0.1", undefined],
    ["01.1.1.1", undefined],
    ["1e1.1.1.1", undefined],
    ["1.5.1.1.1", undefined],
    ["Infinity.1.1.1", undefined],
    ["NaN.1.1.1", undefined],
    ["-1.1.1.1", undefined],
    ["", undefined],
    [":", undefined],
    [":::", undefined],
    ["1.1.1.1:1", undefined],
  ];
  for (const [text, expected] of rows) assertEquals(normalAddress(text), expected, text);
});

Deno.test("addressNumber() gives the bits of an address", () => {
  const rows: [string, bigint][] = [
    ["0.0.0.0", 0n],
    ["0.0.0.1", 1n],
    ["10.70.0.3", 0x0a460003n],
    ["255.255.255.255", 0xffffffffn],
    ["::", 0n],
    ["::1", 1n],
    ["1::", 1n << 112n],
    ["2001:db8::ff00:42:8329", 0x20010db8000000000000ff0000428329n],
    ["1:2:3:4:5:6:7:8", 0x00010002000300040005000600070008n],
  ];
  for (const [text, expected] of rows) assertEquals(addressNumber(text), expected, text);
});

const CIDRS: readonly (readonly [text: string, expected: Cidr | undefined])[] = [
  ["10.0.0.0/8", { address: "10.0.0.0", prefixBits: 8 }],
  ["0.0.0.0/0", { address: "0.0.0.0", prefixBits: 0 }],
  ["10.70.0.3", { address: "10.70.0.3", prefixBits: 32 }],
  ["10.70.0.3/32", { address: "10.70.0.3", prefixBits: 32 }],
  ["255.255.255.254/31", { address: "255.255.255.254", prefixBits: 31 }],
  ["172.16.0.0/12", { address: "172.16.0.0", prefixBits: 12 }],
  ["2001:DB8::/32", { address: "2001:db8::", prefixBits: 32 }],
  ["::/0", { address: "::", prefixBits: 0 }],
  ["fd00::1", { address: "fd00::1", prefixBits: 128 }],
  ["fd00::1/128", { address: "fd00::1", prefixBits: 128 }],
  ["fd00:0:8000::/33", { address: "fd00:0:8000::", prefixBits: 33 }],
  ["10.0.0.1/8", undefined],
  ["10.128.0.0/8", undefined],
  ["172.8.0.0/12", undefined],
  ["128.0.0.0/0", undefined],
  ["2001:db8::1/32", undefined],
  ["2001:db8:8000::/32", undefined],
  ["10.0.0.0/33", undefined],
  ["fd00::/129", undefined],
  ["10.0.0.0/", undefined],
  ["10.0.0.0/08", undefined],
  ["10.0.0.0/+8", undefined],
  ["10.0.0.0/-1", undefined],
  ["10.0.0.0/8.0", undefined],
  ["10.0.0.0/8/8", undefined],
  ["10.0.0.0/255.0.0.0", undefined],
  ["10.0.0.0/ 8", undefined],
  ["10.0.0.0/8\n", undefined],
  ["10/8", undefined],
  ["/8", undefined],
  ["", undefined],
  ["all", undefined],
  ["localhost/8", undefined],
  ["[fd00::]/8", undefined],
  ["::ffff:10.0.0.0/104", undefined],
  ["::ffff:10.0.0.1", undefined],
  ["fe80::%eth0/64", undefined],
];

for (const [text, expected] of CIDRS) {
  const verb = expected === undefined ? "does not read" : "reads";
  Deno.test(`parseCidr() ${verb} ${JSON.stringify(text)}`, () => {
    assertEquals(parseCidr(text), expected);
  });
}

Deno.test("formatAddress() puts an IPv6 address, and nothing else, in brackets", () => {
  assertEquals(formatAddress({ hostname: "::", port: 8118 }), "[::]:8118");
  assertEquals(formatAddress({ hostname: "127.0.0.1", port: 0 }), "127.0.0.1:0");
});
