import { assertEquals, assertMatch } from "@std/assert";
import { Admission } from "../../lib/proxy/admission.ts";
import { allocateShared } from "../../lib/proxy/shared_memory.ts";

/** As many workers as asked for, with the same limits and one memory. */
function workers(count: number, maxConnections: number, maxConnectionsPerSource = 0): Admission[] {
  const limits = {
    upstreams: [],
    credentials: [],
    allowFrom: [],
    maxConnections,
    maxConnectionsPerSource,
  };
  const shared = allocateShared(limits, count);
  return Array.from({ length: count }, (_, worker) => new Admission(limits, shared, worker));
}

function enters(admission: Admission, source = "10.0.0.1"): boolean {
  const refusal = admission.enter(source);
  if (refusal !== undefined) assertMatch(refusal.kind, /^too_many_(connections|from_source)$/);
  return refusal === undefined;
}

Deno.test("Admission lets in as many as it may, and one more for each that leaves", () => {
  const [only] = workers(1, 2);
  assertEquals([1, 2, 3, 4].map(() => enters(only!)), [true, true, false, false]);
  assertEquals({ total: only!.total, isFull: only!.isFull }, { total: 2, isFull: true });
  only!.leave("10.0.0.1");
  assertEquals({ total: only!.total, isFull: only!.isFull }, { total: 1, isFull: false });
  assertEquals([1, 2].map(() => enters(only!)), [true, false]);
});

Deno.test("Admission counts over all workers, wherever a place is taken or given back", () => {
  const [first, second, third] = workers(3, 4);
  assertEquals([first, second, third, first, second].map((one) => enters(one!)), [
    ...[true, true, true, true],
    false,
  ]);
  assertEquals([first, second, third].map((one) => one!.total), [2, 1, 1]);
  first!.leave("10.0.0.1");
  assertEquals([enters(third!), enters(first!)], [true, false]);
});

Deno.test("Admission limits each source by itself, over all workers", () => {
  const [first, second] = workers(2, 10, 2);
  assertEquals([enters(first!), enters(second!), enters(first!), enters(second!)], [
    ...[true, true],
    ...[false, false],
  ]);
  assertEquals(second!.isFullFor("10.0.0.1"), true);
  assertEquals([enters(first!, "fd00::2"), enters(second!, "fd00::2")], [true, true]);
  second!.leave("10.0.0.1");
  assertEquals([enters(first!), enters(second!)], [true, false]);
  assertEquals(first!.enter("10.0.0.1")!.kind, "too_many_from_source");
});

Deno.test("Admission keeps no place for a source that it has refused", () => {
  const [only] = workers(1, 3, 1);
  assertEquals([enters(only!), enters(only!), enters(only!)], [true, false, false]);
  assertEquals([enters(only!, "10.0.0.2"), enters(only!, "10.0.0.3")], [true, true]);
  assertEquals(only!.total, 3);
});

Deno.test("Admission: a limit of 0 is none", () => {
  const [only] = workers(1, 0);
  for (let i = 0; i < 10_000; i++) assertEquals(enters(only!), true);
  assertEquals([only!.isFull, only!.isFullFor("10.0.0.1"), only!.total], [false, false, 10_000]);
});
