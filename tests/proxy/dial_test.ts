import { assertEquals, assertLess, assertRejects } from "@std/assert";
import type { Authority } from "../../lib/protocol/authority.ts";
import { Refusal } from "../../lib/protocol/refusal.ts";
import {
  type Candidate,
  candidateOf,
  Dial,
  type DialContext,
  type Dialled,
} from "../../lib/proxy/dial.ts";
import { Resolver } from "../../lib/proxy/resolver.ts";
import { neverAccepts, nobody, TestUpstream } from "../harness/peers.ts";
import { test } from "../harness/test.ts";

function dial(authorities: readonly Authority[], context: Partial<DialContext> = {}): Dial {
  return new Dial(authorities.map(candidateOf), {
    resolver: new Resolver(),
    timeoutMs: 4_000,
    isSelf: () => false,
    onAttempt() {},
    ...context,
  });
}

/** Waits for a dial with a clock as the proxy has one. */
async function ticked(dial: Dial): Promise<Dialled> {
  const clock = setInterval(() => dial.tick(performance.now()), 5);
  try {
    return await dial.connected;
  } finally {
    clearInterval(clock);
  }
}

/** Which place a dial reaches. */
async function reached(dial: Dial): Promise<Authority> {
  const { conn, candidate } = await ticked(dial);
  conn.close();
  return candidate.authority;
}

/** How a dial is refused. */
async function refusal(dial: Dial): Promise<Refusal> {
  return await assertRejects(() => ticked(dial), Refusal);
}

test("a dial gives the first of two candidates half of its time", async () => {
  using silent = await neverAccepts();
  using second = new TestUpstream();
  const hourMs = 3_600_000;
  const long = dial([silent.authority, second.authority], { timeoutMs: 2 * hourMs });
  // Its clock is this test: an hour is over.
  long.tick(performance.now() + hourMs);
  const giveUp = setTimeout(() => long.stop(new Error("it is still at the first")), 20_000);
  const { conn, candidate } = await long.connected.finally(() => clearTimeout(giveUp));
  conn.close();
  assertEquals(candidate.authority, second.authority);
});

test("a dial leaves time for the next candidate when one swallows the attempt", async () => {
  using silent = await neverAccepts();
  using second = new TestUpstream();
  const both = dial([silent.authority, second.authority], { timeoutMs: 200 });
  assertEquals(await reached(both), second.authority);
});

test("a dial is refused with what the last candidate answered when all fail", async () => {
  using silent = await neverAccepts();
  const { kind } = await refusal(dial([silent.authority, nobody()], { timeoutMs: 100 }));
  assertEquals(kind, "upstream_refused");
});

test("a dial reports each attempt, and its error if it has failed", async () => {
  using upstream = new TestUpstream();
  const attempts: [Candidate, boolean][] = [];
  const onAttempt = (candidate: Candidate, error: unknown) =>
    attempts.push([candidate, error !== undefined]);
  assertEquals(
    await reached(dial([nobody(), upstream.authority], { onAttempt })),
    upstream.authority,
  );
  assertEquals(attempts, [
    [candidateOf(nobody(), 0), true],
    [candidateOf(upstream.authority, 1), false],
  ]);
});

test("a dial keeps all attempts together within its timeout", async () => {
  using one = await neverAccepts();
  using two = await neverAccepts();
  const startMs = performance.now();
  const { kind } = await refusal(dial([one.authority, two.authority], { timeoutMs: 400 }));
  assertEquals(kind, "upstream_timeout");
  // Twice the timeout is what attempts of their own would take.
  assertLess(performance.now() - startMs, 800);
});

test("a dial rejects with what it was stopped with, at once", async () => {
  using silent = await neverAccepts();
  const stopped = dial([silent.authority], { timeoutMs: 0 });
  stopped.stop(new RangeError("enough"));
  await assertRejects(() => stopped.connected, RangeError, "enough");
});

const LINK_LOCAL: Authority = { host: "fe80::1", port: 443 };
const MULTICAST: Authority = { host: "224.0.0.1", port: 443 };
for (const [name, authority] of Object.entries({ LINK_LOCAL, MULTICAST })) {
  test(`a dial calls an address without a route unreachable: ${name}`, async () => {
    const { kind } = await refusal(dial([authority], { timeoutMs: 2_000 }));
    assertEquals(kind, "upstream_unreachable");
  });
}

test("a dial closes a connection that has come out at the proxy itself", async () => {
  using upstream = new TestUpstream();
  const { kind } = await refusal(dial([upstream.authority], { isSelf: () => true }));
  assertEquals(kind, "upstream_is_proxy");
});
