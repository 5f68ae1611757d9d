/** Clients that send their head just when others need their slots: what is counted stays exact. */
import { assertEquals, assertMatch } from "@std/assert";
import { type Peer, TestUpstream } from "../harness/peers.ts";
import { eventually, test } from "../harness/test.ts";
import { echo, headFor, many, openTunnel } from "../harness/crowd.ts";
import { ProxyProcess } from "../harness/process.ts";

const LIMIT = 60;
const BURSTS = 12;

for (const workers of [1, 3]) {
  test(`${workers} workers: after bursts at the limit nobody is counted, and ${LIMIT} tunnels fit`, async () => {
    using upstream = new TestUpstream();
    void upstream.serve(echo);
    const { host, port } = upstream.authority;
    await using program = await ProxyProcess.start({
      flags: [
        `--upstream=${host}:${port}`,
        `--workers=${workers}`,
        `--max-connections=${LIMIT}`,
        "--header-timeout=20s",
        "--log-level=debug",
      ],
    });
    const head = headFor(upstream.authority);
    for (let burst = 0; burst < BURSTS; burst++) {
      const silent = await Promise.all(Array.from({ length: LIMIT }, () => program.connect()));
      // Their heads come while as many more connect: some are refused, as it happens.
      const late = silent.map((peer) => peer.write(head).catch(() => {}));
      const more = Array.from({ length: LIMIT }, () => program.connect(head));
      const peers = [...silent, ...await Promise.all(more)];
      await Promise.all(late);
      await Promise.all(peers.map(firstAnswer));
      peers.forEach((peer) => peer.close());
    }
    await eventually(
      "nobody is counted",
      async () => (await program.metrics()).get("api_server_proxy_connections_active"),
      0,
    );
    const tunnels = await Promise.all(
      Array.from({ length: LIMIT }, () => openTunnel(program, upstream.authority)),
    );
    using next = await program.connect(head);
    assertMatch(await next.readText(), /^HTTP\/1\.1 503 /);
    tunnels.forEach((peer) => peer.close());

    const refused = new Set(program.lines("refused").map(({ id }) => id));
    const revived = program.lines("dialling").filter(({ id, durationMs }) =>
      refused.has(id) &&
      program.lines("refused").some((line) =>
        line.id === id && line.durationMs as number < (durationMs as number)
      )
    );
    assertEquals(revived, [], "refused, and dialled for afterwards");
  });
}

/** Waits for an answer of any kind, or for the end. */
async function firstAnswer(peer: Peer): Promise<void> {
  await peer.read(1).catch(() => {});
}

for (const workers of [1, 2, 4]) {
  test(`${workers} workers: silent clients make room for real ones, whichever worker they are in`, async () => {
    using upstream = new TestUpstream();
    void upstream.serve(echo);
    await using program = await ProxyProcess.start({
      flags: [
        `--upstream=127.0.0.1:${upstream.authority.port}`,
        `--workers=${workers}`,
        "--max-connections=100",
        "--header-timeout=60s",
      ],
    });
    const silent = await Promise.all(Array.from({ length: 100 }, () => program.connect()));
    await eventually(
      "all slots are taken",
      async () => (await program.metrics()).get("api_server_proxy_connections_active"),
      100,
    );
    const real: Peer[] = [];
    await many(100, async () => void real.push(await openTunnel(program, upstream.authority)), 16);
    for (const peer of real) {
      await peer.write("ping");
      assertEquals(await peer.readText(4), "ping");
    }
    for (const peer of [...silent, ...real]) peer.close();
  });
}
