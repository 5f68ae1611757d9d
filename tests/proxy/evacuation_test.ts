import { assertEquals } from "@std/assert";
import { Evacuation } from "../../lib/proxy/evacuation.ts";

/** Tunnels to each of these upstreams. */
function tunnelsTo(...indices: (number | undefined)[]) {
  return indices.map((upstreamIndex) => ({ upstreamIndex, openedMs: 0 }));
}

Deno.test("select() ends nothing while every upstream lives, or nothing is known", () => {
  const tunnels = tunnelsTo(0, 0, 1, undefined);
  for (const states of [[1, 1], [0, 0], [1, 0]]) {
    assertEquals(new Evacuation(new Int32Array(states)).select(tunnels, 10_000), []);
  }
});

Deno.test("select() spreads the tunnels of an upstream that went down over 5 s, no others", () => {
  const evacuation = new Evacuation(new Int32Array([-1, 1]));
  let tunnels = tunnelsTo(...Array<number>(100).fill(0), 1, undefined);
  const left: number[] = [];
  for (let nowMs = 0; nowMs <= 5_000; nowMs += 250) {
    const ended = evacuation.select(tunnels, nowMs);
    tunnels = tunnels.filter((tunnel) => !ended.includes(tunnel));
    left.push(tunnels.length - 2);
  }
  assertEquals(left, Array.from({ length: 21 }, (_, tick) => 100 - 5 * tick));
  assertEquals(tunnels, tunnelsTo(1, undefined));
});

Deno.test("select() ends nothing when no upstream is left, or the only one is down", () => {
  // Of the last one it is not known whether it lives.
  for (const states of [[-1], [-1, -1], [-1, -2], [-1, 0]]) {
    const evacuation = new Evacuation(new Int32Array(states));
    assertEquals(evacuation.select(tunnelsTo(0, 0, 0), 0), []);
    assertEquals(evacuation.select(tunnelsTo(0, 0, 0), 10_000), []);
  }
});

Deno.test("select() leaves alone what was opened after the upstream went down", () => {
  const evacuation = new Evacuation(new Int32Array([-1, 1]));
  const [before, after] = [1_000, 1_001].map((openedMs) => ({ upstreamIndex: 0, openedMs }));
  assertEquals(evacuation.select([before!], 1_000), []);
  assertEquals(evacuation.select([before!, after!], 6_000), [before]);
  assertEquals(evacuation.select([after!], 20_000), []);
});

Deno.test("select() stops when the upstream is up again, and begins anew when it goes down", () => {
  const states = new Int32Array([-1, 1]);
  const evacuation = new Evacuation(states);
  const tunnels = tunnelsTo(...Array<number>(10).fill(0));
  assertEquals(evacuation.select(tunnels, 0).length, 0);
  assertEquals(evacuation.select(tunnels, 2_500).length, 5);
  states[0] = 1;
  assertEquals(evacuation.select(tunnels, 4_000).length, 0);
  states[0] = -1;
  assertEquals(evacuation.select(tunnels, 10_000).length, 0);
  assertEquals(evacuation.select(tunnels, 15_000).length, 10);
});
