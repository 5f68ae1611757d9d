/** The end of the process: in order on one signal, at once on two, and not all tunnels together. */
import {
  assert,
  assertEquals,
  assertGreater,
  assertLessOrEqual,
  assertMatch,
  assertRejects,
} from "@std/assert";
import type { Authority } from "../../lib/protocol/authority.ts";
import { neverAccepts, type Peer, TestUpstream } from "../harness/peers.ts";
import { eventually, test } from "../harness/test.ts";
import { echo, headFor, many, openTunnel } from "../harness/crowd.ts";
import { ProxyProcess } from "../harness/process.ts";

/** Clients of each kind, while a drain begins. */
interface Busy {
  readonly tunnel: Peer;
  readonly half: Peer;
  readonly quiet: Peer;
  readonly dialling: Peer;
}

/** Runs a test with a proxy that has a client at every stage. */
async function whileBusy(
  flags: readonly string[],
  fn: (program: ProxyProcess, clients: Busy, good: Authority) => Promise<void>,
): Promise<void> {
  using upstream = new TestUpstream();
  using silent = await neverAccepts();
  const serving = upstream.serve(echo);
  const allowed = [upstream.authority, silent.authority].map(({ host, port }) => `${host}:${port}`);
  {
    await using program = await ProxyProcess.start({
      flags: [`--allowed-hosts=${allowed}`, "--log-level=debug", ...flags],
    });
    using tunnel = await openTunnel(program, upstream.authority);
    using half = await program.connect("CONNECT api:4");
    using quiet = await program.connect();
    using dialling = await program.connect(headFor(silent.authority));
    await program.logged("dialling", 2);
    await eventually("all are there", async () => {
      return (await program.metrics()).get("api_server_proxy_connections_active");
    }, 4);
    await fn(program, { tunnel, half, quiet, dialling }, upstream.authority);
  }
  upstream[Symbol.dispose]();
  await serving;
}

/** Sends and receives until the tunnel is cut. @returns How often. */
async function talk(tunnel: Peer): Promise<number> {
  for (let turns = 0;; turns++) {
    try {
      await tunnel.write("ping");
      if (await tunnel.readText(4) !== "ping") return turns;
    } catch {
      return turns;
    }
  }
}

test("SIGTERM: unready first, heads get 503, dials and tunnels go on, the deadline cuts", async () => {
  const flags = ["--shutdown-delay=2s", "--drain-timeout=2s", "--connect-timeout=3s"];
  await whileBusy(flags, async (program, { tunnel, half, quiet, dialling }, good) => {
    const talking = talk(tunnel);
    program.signal("SIGTERM");
    await program.logged("shutting down");
    assertMatch(await program.admin("/readyz"), /^HTTP\/1.1 503 [^]*shutting down/);
    assertMatch(await program.admin("/livez"), /^HTTP\/1.1 200 /);
    // Endpoints are still being updated: whoever comes is served.
    (await openTunnel(program, good)).close();

    assertMatch(await half.readText(), /^HTTP\/1.1 503 [^]*\r\nRetry-After: 1\r\n/);
    assertEquals(await quiet.readText(), "");
    assertMatch(await program.admin("/readyz"), /^HTTP\/1.1 503 /);
    await assertRejects(() => program.connect(), Deno.errors.ConnectionRefused);
    assertMatch(await dialling.readText(), /^HTTP\/1.1 504 /);

    assert(await talking > 0);
    assertEquals(await program.ended(), 0);
    const { end, endedBy } = program.lines("tunnel").at(-1)!;
    assertEquals({ end, endedBy }, { end: "drain", endedBy: "proxy" });
    assertEquals((await program.logged("drained")).cut, 1);
  });
});

test("a second signal ends a drain without a limit at once, with 1", async () => {
  const flags = ["--drain-timeout=0", "--connect-timeout=0"];
  await whileBusy(flags, async (program, { tunnel, half, dialling }) => {
    program.signal("SIGTERM");
    assertMatch(await half.readText(), /^HTTP\/1.1 503 /);
    half.close();
    program.signal("SIGINT");
    assertEquals(await program.ended(), 1);
    assertEquals(await tunnel.end(), "eof");
    assertMatch(await dialling.readText().catch(() => "reset"), /^(HTTP\/1.1 503 |reset|$)/);
    assertEquals(program.lines("tunnel").map(({ end }) => end), ["drain"]);
  });
});

test("the ends of 500 tunnels are spread over the drain timeout, however many clients are silent", async () => {
  const COUNT = 500, PARTS = 5;
  using upstream = new TestUpstream();
  const serving = upstream.serve(echo);
  const clients: Peer[] = [];
  {
    const { host, port } = upstream.authority;
    const flags = [`--upstream=${host}:${port}`, "--drain-timeout=5s"];
    await using program = await ProxyProcess.start({ flags });
    await many(COUNT, async () => void clients.push(await openTunnel(program, upstream.authority)));
    await many(2 * COUNT, async () => void clients.push(await program.connect()));
    // A tunnel may be closed when it has been quiet for a second.
    await new Promise((resolve) => setTimeout(resolve, 1_250));
    program.signal("SIGTERM");
    const startMs = Date.parse((await program.logged("shutting down")).time as string);
    assertEquals(await program.ended(), 0);

    const ends = program.lines("tunnel");
    assertEquals(ends.filter(({ end }) => end === "drain").length, COUNT);
    const { closedQuiet, cut } = await program.logged("drained");
    assertEquals({ closedQuiet, cut }, { closedQuiet: COUNT, cut: 0 });
    const histogram = Array<number>(PARTS).fill(0);
    for (const { time } of ends) {
      const elapsed = (Date.parse(time as string) - startMs) / 4_000;
      histogram[Math.min(PARTS - 1, Math.floor(elapsed * PARTS))]! += 1;
    }
    // A fair share each; a pause of this machine may put two of them together.
    for (const part of histogram) assertLessOrEqual(part, 2.5 * COUNT / PARTS, `${histogram}`);
  }
  for (const client of clients) client.close();
  upstream[Symbol.dispose]();
  await serving;
});

test("tunnels that are never quiet are closed over the last fifth of the drain, not together", async () => {
  using upstream = new TestUpstream();
  const serving = upstream.serve(echo);
  {
    await using program = await ProxyProcess.start({
      flags: [`--upstream=127.0.0.1:${upstream.authority.port}`, "--drain-timeout=5s"],
    });
    const tunnels = await Promise.all(
      Array.from({ length: 10 }, () => openTunnel(program, upstream.authority)),
    );
    const talking = tunnels.map(talk);
    program.signal("SIGTERM");
    await Promise.all(talking);
    tunnels.forEach((tunnel) => tunnel.close());
    assertEquals(await program.ended(), 0);
    const ends = program.lines("tunnel").map(({ time }) => Date.parse(String(time)));
    assertEquals(program.lines("tunnel").map(({ end }) => end), Array(10).fill("drain"));
    // A second to spread over, in ticks of a quarter: however busy the machine, not one moment.
    assertGreater(new Set(ends.map((ms) => Math.floor(ms / 50))).size, 2);
    assertEquals(program.lines("drained")[0]!.cut, 10);
  }
  upstream[Symbol.dispose]();
  await serving;
});
