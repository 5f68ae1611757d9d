/** The list of live tunnels when all slots are taken: exact, for this machine alone, no hindrance. */
import { assertEquals, assertGreater, assertLess, assertMatch } from "@std/assert";
import { FLAGS } from "../../lib/config/flags.ts";
import { echo, headFor, many } from "../harness/crowd.ts";
import { output } from "../harness/child_process.ts";
import { testInNetwork } from "../harness/network.ts";
import { connectTo, ESTABLISHED, type Peer, TestUpstream } from "../harness/peers.ts";
import { PROXY_START, proxyCommand, ProxyProcess } from "../harness/process.ts";

const TUNNELS = Number(FLAGS["max-connections"].fallback);
/** A client that connects to one of them has it as its source, too. */
const SOURCES = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"];
const LISTS = 5;
/** Far more than it takes: the figures are printed. */
const LIMIT_MS = 30_000;

const portOf = ({ conn }: Peer) => (conn.localAddr as Deno.NetAddr).port;

/** Sends a byte there and back, again and again until `isOver`. @returns The times it took, sorted. */
async function pingUntil(client: Peer, isOver: () => boolean): Promise<number[]> {
  const tookMs: number[] = [];
  do {
    const beganMs = performance.now();
    await client.write("p");
    assertEquals(await client.readText(1), "p");
    tookMs.push(performance.now() - beganMs);
  } while (!isOver());
  return tookMs.toSorted((a, b) => a - b);
}

testInNetwork(
  `/tunnels names the sources of ${TUNNELS} tunnels while clients get 503; from another address it is 403`,
  import.meta.url,
  async () => {
    using upstream = new TestUpstream();
    const serving = upstream.serve(echo);
    await using program = await ProxyProcess.start({
      host: "",
      flags: [`--upstream=127.0.0.1:${upstream.authority.port}`, "--workers=2"],
    });
    const { port } = program.authority;
    const adminPort = Number(/\d+$/.exec(program.adminAddress)![0]);
    const list = async (host: string) => {
      using peer = await connectTo({ host, port: adminPort }, "GET /tunnels HTTP/1.0\r\n\r\n");
      return await peer.readText();
    };
    const clients: Peer[] = [];
    await many(TUNNELS, async (index) => {
      const host = SOURCES[index % SOURCES.length]!;
      const client = await connectTo({ host, port }, headFor(upstream.authority));
      assertEquals(await client.readText(ESTABLISHED.length), ESTABLISHED);
      clients.push(client);
      await client.write("hello");
      assertEquals(await client.readText(5), "hello");
    });

    using refused = await connectTo({ host: "127.0.0.1", port }, headFor(upstream.authority));
    assertMatch(await refused.readText(), /^HTTP\/1\.1 503 Too many connections /);
    let left = 200;
    const quiet = await pingUntil(clients[0]!, () => --left === 0);
    let isOver = false;
    const pinging = pingUntil(clients[0]!, () => isOver);
    const beganMs = performance.now();
    let answer = "";
    for (let i = 0; i < LISTS; i++) answer = await list("127.0.0.1");
    const listMs = (performance.now() - beganMs) / LISTS;
    isOver = true;
    const during = await pinging;
    assertLess(listMs, LIMIT_MS);
    assertGreater(during.length, 1);

    const [head = "", body = ""] = answer.split("\r\n\r\n");
    assertMatch(head, /^HTTP\/1\.1 200 /);
    const tunnels: Record<string, unknown>[] = JSON.parse(body);
    const listed = tunnels.map(({ source, sourcePort }) => `${source}:${sourcePort}`);
    const wanted = clients.map(({ conn }) => (conn.localAddr as Deno.NetAddr).hostname)
      .map((source, index) => `${source}:${portOf(clients[index]!)}`);
    assertEquals(listed.toSorted(), wanted.toSorted());
    assertEquals(new Set(tunnels.map(({ source }) => source)), new Set(SOURCES));
    assertEquals(new Set(tunnels.map(({ worker }) => worker)), new Set([0, 1]));

    const url = `http://127.0.0.1:${adminPort}/tunnels`;
    const table = await output(proxyCommand("tunnels", url), PROXY_START);
    assertEquals(table.trimEnd().split("\n").length, 1 + TUNNELS);
    for (const source of SOURCES) {
      assertMatch(await list(source), /^HTTP\/1\.1 403 [^]*only for clients on this machine\n$/);
    }
    // Every tunnel that is listed goes on.
    await many(TUNNELS, async (index) => {
      await clients[index]!.write("again");
      assertEquals(await clients[index]!.readText(5), "again");
    });
    const median = (sorted: readonly number[]) => sorted[sorted.length >> 1]!.toFixed(2);
    const last = (sorted: readonly number[]) => sorted.at(-1)!.toFixed(2);
    console.log(`${TUNNELS} tunnels are listed in ${listMs.toFixed(0)} ms, ${body.length} bytes`);
    console.log(
      `echo, ms: ${median(quiet)} (worst ${last(quiet)}); ` +
        `while lists are made ${median(during)} (worst ${last(during)})`,
    );
    console.log(JSON.stringify(tunnels[0]), "\n" + table.split("\n", 4).join("\n"));

    for (const client of clients) client.close();
    upstream[Symbol.dispose]();
    await serving;
  },
  { setUp: SOURCES.map((source) => `ip address add ${source}/32 dev lo`).join("\n") },
);
