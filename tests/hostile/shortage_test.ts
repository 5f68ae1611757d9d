/** No descriptor left, thousands of silent clients: it waits and goes on. */
import { assertEquals, assertGreater, assertLess, assertMatch } from "@std/assert";
import { ESTABLISHED, type Peer, TestUpstream } from "../harness/peers.ts";
import type { Authority } from "../../lib/protocol/authority.ts";
import { eventually, test } from "../harness/test.ts";
import { echo, goodTunnel, headFor, many, openTunnel } from "../harness/crowd.ts";
import { afterShell } from "../harness/child_process.ts";
import { ProxyProcess } from "../harness/process.ts";

const FEW_DESCRIPTORS = afterShell("ulimit -n 64");

/** A proxy before an upstream that echoes. */
async function withProxy(
  flags: readonly string[],
  fn: (program: ProxyProcess, upstream: TestUpstream) => Promise<void>,
  prefix: readonly string[] = [],
): Promise<void> {
  using upstream = new TestUpstream();
  const serving = upstream.serve(echo);
  const { host, port } = upstream.authority;
  {
    const common = [`--upstream=${host}:${port}`, "--log-level=debug"];
    await using program = await ProxyProcess.start({ prefix, flags: [...common, ...flags] });
    await goodTunnel(program, upstream.authority);
    await program.settled(await program.usage());
    await fn(program, upstream);
  }
  upstream[Symbol.dispose]();
  await serving;
}

async function connectMany(program: ProxyProcess, count: number): Promise<Peer[]> {
  const peers: Peer[] = [];
  await many(count, async () => void peers.push(await program.connect()));
  return peers;
}

function closeAll(peers: readonly Peer[]): void {
  for (const peer of peers) peer.close();
}

/** Waits until a client is served: one that comes before descriptors are free gets a 503. */
async function servedAgain(program: ProxyProcess, to: Authority): Promise<void> {
  await eventually("a client is served", () => goodTunnel(program, to).then(() => 1, () => 0), 1);
}

test("a good client is served among 3,000 silent ones, which are gone after --header-timeout", async () => {
  const flags = ["--max-connections=4000", "--header-timeout=1s", "--log-level=info"];
  await withProxy(flags, async (program, { authority }) => {
    const before = await program.usage();
    const resident: number[] = [];
    for (let flood = 0; flood < 8; flood++) {
      const clients = await connectMany(program, 3_000);
      await goodTunnel(program, authority);
      await program.settled(before);
      closeAll(clients);
      resident.push((await program.usage()).residentBytes);
    }
    // The heap keeps what it has grown by at first; then each flood finds room in it.
    assertLess(resident[7]! - resident[5]!, 24 * 2 ** 20, `${resident}`);
  });
});

test("metrics tell the descriptors: so many beside one a client and one a tunnel", async () => {
  await withProxy([], async (program, { authority }) => {
    const others = async () => {
      const { descriptors } = await program.usage();
      const metrics = await program.metrics();
      return descriptors - metrics.get("api_server_proxy_connections_active")! -
        metrics.get("api_server_proxy_tunnels_active")!;
    };
    const atRest = await others();

    assertLess(atRest, 48);
    const silent = await connectMany(program, 20);
    const tunnels: Peer[] = [];
    await many(100, async () => void tunnels.push(await openTunnel(program, authority)));
    await eventually("as many others as before", others, atRest);
    closeAll([...silent, ...tunnels]);
  });
});

test("good clients are served behind a flood of silent ones beyond --max-connections", async () => {
  await withProxy(["--max-connections=50"], async (program, { authority }) => {
    const before = await program.usage();
    const flood = await connectMany(program, 400);
    await many(50, () => goodTunnel(program, authority), 8);
    closeAll(flood);
    await program.settled(before);
  });
});

test("with no descriptor left it waits without spinning, and serves again when there are some", async () => {
  await withProxy(["--header-timeout=0"], async (program, { authority }) => {
    const before = await program.usage();
    const flood = await connectMany(program, 100);
    await program.logged("accept failed", 3);
    const { cpuMs } = await program.usage();
    const startMs = performance.now();
    await program.logged("accept failed", 6);
    const usedMs = (await program.usage()).cpuMs - cpuMs;
    assertLess(usedMs, (performance.now() - startMs) / 2);
    assertLess(program.lines("accept failed").length, 20);
    closeAll(flood);
    await servedAgain(program, authority);
    await program.settled(before);
  }, FEW_DESCRIPTORS);
});

test("a dial that finds no descriptor is answered 503, and leaves nothing", async () => {
  await withProxy(["--header-timeout=0"], async (program, { authority }) => {
    const before = await program.usage();
    const waiting = await connectMany(program, 100);
    await program.logged("accept failed");
    await waiting[0]!.write(headFor(authority));
    assertMatch(
      await waiting[0]!.readText(),
      /^HTTP\/1.1 503 API server proxy is short of ports or descriptors\r\n/,
    );
    closeAll(waiting);
    await program.settled(before);
  }, FEW_DESCRIPTORS);
});

test("the admin server outlives a shortage of descriptors, and the proxy with it", async () => {
  await withProxy(["--header-timeout=0"], async (program, { authority }) => {
    const before = await program.usage();
    const flood = await connectMany(program, 100);
    await program.logged("accept failed");
    const asking = program.admin("/livez").catch(() => "no answer");
    await program.logged("accept failed", 3);
    closeAll(flood);
    await asking;
    await servedAgain(program, authority);
    const answer = () => program.admin("/livez").then((text) => text.slice(0, 15), () => "none");
    await eventually("it answers again", answer, "HTTP/1.1 200 OK");
    await program.settled(before);
  }, FEW_DESCRIPTORS);
});

test("with few descriptors as many tunnels as fit are served, the next gets a 503 that says why", async () => {
  await withProxy([], async (program, { authority }) => {
    const tunnels: Peer[] = [];
    let answer = "";
    while (answer === "") {
      const client = await program.connect(headFor(authority));
      const text = await client.readText(ESTABLISHED.length);
      if (text === ESTABLISHED) tunnels.push(client);
      else {
        answer = text + await client.readText();
        client.close();
      }
    }
    assertMatch(answer, /^HTTP\/1.1 503 API server proxy is short of ports or descriptors\r\n/);
    // Two each; what is left is the process's own.
    assertGreater(tunnels.length, (256 - 80) / 2);
    const refused = await Promise.all(Array.from({ length: 20 }, async () => {
      using client = await program.connect(headFor(authority));
      return (await client.readText()).slice(0, 12);
    }));
    assertEquals(new Set(refused), new Set(["HTTP/1.1 503"]));
    for (const path of ["/livez", "/readyz", "/metrics"]) {
      assertMatch(await program.admin(path), /^HTTP\/1.1 200 /);
    }
    for (const tunnel of tunnels) {
      await tunnel.write("ping");
      assertEquals(await tunnel.readText(4), "ping");
    }
    closeAll(tunnels.splice(0, 20));
    await eventually("there is room again", async () => {
      using client = await program.connect(headFor(authority));
      return (await client.readText(ESTABLISHED.length)).slice(0, 12);
    }, "HTTP/1.1 200");
    closeAll(tunnels);
    await eventually("nobody is counted", async () => {
      return (await program.metrics()).get("api_server_proxy_connections_active");
    }, 0);
  }, afterShell("ulimit -n 256"));
});
