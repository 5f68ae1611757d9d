import { assertEquals, assertThrows } from "@std/assert";
import { remapAddress } from "../../lib/commands/remap.ts";

for (
  const [name, ip, network, expected] of [
    ["the example of Liqo's documentation", "10.70.0.3", "10.81.0.0/16", "10.81.0.3"],
    ["a prefix of 8 bits", "10.70.1.3", "11.0.0.0/8", "11.70.1.3"],
    ["a prefix of 24 bits", "10.70.1.3", "192.168.7.0/24", "192.168.7.3"],
    ["a prefix within the second octet", "10.75.1.3", "172.16.0.0/12", "172.27.1.3"],
    ["a prefix within the third octet", "10.70.27.3", "10.81.96.0/19", "10.81.123.3"],
    ["a prefix within the last octet", "10.70.0.37", "10.81.0.64/27", "10.81.0.69"],
    ["a prefix of 1 bit", "10.70.0.3", "128.0.0.0/1", "138.70.0.3"],
    ["a prefix of 1 bit, which it takes away", "138.70.0.3", "0.0.0.0/1", "10.70.0.3"],
    ["a prefix of 31 bits", "10.70.0.3", "10.81.0.6/31", "10.81.0.7"],
    ["host bits that are all set", "10.70.255.255", "10.81.0.0/16", "10.81.255.255"],
    ["host bits that are all clear", "10.70.0.0", "10.81.0.0/16", "10.81.0.0"],
    ["the highest network", "10.70.0.3", "255.255.0.0/16", "255.255.0.3"],
    ["an address that is in the network already", "10.81.0.3", "10.81.0.0/16", "10.81.0.3"],
  ] as const
) {
  Deno.test(`remapAddress() replaces the network part: ${name}`, () => {
    assertEquals(remapAddress(ip, network), expected);
  });
}

for (
  const [name, ip] of [
    ["IPv6", "fd00::3"],
    ["IPv4 mapped to IPv6", "::ffff:10.70.0.3"],
    ["a name", "api-server-proxy"],
    ["three parts", "10.70.3"],
    ["a part over 255", "10.70.0.256"],
    ["a part with a zero in front", "10.70.0.03"],
    ["a space behind it", "10.70.0.3 "],
    ["a port", "10.70.0.3:8118"],
    ["a prefix length", "10.70.0.3/16"],
    ["nothing", ""],
  ] as const
) {
  Deno.test(`remapAddress() says what REMAPPED_IP takes, given ${name}`, () => {
    const error = assertThrows(() => remapAddress(ip, "10.81.0.0/16"), RangeError);
    assertEquals(error.message, `REMAPPED_IP "${ip}": takes an IPv4 address such as 10.70.0.3`);
  });
}

for (
  const [name, network] of [
    ["a host bit set", "10.81.0.1/16"],
    ["the highest host bit set", "10.81.128.0/16"],
    ["a prefix of 0", "0.0.0.0/0"],
    ["a prefix of 32", "10.81.0.0/32"],
    ["a prefix of 33", "10.81.0.0/33"],
    ["a prefix of 64", "10.81.0.0/64"],
    ["a prefix with a zero in front", "10.81.0.0/016"],
    ["a prefix below 0", "10.81.0.0/-1"],
    ["an empty prefix", "10.81.0.0/"],
    ["no prefix", "10.81.0.0"],
    ["a netmask", "10.81.0.0/255.255.0.0"],
    ["IPv6", "fd00::/16"],
    ["IPv4 mapped to IPv6", "::ffff:10.81.0.0/112"],
    ["a network of two parts", "10.81/16"],
    ["two of them", "10.81.0.0/16,10.82.0.0/16"],
    ["nothing", ""],
  ] as const
) {
  Deno.test(`remapAddress() says what REMAPPED_EXT_CIDR takes, given ${name}`, () => {
    const error = assertThrows(() => remapAddress("10.70.0.3", network), RangeError);
    assertEquals(
      error.message,
      `REMAPPED_EXT_CIDR "${network}": takes an IPv4 network such as 10.81.0.0/16, ` +
        "a prefix from 1 to 31, no bit set after it",
    );
  });
}
