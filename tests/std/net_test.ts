import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { getAvailablePort } from "@std/net";
import { getAvailablePort as fromSubpath } from "@std/net/get-available-port";
import {
  isIPv4,
  isIPv6,
  matchIPv4Subnet,
  matchIPv6Subnet,
  matchSubnets,
} from "@std/net/unstable-ip";

const { test } = Deno;

const IPV4 = [
  { name: "accepts four octets", addr: "192.168.0.1", expected: true },
  { name: "accepts the lowest address", addr: "0.0.0.0", expected: true },
  { name: "accepts the highest address", addr: "255.255.255.255", expected: true },
  { name: "refuses an octet above 255", addr: "192.168.0.256", expected: false },
  { name: "refuses an octet below 0", addr: "192.168.0.-1", expected: false },
  { name: "refuses three octets", addr: "10.0.1", expected: false },
  { name: "refuses five octets", addr: "10.0.0.0.1", expected: false },
  { name: "refuses letters", addr: "a.b.c.d", expected: false },
  { name: "refuses a port", addr: "10.0.0.1:80", expected: false },
  { name: "refuses the empty text", addr: "", expected: false },
  { name: "refuses IPv6", addr: "::1", expected: false },
  { name: "refuses an IPv4-mapped address", addr: "::ffff:10.0.0.1", expected: false },
  { name: "takes an empty octet for 0", addr: "1...1", expected: true },
  { name: "passes over space", addr: " 1.1.1.1", expected: true },
  { name: "accepts hex and exponents", addr: "0x10.1e1.1.1", expected: true },
];

for (const { name, addr, expected } of IPV4) {
  test(`isIPv4() ${name}`, () => assertEquals(isIPv4(addr), expected));
}

const IPV6 = [
  { name: "accepts eight groups", addr: "2001:db8:0:0:0:0:0:1", expected: true },
  { name: "accepts capitals", addr: "2001:DB8::A", expected: true },
  { name: "accepts an elision at the start", addr: "::1", expected: true },
  { name: "accepts an elision in the middle", addr: "2001:db8::1", expected: true },
  { name: "accepts an elision at the end", addr: "fe80::", expected: true },
  { name: "accepts nothing but an elision", addr: "::", expected: true },
  { name: "accepts an IPv4-mapped address", addr: "::ffff:10.0.0.1", expected: true },
  { name: "accepts six groups and an IPv4 address", addr: "1:2:3:4:5:6:1.2.3.4", expected: true },
  { name: "refuses two elisions", addr: "1::2::3", expected: false },
  { name: "refuses seven groups", addr: "1:2:3:4:5:6:7", expected: false },
  { name: "refuses nine groups", addr: "1:2:3:4:5:6:7:8:9", expected: false },
  { name: "refuses a group above ffff", addr: "::10000", expected: false },
  { name: "refuses letters beyond f", addr: "::g", expected: false },
  { name: "refuses a broken IPv4 part", addr: "::ffff:10.0.0.256", expected: false },
  { name: "refuses an IPv4 part that is not the last", addr: "::10.0.0.1:1", expected: false },
  { name: "refuses IPv4", addr: "10.0.0.1", expected: false },
  { name: "refuses brackets", addr: "[::1]", expected: false },
  { name: "passes over what follows the digits of a group", addr: "fe80::1%eth0", expected: true },
  { name: "takes the empty text for an empty group", addr: "", expected: true },
  { name: "takes a third colon for an empty group", addr: ":::", expected: true },
  { name: "lets an IPv4 part stand for the missing groups", addr: "1:2:1.2.3.4", expected: true },
];

for (const { name, addr, expected } of IPV6) {
  test(`isIPv6() ${name}`, () => assertEquals(isIPv6(addr), expected));
}

const SUBNETS = [
  { name: "finds an IPv4 address", addr: "10.1.2.3", subnets: ["10.0.0.0/8"], expected: true },
  { name: "finds the first address", addr: "10.0.0.0", subnets: ["10.0.0.0/8"], expected: true },
  {
    name: "finds the last address",
    addr: "10.255.255.255",
    subnets: ["10.0.0.0/8"],
    expected: true,
  },
  {
    name: "leaves out the next address",
    addr: "11.0.0.0",
    subnets: ["10.0.0.0/8"],
    expected: false,
  },
  { name: "cuts inside an octet", addr: "172.31.0.1", subnets: ["172.16.0.0/12"], expected: true },
  {
    name: "cuts inside an octet, outside",
    addr: "172.32.0.1",
    subnets: ["172.16.0.0/12"],
    expected: false,
  },
  {
    name: "cuts the host part off the subnet",
    addr: "10.0.0.1",
    subnets: ["10.0.0.7/24"],
    expected: true,
  },
  { name: "looks at the sign bit", addr: "127.0.0.1", subnets: ["128.0.0.0/1"], expected: false },
  { name: "finds all of IPv4 in /0", addr: "203.0.113.9", subnets: ["0.0.0.0/0"], expected: true },
  { name: "finds one address in /32", addr: "10.0.0.1", subnets: ["10.0.0.1/32"], expected: true },
  {
    name: "leaves out the others of /32",
    addr: "10.0.0.2",
    subnets: ["10.0.0.1/32"],
    expected: false,
  },
  { name: "finds an IPv6 address", addr: "fd00::1", subnets: ["fd00::/8"], expected: true },
  {
    name: "leaves out the next IPv6 address",
    addr: "fe00::",
    subnets: ["fd00::/8"],
    expected: false,
  },
  {
    name: "cuts inside a group",
    addr: "2001:db8:8000::",
    subnets: ["2001:db8::/33"],
    expected: false,
  },
  { name: "cuts inside a byte", addr: "2001:db8::1f", subnets: ["2001:db8::/123"], expected: true },
  {
    name: "cuts inside a byte, outside",
    addr: "2001:db8::20",
    subnets: ["2001:db8::/123"],
    expected: false,
  },
  { name: "finds all of IPv6 in /0", addr: "2001:db8::1", subnets: ["::/0"], expected: true },
  { name: "finds one address in /128", addr: "::1", subnets: ["::1/128"], expected: true },
  { name: "leaves out the others of /128", addr: "::2", subnets: ["::1/128"], expected: false },
  {
    name: "compares numbers, not their notation",
    addr: "0:0:0:0:0:0:0:1",
    subnets: ["::1/128"],
    expected: true,
  },
  { name: "reads capitals", addr: "FD00::A", subnets: ["fd00::a/128"], expected: true },
  { name: "finds no IPv4 address in ::/0", addr: "10.0.0.1", subnets: ["::/0"], expected: false },
  {
    name: "finds no IPv6 address in 0.0.0.0/0",
    addr: "::1",
    subnets: ["0.0.0.0/0"],
    expected: false,
  },
  {
    name: "takes an IPv4-mapped address for IPv6",
    addr: "::ffff:10.0.0.1",
    subnets: ["10.0.0.0/8"],
    expected: false,
  },
  {
    name: "finds a mapped address in its /96",
    addr: "::ffff:10.0.0.1",
    subnets: ["::ffff:0:0/96"],
    expected: true,
  },
  {
    name: "finds a mapped address by its hex form",
    addr: "::ffff:10.0.0.1",
    subnets: ["::ffff:a00:1/128"],
    expected: true,
  },
  {
    name: "finds no IPv4 address in the mapped /96",
    addr: "10.0.0.1",
    subnets: ["::ffff:0:0/96"],
    expected: false,
  },
  {
    name: "compares a bare address as text",
    addr: "10.0.0.1",
    subnets: ["10.0.0.1"],
    expected: true,
  },
  {
    name: "compares a bare address as text only",
    addr: "::1",
    subnets: ["0:0:0:0:0:0:0:1"],
    expected: false,
  },
  {
    name: "tries every entry",
    addr: "::1",
    subnets: ["10.0.0.0/8", "junk", "::1"],
    expected: true,
  },
  { name: "finds nothing in an empty list", addr: "10.0.0.1", subnets: [], expected: false },
  {
    name: "finds no text that is no address",
    addr: "junk",
    subnets: ["junk", "0.0.0.0/0"],
    expected: false,
  },
  {
    name: "refuses a prefix that is too long",
    addr: "10.0.0.1",
    subnets: ["10.0.0.1/33"],
    expected: false,
  },
  {
    name: "refuses an IPv6 prefix that is too long",
    addr: "::1",
    subnets: ["::1/129"],
    expected: false,
  },
  {
    name: "refuses a negative prefix",
    addr: "10.0.0.1",
    subnets: ["10.0.0.1/-1"],
    expected: false,
  },
  { name: "refuses an empty prefix", addr: "10.0.0.1", subnets: ["10.0.0.1/"], expected: false },
  { name: "refuses an empty network", addr: "::1", subnets: ["/0"], expected: false },
  {
    name: "refuses a prefix of letters",
    addr: "10.0.0.1",
    subnets: ["10.0.0.1/a"],
    expected: false,
  },
  {
    name: "passes over what follows the prefix",
    addr: "10.0.0.1",
    subnets: ["10.0.0.0/8x/9"],
    expected: true,
  },
];

for (const { name, addr, subnets, expected } of SUBNETS) {
  test(`matchSubnets() ${name}`, () => assertEquals(matchSubnets(addr, subnets), expected));
}

test("matchSubnets() throws on a subnet with more than eight groups around its elision", () => {
  assertThrows(() => matchSubnets("::1", ["1:2:3:4:5::6:7:8:9/64"]), RangeError);
});

test("matchIPv4Subnet() finds anything in /0, and else needs four octets", () => {
  assertEquals(matchIPv4Subnet("junk", "10.0.0.0/0"), true);
  assertEquals(matchIPv4Subnet("10.0.0", "10.0.0/8"), false);
  assertEquals(matchIPv4Subnet("10.0.0.1", "10.0.0.0/8"), true);
});

test("matchIPv6Subnet() finds anything in /0, and reads missing groups as unequal to present ones", () => {
  assertEquals(matchIPv6Subnet("junk", "::/0"), true);
  assertEquals(matchIPv6Subnet("fd00", "fd00::/32"), false);
  assertEquals(matchIPv6Subnet("fd00", "fd00::/16"), true);
  assertEquals(matchIPv6Subnet("::10.0.0", "::/8"), false);
});

test("getAvailablePort() returns a port that can be listened on", () => {
  using listener = Deno.listen({ port: getAvailablePort() });
  assertNotEquals(listener.addr.port, 0);
});

test("getAvailablePort() returns the preferred port if it is free", () => {
  const preferredPort = getAvailablePort();
  assertEquals(getAvailablePort({ preferredPort }), preferredPort);
});

test("getAvailablePort() returns another port if the preferred one is taken", () => {
  using listener = Deno.listen({ port: 0 });
  assertNotEquals(getAvailablePort({ preferredPort: listener.addr.port }), listener.addr.port);
});

test("getAvailablePort() does not swallow other errors", () => {
  assertThrows(() => getAvailablePort({ preferredPort: -1 }));
});

test("getAvailablePort() is in the package and in its own module", () => {
  assertEquals(getAvailablePort, fromSubpath);
});
