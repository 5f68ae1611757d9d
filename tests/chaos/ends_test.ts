/** Either end leaves, in every state, in both ways, over both families: the other one is told. */
import { assert, assertEquals } from "@std/assert";
import type { LogLine } from "../harness/proxy.ts";
import { test } from "../harness/test.ts";
import { Pattern, pause } from "../harness/random.ts";
import { readPattern, writePattern } from "./stream.ts";
import { type End, otherSide, SIDES, type Way, withTunnel } from "./tunnels.ts";

const KIB = 1024, MIB = 1024 * KIB;
const pattern = new Pattern(3);

/** What a test of a leave has at hand. */
interface Scene {
  readonly leaver: End;
  readonly other: End;
  readonly leave: () => Promise<void>;
  /** Resolves when the leaver has left. */
  readonly left: Promise<void>;
  readonly way: Way;
}

interface State {
  readonly name: string;
  /** Comes to the state, leaves, and sees the other end through. */
  readonly play: (scene: Scene) => Promise<void>;
  /** The leaver had nothing more to end: the tunnel counts as ended by the other. */
  readonly otherEndedFirst?: true;
}

/** The other end reads to the end, which must come, and what it reads must be the pattern. */
async function seesTheEnd(other: End): Promise<number> {
  return (await readPattern(other, pattern)).bytes;
}

/** Writes more than all buffers hold, then some more once the reader has left, if it may. */
async function writeOn(to: End, left: Promise<void>): Promise<void> {
  let hasLeft = false;
  void left.then(() => hasLeft = true);
  try {
    for (let sent = 0, more = MIB; more > 0; sent += 64 * KIB) {
      await to.write(pattern.at(sent, 64 * KIB));
      if (hasLeft) more -= 64 * KIB;
    }
  } catch {
    // There is nobody to write to any more.
  }
}

const STATES: readonly State[] = [
  {
    name: "before a byte has gone either way",
    async play({ other, leave }) {
      await leave();
      assertEquals(await seesTheEnd(other), 0);
    },
  },
  {
    name: "after both have talked",
    async play({ leaver, other, leave }) {
      await leaver.write(pattern.at(0, 4));
      assertEquals((await other.read())?.length, 4);
      await other.write(pattern.at(0, 4));
      assertEquals((await leaver.read())?.length, 4);
      await leave();
      assertEquals(await seesTheEnd(other), 0);
    },
  },
  {
    name: "with bytes that it has not read",
    async play({ leaver, other, leave }) {
      await other.write(pattern.at(0, 200 * KIB));
      await leaver.read();
      await leave();
      assertEquals(await seesTheEnd(other), 0);
    },
  },
  {
    name: "while it sends",
    async play({ leaver, other, leave, way }) {
      const reading = seesTheEnd(other);
      await writePattern(leaver, pattern, MIB, 64 * KIB);
      await leave();
      const received = await reading;
      if (way === "close") assertEquals(received, MIB);
    },
  },
  {
    name: "while the other sends without end",
    async play({ leaver, other, leave, left }) {
      const writing = writeOn(other, left);
      for (let i = 0; i < 20; i++) await leaver.read();
      await leave();
      await seesTheEnd(other);
      await writing;
    },
  },
  {
    name: "while both send",
    async play({ leaver, other, leave, left }) {
      const writing = writeOn(other, left);
      const readings = [seesTheEnd(other), readPattern(leaver, pattern)];
      await writePattern(leaver, pattern, MIB, 64 * KIB);
      await leave();
      await Promise.all([writing, ...readings]);
    },
  },
  {
    name: "having half-closed",
    async play({ leaver, other, leave }) {
      await leaver.write(pattern.at(0, 5));
      await leaver.closeWrite();
      assertEquals(await seesTheEnd(other), 5);
      await leave();
    },
  },
  {
    name: "having half-closed, while the other sends without end",
    async play({ leaver, other, leave, left }) {
      await leaver.closeWrite();
      const writing = writeOn(other, left);
      await leaver.read();
      await leave();
      await writing;
    },
  },
  {
    name: "after the other has half-closed",
    otherEndedFirst: true,
    async play({ leaver, other, leave }) {
      await other.write(pattern.at(0, 5));
      await other.closeWrite();
      assertEquals((await readPattern(leaver, pattern)).bytes, 5);
      await leave();
      assertEquals(await seesTheEnd(other), 0);
    },
  },
  {
    name: "with more on its way than the other reads just now",
    async play({ leaver, other, leave, way }) {
      await writePattern(leaver, pattern, 300 * KIB, 64 * KIB);
      await leave();
      await pause(50);
      const received = await seesTheEnd(other);
      if (way === "close") assertEquals(received, 300 * KIB);
    },
  },
];

function assertEnding(line: LogLine, side: string): void {
  assert(line.end === "eof" || line.end === "reset", JSON.stringify(line));
  assertEquals(line.endedBy, side);
}

for (const host of ["127.0.0.1", "::1"]) {
  for (const side of SIDES) {
    for (const way of ["close", "reset"] as const) {
      for (const { name, play, otherEndedFirst = false } of STATES) {
        test(`${side} ends with a ${way} ${name}, over ${host}`, () => {
          const resettable = way === "reset" ? side : undefined;
          return withTunnel({ host, resettable, halfCloseTimeoutMs: 0 }, async (ends) => {
            const other = ends[otherSide(side)];
            const left = Promise.withResolvers<void>();
            const leave = () => ends[side].leave(way).then(left.resolve);
            await play({ leaver: ends[side], other, leave, left: left.promise, way });
            await other.leave("close");
            const line = await ends.proxy.logged("tunnel");
            const first = otherEndedFirst && line.end === "eof" ? otherSide(side) : side;
            assertEnding(line, first);
            assertEquals(ends.proxy.served, 0);
          });
        });
      }
    }
  }
}

for (const side of SIDES) {
  test(`a FIN of the ${side} that is never answered ends the tunnel after --half-close-timeout`, () =>
    withTunnel({ halfCloseTimeoutMs: 100 }, async (ends) => {
      const other = ends[otherSide(side)];
      await ends[side].write(pattern.at(0, MIB));
      await ends[side].closeWrite();
      const line = await ends.proxy.logged("tunnel");
      assertEquals([line.end, line.endedBy], ["half_close_timeout", "proxy"]);
      // What had been sent before is still there for whoever reads it now.
      assertEquals(await seesTheEnd(other), MIB);
    }));

  test(`a tunnel half closed by the ${side} stays while the other one sends now and then`, () =>
    withTunnel({ halfCloseTimeoutMs: 800 }, async (ends) => {
      const other = ends[otherSide(side)];
      await ends[side].closeWrite();
      for (let sent = 0; sent < 40; sent++) {
        await other.write(pattern.at(sent, 1));
        await pause(50);
      }
      await other.closeWrite();
      assertEquals(await readPattern(ends[side], pattern), { bytes: 40, end: "eof" });
      assertEquals((await ends.proxy.logged("tunnel")).end, "eof");
    }));

  test(`a writer that the ${side} lets go on now and then does not make a tunnel idle`, () =>
    withTunnel({ idleTimeoutMs: 1_500 }, async (ends) => {
      const totalBytes = 64 * MIB;
      const writing = writePattern(ends[otherSide(side)], pattern, totalBytes, MIB);
      let nextPause = 0;
      let bytes = 0;
      while (bytes < totalBytes) {
        bytes = pattern.check(bytes, (await ends[side].read())!);
        if (bytes < nextPause) continue;
        await pause(100);
        nextPause = bytes + 2 * MIB;
      }
      await writing;
      await Promise.all([ends.client.closeWrite(), ends.upstream.closeWrite()]);
      assertEquals((await ends.proxy.logged("tunnel")).end, "eof");
    }));
}

test(
  "a tunnel in which both ways are stuck is idle, and both sides are told",
  () =>
    withTunnel({ idleTimeoutMs: 1_000 }, async ({ client, upstream, proxy }) => {
      const over = Promise.withResolvers<void>();
      const writing = [writeOn(client, over.promise), writeOn(upstream, over.promise)];
      const line = await proxy.logged("tunnel");
      assertEquals([line.end, line.endedBy], ["idle", "proxy"]);
      over.resolve();
      await Promise.all([...writing, seesTheEnd(client), seesTheEnd(upstream)]);
    }),
);
