/** Thousands of clients that say nothing: a good one is served all the same, and nothing is left. */
import { assertEquals, assertGreater, assertLess } from "@std/assert";
import { type Peer, test, TestUpstream } from "../helpers.ts";
import { echo, goodTunnel, many } from "./crowd.ts";
import { Program, SMALL_YOUNG_GENERATION, type Usage } from "./program.ts";

const MIB = 1024 * 1024;
/** Served one after the other while the flood is there, and as many more as it takes time to come. */
const GOOD_CLIENTS = 20;

interface Flood {
  readonly name: string;
  readonly silent: number;
  /**
   * How many of them connect at once. A client is pushed out when as many as there are places have come
   * between its connect and its head: those that share a thread with it must leave it the time.
   */
  readonly atOnce: number;
  readonly places: number;
}

const FLOODS: readonly Flood[] = [
  { name: "1,000 clients on 200 places", silent: 1_000, atOnce: 8, places: 200 },
  { name: "3,000 clients and places for all", silent: 3_000, atOnce: 100, places: 4_000 },
];

/** Lets a flood come, serves good clients, waits for the header timeout. @returns Use at its height. */
async function flood(program: Program, upstream: TestUpstream, { silent, atOnce, places }: Flood) {
  const crowd: Peer[] = [];
  let isOver = false;
  const coming = many(silent, async () => void crowd.push(await program.connect()), atOnce)
    .finally(() => isOver = true);
  for (let served = 0; !isOver || served < GOOD_CLIENTS; served++) {
    // The first attempt serves it, or the test fails.
    await goodTunnel(program, upstream.authority);
  }
  await coming;
  const height = await program.usage();
  // Both pushed out and late, they are closed without a word.
  await many(silent, async (at) => assertEquals(await crowd[at]!.readText(), ""), silent);
  for (const peer of crowd) peer.close();
  return { height, most: Math.min(silent, places) };
}

for (const kind of FLOODS) {
  test(`good clients are served in a flood of silent ones: ${kind.name}`, async () => {
    using upstream = new TestUpstream();
    const serving = upstream.serve(echo);
    {
      const { host, port } = upstream.authority;
      const limits = [`--max-connections=${kind.places}`, "--header-timeout=2s"];
      const flags = [`--upstream=${host}:${port}`, ...limits];
      await using program = await Program.start(flags, SMALL_YOUNG_GENERATION);
      // What is loaded and what grows at the first requests is there to stay.
      await many(500, () => goodTunnel(program, upstream.authority));
      await program.metrics();
      const before = await program.usage();
      const after: Usage[] = [];
      for (let floods = 0; floods < 2; floods++) {
        const { height, most } = await flood(program, upstream, kind);
        assertGreater(height.descriptors, before.descriptors);
        // The last good client may have its two.
        assertLess(height.descriptors - before.descriptors, most + 10);
        await program.settled(before);
        after.push(await program.usage());
      }
      // V8 keeps the heap that the first flood took; the second one finds it free again. At its
      // height a silent client holds some 5 KiB: 3,000 that leak would be 15 MiB.
      assertLess(after[1]!.residentBytes - after[0]!.residentBytes, 7 * MIB);
      const figures = [before, ...after].map(({ residentBytes }) => residentBytes / MIB);
      console.log(figures.map(Math.round));
    }
    upstream[Symbol.dispose]();
    await serving;
  });
}
