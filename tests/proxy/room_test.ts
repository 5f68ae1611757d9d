/** Slots for clients when all are taken and some are in another worker, which these tests play. */
import { assertEquals, assertMatch } from "@std/assert";
import { CONNECT, ESTABLISHED, type Peer, TestUpstream } from "../harness/peers.ts";
import { TestProxy } from "../harness/proxy.ts";
import { eventually, test } from "../harness/test.ts";

/** The other worker, and one of its clients, older than all of the proxy's. */
const OTHER = 1, OLDEST = 1;

/** A proxy with two slots, of which a client of another worker that waits has one. */
function twoSlots(upstream: TestUpstream, onRoomWanted: (proxy: TestProxy) => void): TestProxy {
  const proxy: TestProxy = new TestProxy(
    { upstreams: [upstream.authority], maxConnections: 2 },
    { workers: 2, onRoomWanted: () => onRoomWanted(proxy) },
  );
  proxy.shared.lastId[0] = OLDEST;
  proxy.shared.served[OTHER]![0] = 1;
  proxy.shared.oldestWaiting[OTHER] = OLDEST;
  return proxy;
}

/** A client whose tunnel is up. */
async function open(proxy: TestProxy): Promise<Peer> {
  const client = await proxy.connect(CONNECT);
  await established(client);
  return client;
}

async function established(client: Peer): Promise<void> {
  assertEquals(await client.readText(ESTABLISHED.length), ESTABLISHED);
}

/** That client leaves. */
function leave({ shared }: TestProxy): void {
  shared.served[OTHER]![0] = 0;
  shared.oldestWaiting[OTHER] = 0;
}

test("the client that has waited longest leaves, if it is in another worker too", async () => {
  using upstream = new TestUpstream();
  await using proxy = twoSlots(upstream, leave);
  using silent = await proxy.connect();
  await eventually("it has its slot", () => proxy.served, 1);
  using _tunnel = await open(proxy);
  await silent.write(CONNECT);
  await established(silent);
});

test("a client goes on looking when others take the slots that were made for it", async () => {
  using upstream = new TestUpstream();
  let asked = 0;
  await using proxy = twoSlots(upstream, (proxy) => {
    // The next one there takes the slot, twice, and waits in its turn.
    if (++asked <= 2) proxy.shared.oldestWaiting[OTHER]! += 1;
    else leave(proxy);
  });
  using _first = await open(proxy);
  using _second = await open(proxy);
  assertEquals(asked, 3);
});

test("a worker that does not answer costs its newcomers a moment, and no other client anything", async () => {
  using upstream = new TestUpstream();
  let asked = 0;
  await using proxy = twoSlots(upstream, () => void asked++);
  using _tunnel = await open(proxy);
  using refused = await proxy.connect(CONNECT);
  assertMatch(await refused.readText(), /^HTTP\/1\.1 503 /);
  assertEquals(asked > 1, true, `asked ${asked} times`);
});

test("while a worker does not answer, the next client that waits leaves", async () => {
  using upstream = new TestUpstream();
  await using proxy = twoSlots(upstream, () => {});
  using silent = await proxy.connect();
  await eventually("it has its slot", () => proxy.served, 1);
  using _tunnel = await open(proxy);
  assertEquals(await silent.readText(), "");
  proxy.shared.served[OTHER]![0] = 0;
});

test("clients that look for a slot hold up no others", async () => {
  using upstream = new TestUpstream();
  const asked = Promise.withResolvers<void>();
  await using proxy = twoSlots(upstream, () => asked.resolve());
  using _tunnel = await open(proxy);
  using looking = await proxy.connect(CONNECT);
  await asked.promise;
  const { shared } = proxy;
  using next = await proxy.connect(CONNECT);
  await eventually("both look for a slot", () => shared.roomWanted[0], 2);
  // Two slots become free.
  shared.served[OTHER]![0] = -1;
  await established(looking);
  await established(next);
  assertEquals(shared.roomWanted[0], 0);
  shared.served[OTHER]![0] = 0;
});

test("a client that looks for a slot is told when the proxy shuts down", async () => {
  using upstream = new TestUpstream();
  const asked = Promise.withResolvers<void>();
  await using proxy = twoSlots(upstream, () => asked.resolve());
  using tunnel = await open(proxy);
  using looking = await proxy.connect(CONNECT);
  await asked.promise;
  void proxy.proxy.shutDown();
  assertMatch(await looking.readText(), /^HTTP\/1\.1 503 API server proxy is shutting down\r\n/);
  tunnel.close();
});

test("clients of this worker leave as long as others look for slots, the oldest first", async () => {
  using upstream = new TestUpstream();
  await using proxy = new TestProxy(
    { upstreams: [upstream.authority], maxConnections: 4 },
    { workers: 2 },
  );
  const silent = [];
  for (let i = 1; i <= 4; i++) {
    silent.push(await proxy.connect());
    await eventually("it has its slot", () => proxy.served, i);
  }
  const [first, second, third, fourth] = silent;
  await proxy.proxy.makeRoom(proxy.shared.oldestWaiting[0]!);
  assertEquals(proxy.served, 4, "nobody looks for a slot");
  proxy.shared.roomWanted[OTHER] = 2;
  await proxy.proxy.makeRoom(proxy.shared.oldestWaiting[0]!);
  assertEquals(proxy.served, 2);
  assertEquals([await first!.readText(), await second!.readText()], ["", ""]);
  proxy.shared.roomWanted[OTHER] = 0;
  for (const peer of [third!, fourth!]) {
    await peer.write(CONNECT);
    await established(peer);
  }
  silent.forEach((peer) => peer.close());
});
