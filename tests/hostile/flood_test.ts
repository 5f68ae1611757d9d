/** Who has sent its request is not taken for one that only holds a slot, however many come at once. */
import { assertEquals } from "@std/assert";
import { CONNECT, ESTABLISHED, type Peer, TestUpstream } from "../harness/peers.ts";
import { test } from "../harness/test.ts";
import { echo, goodTunnel } from "../harness/crowd.ts";
import { ProxyProcess } from "../harness/process.ts";

const GOOD_CLIENTS = 10;
/** Places, and how many silent clients come behind the good ones: all fit into the kernel's queue. */
const FLOODS = [[20, 1_000], [50, 60], [200, 800]] as const;

for (const [slots, silentClients] of FLOODS) {
  test(`a request that is there is read before its client has to go: ${silentClients} silent behind, ${slots} slots`, async () => {
    using upstream = new TestUpstream();
    const serving = upstream.serve(echo);
    {
      const { host, port } = upstream.authority;
      const flags = [`--upstream=${host}:${port}`, `--max-connections=${slots}`];
      await using program = await ProxyProcess.start({ flags });
      await goodTunnel(program, upstream.authority);
      const before = await program.usage();
      // As on a busy machine: when the proxy has its turn, all of them are there already.
      program.signal("SIGSTOP");
      const good: Peer[] = [], silent: Peer[] = [];
      for (let i = 0; i < GOOD_CLIENTS; i++) good.push(await program.connect(CONNECT));
      for (let i = 0; i < silentClients; i++) silent.push(await program.connect());
      program.signal("SIGCONT");
      const answers = await Promise.all(good.map((peer) => peer.readText(ESTABLISHED.length)));
      assertEquals(answers, Array(GOOD_CLIENTS).fill(ESTABLISHED));
      for (const peer of [...good, ...silent]) peer.close();
      await program.settled(before);
    }
    upstream[Symbol.dispose]();
    await serving;
  });
}
