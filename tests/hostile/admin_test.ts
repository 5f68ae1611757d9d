/** Attacks on the admin port: the proxy serves on, and memory stays within its budget. */
import { assertEquals, assertLess, assertMatch } from "@std/assert";
import { connectTo, type Peer, TestUpstream } from "../harness/peers.ts";
import { echo, goodTunnel, many, openTunnel } from "../harness/crowd.ts";
import { ProxyProcess } from "../harness/process.ts";
import { test } from "../harness/test.ts";
import { parseAuthority } from "../../lib/protocol/authority.ts";

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const GET_METRICS = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";

const ATTACKS: Record<string, { count: number; bytes: string }> = {
  "400 clients that send 190 requests each and never read": {
    count: 400,
    bytes: GET_METRICS.repeat(190),
  },
  "400 clients that speak HTTP/2": { count: 400, bytes: PREFACE + GET_METRICS.repeat(190) },
  "4,000 requests that are never finished": { count: 4_000, bytes: GET_METRICS.slice(0, -2) },
  "400 clients that send heads without end": {
    count: 400,
    bytes: "GET / HTTP/1.1\r\nA: ".padEnd(64_000, "a"),
  },
};

for (const [what, { count, bytes }] of Object.entries(ATTACKS)) {
  test(`${what} on the admin port harm neither the tunnels nor the memory`, async () => {
    using upstream = new TestUpstream();
    const serving = upstream.serve(echo);
    {
      await using program = await ProxyProcess.start({
        flags: [`--upstream=127.0.0.1:${upstream.authority.port}`],
      });
      using tunnel = await openTunnel(program, upstream.authority);
      const before = await program.usage();
      const admin = parseAuthority(program.adminAddress)!;
      const attackers: Peer[] = [];
      await many(count, async () => {
        const attacker = await connectTo(admin);
        attackers.push(attacker);
        void attacker.write(bytes).catch(() => {});
      }, 64);
      await goodTunnel(program, upstream.authority);
      await tunnel.write("ping");
      assertEquals(await tunnel.readText(4), "ping");
      assertMatch(await program.admin("/livez"), /^HTTP\/1.1 200 /);
      const after = await program.usage();
      assertLess(after.residentBytes - before.residentBytes, 40 * 2 ** 20);
      assertLess(after.descriptors - before.descriptors, 80);
      attackers.forEach((attacker) => attacker.close());
    }
    upstream[Symbol.dispose]();
    await serving;
  });
}

test("DENO_SERVE_ADDRESS opens no other port, and moves none", async () => {
  await using program = await ProxyProcess.start({
    flags: ["--upstream=127.0.0.1:1"],
    env: { DENO_SERVE_ADDRESS: "duplicate,tcp:127.0.0.1:1" },
  });
  assertMatch(await program.admin("/livez"), /^HTTP\/1.1 200 /);
  assertMatch(program.adminAddress, /^127\.0\.0\.1:/);
});
