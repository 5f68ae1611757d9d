/** A slow reader holds back a fast sender: what is in between is buffers, and they have a size. */
import { assertGreater, assertLess } from "@std/assert";
import { formatAuthority } from "../../lib/protocol/authority.ts";
import { type Peer, TestUpstream } from "../harness/peers.ts";
import { test } from "../harness/test.ts";
import { many, openTunnel } from "../harness/crowd.ts";
import { ProxyProcess } from "../harness/process.ts";
import { pause } from "../harness/random.ts";

const MIB = 1024 * 1024;
const TUNNELS = 16;
/** design.md section 7: two buffers of 256 KiB a busy tunnel. */
const BUDGET_BYTES = TUNNELS * 2 * 256 * 1024;
/** What the heap may grow by while it makes and drops buffers. */
const HEAP_BYTES = 24 * MIB;
/** What each upstream pushes; the sockets of Linux hold up to some 10 MiB of it. */
const PUSHED_BYTES = 32 * MIB;

test("the memory of the proxy stays within its buffers while upstreams push without end", async () => {
  using upstream = new TestUpstream();
  let pushedBytes = 0;
  const chunk = new Uint8Array(MIB);
  const push = async (peer: Peer) => {
    await peer.read(1);
    for (let sent = 0; sent < PUSHED_BYTES;) {
      const count = await peer.conn.write(chunk);
      sent += count;
      pushedBytes += count;
    }
  };
  const serving = upstream.serve(push);
  {
    await using program = await ProxyProcess.start({
      flags: [`--upstream=${formatAuthority(upstream.authority)}`],
    });
    // As large as it gets when nobody is slow.
    const warm = await openTunnel(program, upstream.authority);
    await warm.write("!");
    await warm.read(PUSHED_BYTES);
    warm.close();
    const before = await program.usage();
    pushedBytes = 0;
    const clients: Peer[] = [];
    await many(
      TUNNELS,
      async () => void clients.push(await openTunnel(program, upstream.authority)),
    );
    await Promise.all(clients.map((client) => client.write("!")));
    const residentBytes: number[] = [];
    let readBytes = 0;
    for (let round = 0; round < 20; round++) {
      await pause(100);
      residentBytes.push((await program.usage()).residentBytes);
      for (const client of clients) readBytes += (await client.read(32 * 1024)).length;
    }
    const grownBytes = Math.max(...residentBytes) - before.residentBytes;
    assertLess(grownBytes, BUDGET_BYTES + HEAP_BYTES);
    // Else there was nothing to hold back.
    assertGreater(readBytes, 0);
    assertLess(pushedBytes, TUNNELS * PUSHED_BYTES / 2);
    for (const client of clients) client.close();
  }
  upstream[Symbol.dispose]();
  await serving;
});
