/** What goes into a tunnel comes out of it: all of it, in order, unchanged, and nothing behind the end. */
import { assertEquals, assertLessOrEqual } from "@std/assert";
import type { Side } from "../../lib/proxy/tunnel.ts";
import { test } from "../harness/test.ts";
import { Pattern, pause, randomFrom } from "../harness/random.ts";
import { randomPauses, randomSteps, readPattern, writePattern, writeSteps } from "./stream.ts";
import { otherSide, SIDES, type Way, withTunnel } from "./tunnels.ts";

/** A schedule is made of this plus its number: a failure gives the sum, which makes it again. */
const SEED = 20_261_124;
const SCHEDULES = 60;
const MIB = 1024 * 1024;

const patterns: Readonly<Record<Side, Pattern>> = {
  client: new Pattern(1),
  upstream: new Pattern(2),
};

/** Runs all schedules, some at once. */
async function forAllSeeds(run: (seed: number) => Promise<void>): Promise<void> {
  let seed = SEED;
  const some = async () => {
    while (seed < SEED + SCHEDULES) {
      const mine = seed++;
      await run(mine).catch((cause) => {
        throw new Error(`the schedule of seed ${mine} fails: ${cause.message}`, { cause });
      });
    }
  };
  const all = await Promise.allSettled(Array.from({ length: 6 }, some));
  for (const one of all) if (one.status === "rejected") throw one.reason;
}

test(`${SCHEDULES} random schedules of writes, pauses and half-closes lose nothing`, () =>
  forAllSeeds((seed) =>
    withTunnel({}, async (ends) => {
      const transfer = async (from: Side) => {
        const random = randomFrom(seed * 2 + SIDES.indexOf(from));
        const writing = writeSteps(ends[from], patterns[from], randomSteps(random))
          .then(async (sent) => (await ends[from].closeWrite(), sent));
        const to = ends[otherSide(from)];
        const reading = readPattern(to, patterns[from], randomPauses(random));
        const [sent, received] = await Promise.all([writing, reading]);
        assertEquals(received, { bytes: sent, end: "eof" }, `from the ${from}`);
        return sent;
      };
      const [bytesUp, bytesDown] = await Promise.all(SIDES.map(transfer));
      const line = await ends.proxy.logged("tunnel");
      assertEquals(
        { bytesUp: line.bytesUp, bytesDown: line.bytesDown, end: line.end },
        { bytesUp, bytesDown, end: "eof" },
      );
    })
  ));

/** One side leaves in the middle of it all; the other one reads to the end. */
async function leaveMidway(side: Side, way: Way, seed: number): Promise<void> {
  await withTunnel({ resettable: way === "reset" ? side : undefined }, async (ends) => {
    const other = otherSide(side);
    const random = randomFrom(seed);
    const leaving = writeSteps(ends[side], patterns[side], randomSteps(random))
      .catch(() => {}).then(() => ends[side].leave(way));
    const reading = readPattern(ends[side], patterns[other], randomPauses(random));
    const writing = writeSteps(ends[other], patterns[other], randomSteps(random))
      .then(() => ends[other].closeWrite()).then(() => true, () => false);
    const [received, couldWrite] = await Promise.all([
      readPattern(ends[other], patterns[side], randomPauses(random)),
      writing,
      reading,
      leaving,
    ]);
    await ends[other].leave("close");
    const { bytesUp, bytesDown } = await ends.proxy.logged("tunnel");
    const passedOn = Number(side === "client" ? bytesUp : bytesDown);
    // A reset may overtake bytes; behind a write that has met it a read finds no more than an end.
    if (received.end === "eof" && couldWrite) assertEquals(received.bytes, passedOn);
    else assertLessOrEqual(received.bytes, passedOn);
  });
}

for (const side of SIDES) {
  for (const way of ["close", "reset"] as const) {
    test(
      `${SCHEDULES} random schedules in which the ${side} ends with a ${way} change nothing`,
      () => forAllSeeds((seed) => leaveMidway(side, way, seed)),
    );
  }
}

test("256 MiB both ways at once arrive unchanged", () =>
  withTunnel({}, async (ends) => {
    const totalBytes = 256 * MIB;
    const transfer = async (from: Side) => {
      const writing = writePattern(ends[from], patterns[from], totalBytes, MIB)
        .then(() => ends[from].closeWrite());
      const received = await readPattern(ends[otherSide(from)], patterns[from]);
      assertEquals(received, { bytes: totalBytes, end: "eof" });
      await writing;
    };
    await Promise.all(SIDES.map(transfer));
    const { bytesUp, bytesDown } = await ends.proxy.logged("tunnel");
    assertEquals({ bytesUp, bytesDown }, { bytesUp: totalBytes, bytesDown: totalBytes });
  }));

for (
  const { partBytes, parts } of [{ partBytes: 1, parts: 20_000 }, {
    partBytes: 1024,
    parts: 20_000,
  }]
) {
  test(`${parts} writes of ${partBytes} B both ways at once arrive unchanged`, () =>
    withTunnel({}, async (ends) => {
      await Promise.all(SIDES.map(async (from) => {
        const writing = writePattern(ends[from], patterns[from], parts * partBytes, partBytes)
          .then(() => ends[from].closeWrite());
        const received = await readPattern(ends[otherSide(from)], patterns[from]);
        assertEquals(received, { bytes: parts * partBytes, end: "eof" });
        await writing;
      }));
    }));
}

for (const side of SIDES) {
  test(`48 MiB arrive though the ${side} has closed and the reader had paused`, () =>
    withTunnel({}, async (ends) => {
      const totalBytes = 48 * MIB;
      const leaving = writePattern(ends[side], patterns[side], totalBytes, 64 * 1024)
        .then(() => ends[side].leave("close"));
      // All buffers fill up now, and again at each pause.
      const received = await readPattern(ends[otherSide(side)], patterns[side], async (bytes) => {
        if (bytes === 0) await pause(300);
        else if (bytes % (64 * 1024) === 0 && bytes % (8 * MIB) === 0) await pause(50);
      });
      assertEquals(received, { bytes: totalBytes, end: "eof" });
      await leaving;
    }));

  test(`what the ${side} had sent before it closed arrives though the reader goes on talking`, () =>
    withTunnel({}, async (ends) => {
      const totalBytes = MIB;
      const other = ends[otherSide(side)];
      await writePattern(ends[side], patterns[side], totalBytes, 64 * 1024);
      while (ends.carriedBytes(side) < totalBytes) await pause(10);
      await ends[side].leave("close");
      const talking = (async () => {
        for (let i = 0; i < 20; i++) {
          await other.write(new Uint8Array(1));
          await pause(10);
        }
      })();
      const received = await readPattern(other, patterns[side], async (bytes) => {
        if (bytes === 0) await talking;
      });
      assertEquals(received, { bytes: totalBytes, end: "eof" });
      await other.leave("close");
      assertEquals((await ends.proxy.logged("tunnel")).end, "eof");
    }));
}
