import { assertEquals, assertMatch } from "@std/assert";
import { Admission } from "../../lib/proxy/admission.ts";
import { sourceKey } from "../../lib/proxy/source_table.ts";
import { allocateShared, forgetWorker, layoutFor } from "../../lib/proxy/shared_memory.ts";

const NOBODY = { upstreams: [], credentials: [], allowFrom: [] };

/** As many workers as asked for, with the same limits and one memory. */
function workers(count: number, maxConnections: number, maxConnectionsPerSource = 0): Admission[] {
  const limits = { ...NOBODY, maxConnections, maxConnectionsPerSource };
  const shared = allocateShared(limits, count);
  return Array.from({ length: count }, (_, worker) => new Admission(limits, shared, worker));
}

function enters(admission: Admission, source = "10.0.0.1"): boolean {
  const refusal = admission.enter(sourceKey(source, undefined));
  if (refusal !== undefined) assertMatch(refusal.kind, /^too_many_(connections|from_source)$/);
  return refusal === undefined;
}

Deno.test("Admission lets in as many as it may, and one more for each that leaves", () => {
  const [only] = workers(1, 2);
  assertEquals([1, 2, 3, 4].map(() => enters(only!)), [true, true, false, false]);
  assertEquals({ total: only!.total, free: only!.free }, { total: 2, free: 0 });
  only!.leave(sourceKey("10.0.0.1", undefined));
  assertEquals({ total: only!.total, free: only!.free }, { total: 1, free: 1 });
  assertEquals([1, 2].map(() => enters(only!)), [true, false]);
});

Deno.test("Admission counts over all workers, wherever a slot is taken or given back", () => {
  const [first, second, third] = workers(3, 4);
  assertEquals([first, second, third, first, second].map((one) => enters(one!)), [
    ...[true, true, true, true],
    false,
  ]);
  assertEquals([first, second, third].map((one) => one!.total), [2, 1, 1]);
  first!.leave(sourceKey("10.0.0.1", undefined));
  assertEquals([enters(third!), enters(first!)], [true, false]);
});

Deno.test("Admission limits each source by itself, over all workers", () => {
  const [first, second] = workers(2, 10, 2);
  assertEquals([enters(first!), enters(second!), enters(first!), enters(second!)], [
    ...[true, true],
    ...[false, false],
  ]);
  assertEquals(second!.isFullFor(sourceKey("10.0.0.1", undefined)), true);
  assertEquals([enters(first!, "fd00::2"), enters(second!, "fd00::2")], [true, true]);
  second!.leave(sourceKey("10.0.0.1", undefined));
  assertEquals([enters(first!), enters(second!)], [true, false]);
  assertEquals(first!.enter(sourceKey("10.0.0.1", undefined))!.kind, "too_many_from_source");
});

Deno.test("Admission keeps no slot for a source that it has refused", () => {
  const [only] = workers(1, 3, 1);
  assertEquals([enters(only!), enters(only!), enters(only!)], [true, false, false]);
  assertEquals([enters(only!, "10.0.0.2"), enters(only!, "10.0.0.3")], [true, true]);
  assertEquals(only!.total, 3);
});

Deno.test("Admission: a limit of 0 is none", () => {
  const [only] = workers(1, 0);
  for (let i = 0; i < 10_000; i++) assertEquals(enters(only!), true);
  assertEquals([only!.free, only!.isFullFor(sourceKey("10.0.0.1", undefined)), only!.total], [
    Infinity,
    false,
    10_000,
  ]);
});

Deno.test("Admission gives each of thousands of sources a count of its own", () => {
  const [first, second] = workers(2, 8_192, 1);
  const sources = Array.from({ length: 8_192 }, (_, i) => `10.${i >> 8 & 255}.${i & 255}.1`);
  for (const [i, source] of sources.entries()) {
    assertEquals(enters(i % 2 === 0 ? first! : second!, source), true, source);
  }
  for (const source of sources.slice(0, 50)) {
    assertEquals(first!.isFullFor(sourceKey(source, undefined)), true, source);
  }
  for (const [i, source] of sources.entries()) {
    (i % 2 === 0 ? first! : second!).leave(sourceKey(source, undefined));
  }
  assertEquals([first!.total, second!.total], [0, 0]);
  for (const source of sources) {
    assertEquals(first!.isFullFor(sourceKey(source, undefined)), false, source);
  }
});

Deno.test("Admission uses the slots of sources that have left again", () => {
  const [only] = workers(1, 256, 1);
  for (let i = 0; i < 100_000; i++) {
    const key = sourceKey(`10.${i >> 16}.${i >> 8 & 255}.${i & 255}`, undefined);
    assertEquals(only!.enter(key), undefined, `source ${i}`);
    only!.leave(key);
  }
});

Deno.test("Admission counts a /64 of IPv6 as one source, and each IPv4 address by itself", () => {
  const [only] = workers(1, 10, 1);
  assertEquals([enters(only!, "2001:db8::1"), enters(only!, "2001:db8::ffff:2")], [true, false]);
  assertEquals([enters(only!, "2001:db8:0:1::1"), enters(only!, "::1")], [true, true]);
  // These two had the same slot once.
  assertEquals([enters(only!, "127.0.0.1"), enters(only!, "127.4.220.98")], [true, true]);
  assertEquals(enters(only!, "127.0.0.1"), false);
});

Deno.test("Admission counts a client that is in for a source that becomes known later", () => {
  const [only] = workers(1, 10, 1);
  const peer = sourceKey("10.0.0.1", 0), other = sourceKey("10.0.0.1", 1);
  assertEquals([only!.enter(undefined), only!.enter(undefined)], [undefined, undefined]);
  assertEquals(only!.claim(peer), undefined);
  assertEquals(only!.claim(peer)?.kind, "too_many_from_source");
  assertEquals(only!.claim(other), undefined);
  only!.leave(peer);
  only!.leave(other);
  assertEquals([only!.total, only!.isFullFor(peer)], [0, false]);
});

Deno.test("Admission goes on after a worker that died while it looked for a slot", () => {
  const limits = { ...NOBODY, maxConnections: 10, maxConnectionsPerSource: 1 };
  const shared = allocateShared(limits, 2);
  const [first, second] = [0, 1].map((worker) => new Admission(limits, shared, worker));
  assertEquals([enters(first!), enters(second!)], [true, false]);
  shared.sources.lock[0] = 1;
  forgetWorker(shared, layoutFor(limits), 0);
  assertEquals(enters(second!), true);
});
