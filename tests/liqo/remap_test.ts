/** `remap` beside Liqo's own mapping function. */
import { assertEquals, assertGreater } from "@std/assert";
import { remapAddress } from "../../lib/commands/remap.ts";
import { find, missing } from "../deploy/tools.ts";
import { test } from "../harness/test.ts";
import { buildLiqo, peer } from "./liqo_cluster.ts";

const skip = missing({ go: find("go") !== undefined });

const NAMES = ["10.70.0.0", "10.81.0.0", "172.16.0.0", "192.168.0.0", "100.64.0.0", "240.1.2.3"];

function toNumber(address: string): number {
  return address.split(".").reduce((sum, byte) => sum * 256 + Number(byte), 0);
}

function toAddress(number: number): string {
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join(".");
}

/** The network of that many bits in which the address lies. */
function network(address: string, prefixBits: number): string {
  const size = 2 ** (32 - prefixBits);
  return `${toAddress(Math.floor(toNumber(address) / size) * size)}/${prefixBits}`;
}

test("remap agrees with Liqo's mapping for each prefix", async () => {
  await buildLiqo();
  const cases: [address: string, from: string, to: string][] = [];
  for (let prefixBits = 1; prefixBits < 32; prefixBits++) {
    for (const [index, name] of NAMES.entries()) {
      const from = network(name, prefixBits);
      const to = network(NAMES[(index + 1) % NAMES.length]!, prefixBits);
      const size = 2 ** (32 - prefixBits);
      const first = toNumber(from.split("/")[0]!);
      for (const host of [0, 1, 3, Math.floor(size / 3), size - 1]) {
        if (host < size) cases.push([toAddress(first + host), from, to]);
      }
    }
  }
  assertGreater(cases.length, 800);
  const theirs = await peer(["remap"], cases.map((line) => line.join(" ") + "\n").join(""));
  const ours = cases.map(([address, , to]) => remapAddress(address, to));
  assertEquals(ours, theirs.trim().split("\n"));
}, { skip });

test("with several CIDRs the one counts whose place is that of the address's own", async () => {
  await buildLiqo();
  const from = ["10.70.0.0/16", "10.90.0.0/20", "192.168.7.0/24"];
  const to = ["10.81.0.0/16", "172.20.16.0/20", "10.99.1.0/24"];
  for (const [place, address] of ["10.70.0.3", "10.90.15.4", "192.168.7.255"].entries()) {
    const theirs = await peer(["remap"], `${address} ${from} ${to}\n`);
    assertEquals(theirs.trim(), remapAddress(address, to[place]!));
  }
}, { skip });
