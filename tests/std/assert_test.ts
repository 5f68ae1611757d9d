import {
  assert,
  assertArrayIncludes,
  assertEquals,
  assertExists,
  assertFalse,
  assertGreater,
  assertGreaterOrEqual,
  assertInstanceOf,
  AssertionError,
  assertIsError,
  assertLess,
  assertLessOrEqual,
  assertMatch,
  assertNotEquals,
  assertNotMatch,
  assertObjectMatch,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
  equal,
  fail,
  unreachable,
} from "@std/assert";
import { assertEquals as fromSubpath } from "@std/assert/equals";

const { test } = Deno;

// An assertion that never fails would pass its own tests, so these compare and throw without the package.

/** The message with which `fn` fails. */
function failureOf(fn: () => unknown): string {
  try {
    fn();
  } catch (error) {
    if (error instanceof AssertionError) return error.message;
    throw error;
  }
  throw new Error("Nothing failed");
}

async function rejectionOf(fn: () => Promise<unknown>): Promise<string> {
  try {
    await fn();
  } catch (error) {
    return failureOf(() => {
      throw error;
    });
  }
  throw new Error("Nothing failed");
}

function is(actual: unknown, expected: unknown): void {
  if (!Object.is(actual, expected)) {
    throw new Error(`Got ${Deno.inspect(actual)}, not ${Deno.inspect(expected)}`);
  }
}

function startsWith(text: string, start: string): void {
  if (!text.startsWith(start)) {
    throw new Error(`${Deno.inspect(text)} does not start with ${Deno.inspect(start)}`);
  }
}

class Point {
  constructor(public x: number) {}
}
class Pixel extends Point {}
class Hidden {
  #value: number;
  constructor(value: number) {
    this.#value = value;
  }
  get value() {
    return this.#value;
  }
}
class Refusal extends Error {}

const ring = (name: string) => {
  const node: Record<string, unknown> = { name };
  node.next = { back: node };
  return node;
};
const symbol = Symbol("key");
const hiddenKey = (value: number) => Object.defineProperty({}, "key", { value });

const EQUAL = [
  { name: "compares primitives by value", a: "x", b: "x", expected: true },
  { name: "tells types apart", a: 1, b: "1", expected: false },
  { name: "tells null from undefined", a: null, b: undefined, expected: false },
  { name: "takes NaN for itself", a: [NaN], b: [NaN], expected: true },
  { name: "takes 0 for -0", a: [0], b: [-0], expected: true },
  { name: "passes over the order of keys", a: { a: 1, b: 2 }, b: { b: 2, a: 1 }, expected: true },
  { name: "looks into objects", a: { a: { b: [1] } }, b: { a: { b: [2] } }, expected: false },
  {
    name: "tells a missing key from an undefined one",
    a: { a: 1, b: undefined },
    b: { a: 1 },
    expected: false,
  },
  {
    name: "tells one undefined key from another",
    a: { a: undefined },
    b: { b: undefined },
    expected: false,
  },
  { name: "looks at symbol keys", a: { [symbol]: 1 }, b: { [symbol]: 2 }, expected: false },
  {
    name: "passes over the hidden keys of plain objects",
    a: hiddenKey(1),
    b: hiddenKey(2),
    expected: true,
  },
  { name: "minds the order of items", a: [1, 2], b: [2, 1], expected: false },
  { name: "tells a hole from undefined", a: Array(1), b: [undefined], expected: false },
  { name: "tells an array from an object", a: [], b: {}, expected: false },
  {
    name: "takes an object without prototype for a plain one",
    a: Object.create(null),
    b: {},
    expected: true,
  },
  {
    name: "compares instances by their properties",
    a: new Point(1),
    b: new Point(1),
    expected: true,
  },
  { name: "tells classes apart", a: new Point(1), b: new Pixel(1), expected: false },
  { name: "tells an instance from a plain object", a: new Point(1), b: { x: 1 }, expected: false },
  { name: "looks at getters of a class", a: new Hidden(1), b: new Hidden(2), expected: false },
  { name: "compares dates by time", a: new Date(1), b: new Date(2), expected: false },
  { name: "takes invalid dates for equal", a: new Date(NaN), b: new Date(NaN), expected: true },
  { name: "compares patterns by source and flags", a: /a/, b: /a/g, expected: false },
  { name: "takes equal patterns for equal", a: /a/g, b: /a/g, expected: true },
  {
    name: "passes over where a pattern goes on",
    a: Object.assign(/a/g, { lastIndex: 1 }),
    b: /a/g,
    expected: true,
  },
  { name: "compares URLs", a: new URL("http://a/b"), b: new URL("http://a/c"), expected: false },
  {
    name: "compares queries",
    a: new URLSearchParams("a=1"),
    b: new URLSearchParams("a=2"),
    expected: false,
  },
  { name: "compares bytes", a: new Uint8Array([1, 2]), b: new Uint8Array([1, 3]), expected: false },
  {
    name: "takes equal bytes for equal",
    a: new Uint8Array([1, 2]),
    b: new Uint8Array([1, 2]),
    expected: true,
  },
  {
    name: "tells kinds of bytes apart",
    a: new Uint8Array(1),
    b: new Int8Array(1),
    expected: false,
  },
  {
    name: "compares buffers",
    a: new Uint8Array([1]).buffer,
    b: new Uint8Array([2]).buffer,
    expected: false,
  },
  { name: "passes over the order of Sets", a: new Set([1, 2]), b: new Set([2, 1]), expected: true },
  { name: "looks into Sets", a: new Set([{ a: 1 }]), b: new Set([{ a: 1 }]), expected: true },
  { name: "tells Sets apart", a: new Set([{ a: 1 }]), b: new Set([{ a: 2 }]), expected: false },
  {
    name: "passes over the order of Maps",
    a: new Map([[1, 1], [2, 2]]),
    b: new Map([[2, 2], [1, 1]]),
    expected: true,
  },
  {
    name: "looks at the keys of Maps",
    a: new Map([[{ a: 1 }, 1]]),
    b: new Map([[{ a: 2 }, 1]]),
    expected: false,
  },
  {
    name: "looks at the values of Maps",
    a: new Map([[1, [1]]]),
    b: new Map([[1, [2]]]),
    expected: false,
  },
  { name: "tells a Set from a larger one", a: new Set([1]), b: new Set([1, 2]), expected: false },
  {
    name: "looks at properties set on a Set",
    a: Object.assign(new Set(), { x: 1 }),
    b: new Set(),
    expected: false,
  },
  { name: "tells a Map from a Set", a: new Map(), b: new Set(), expected: false },
  { name: "follows cycles", a: ring("a"), b: ring("a"), expected: true },
  { name: "tells cycles apart", a: ring("a"), b: ring("b"), expected: false },
  { name: "compares functions by identity", a: () => 1, b: () => 1, expected: false },
  {
    name: "looks through weak references",
    a: new WeakRef({ a: 1 }),
    b: new WeakRef({ a: 1 }),
    expected: true,
  },
  {
    name: "takes stacks for a part of errors",
    a: new Error("a"),
    b: new Error("a"),
    expected: false,
  },
];

for (const { name, a, b, expected } of EQUAL) {
  test(`equal() ${name}`, () => {
    is(equal(a, b), expected);
    is(equal(b, a), expected);
  });
}

test("equal() throws on WeakMaps and WeakSets, unless it can tell them apart", () => {
  assertThrows(
    () => equal(new WeakMap(), new WeakMap()),
    TypeError,
    "Cannot compare WeakMap instances",
  );
  assertThrows(
    () => equal(new WeakSet(), new WeakSet()),
    TypeError,
    "Cannot compare WeakSet instances",
  );
  is(equal(new WeakMap(), new WeakSet()), false);
});

interface Row {
  name: string;
  passes: () => unknown;
  fails: (msg?: string) => unknown;
  /** How the message starts; what `msg` adds follows. */
  start: string;
}

const ROWS: Row[] = [
  {
    name: "assertEquals() compares deeply",
    passes: () => assertEquals({ a: [1] }, { a: [1] }),
    fails: (msg) => assertEquals({ a: [1] }, { a: [2] }, msg),
    start: "Values are not equal",
  },
  {
    name: "assertNotEquals() compares deeply",
    passes: () => assertNotEquals({ a: [1] }, { a: [2] }),
    fails: (msg) => assertNotEquals(1, 1, msg),
    start: "Expected actual: 1 not to be: 1",
  },
  {
    name: "assertStrictEquals() tells 0 from -0",
    passes: () => assertStrictEquals(NaN, NaN),
    fails: (msg) => assertStrictEquals(0, -0, msg),
    start: "Values are not strictly equal",
  },
  {
    name: "assertStrictEquals() compares by identity",
    passes: () => assertStrictEquals(ROWS, ROWS),
    fails: (msg) => assertStrictEquals({ a: 1 }, { a: 1 }, msg),
    start: "Values have the same structure but are not reference-equal",
  },
  {
    name: "assertExists() accepts all but null and undefined",
    passes: () => [0, "", false, NaN].forEach((value) => assertExists(value)),
    fails: (msg) => assertExists(undefined, msg),
    start: 'Expected actual: "undefined" to not be null or undefined',
  },
  {
    name: "assertMatch() tests the pattern",
    passes: () => assertMatch("abc", /b/),
    fails: (msg) => assertMatch("abc", /^b/, msg),
    start: 'Expected actual: "abc" to match: "/^b/"',
  },
  {
    name: "assertNotMatch() tests the pattern",
    passes: () => assertNotMatch("abc", /^b/),
    fails: (msg) => assertNotMatch("abc", /b/, msg),
    start: 'Expected actual: "abc" to not match: "/b/"',
  },
  {
    name: "assertStringIncludes() looks for a part",
    passes: () => assertStringIncludes("abc", "bc"),
    fails: (msg) => assertStringIncludes("abc", "ac", msg),
    start: 'Expected actual: "abc" to contain: "ac"',
  },
  {
    name: "assertArrayIncludes() looks for each item",
    passes: () => assertArrayIncludes([1, { a: 1 }, NaN], [NaN, { a: 1 }]),
    fails: (msg) => assertArrayIncludes([{ a: 1 }], [{ a: 2 }], msg),
    start: 'Expected actual: "[\n  {\n    a: 1,\n  },\n]" to include: "[\n  {\n    a: 2,\n  },\n]"',
  },
  {
    name: "assertInstanceOf() accepts subclasses",
    passes: () => assertInstanceOf(new Pixel(1), Point),
    fails: (msg) => assertInstanceOf(new Point(1), Pixel, msg),
    start: 'Expected object to be an instance of "Pixel" but was "Point"',
  },
  {
    name: "assertInstanceOf() refuses null",
    passes: () => assertInstanceOf([], Array),
    fails: (msg) => assertInstanceOf(null, Point, msg),
    start: 'Expected object to be an instance of "Point" but was "null"',
  },
  {
    name: "assertInstanceOf() refuses the class itself",
    passes: () => assertInstanceOf(Point, Function),
    fails: (msg) => assertInstanceOf(Point, Point, msg),
    start: 'Expected object to be an instance of "Point" but was not an instanced object',
  },
  {
    name: "assertObjectMatch() looks only at what is expected",
    passes: () =>
      assertObjectMatch(
        {
          a: 1,
          b: { c: [{ d: 1, e: 2 }, 3], f: new Map([["g", { h: 1, i: 2 }], ["j", { h: 1, i: 2 }]]) },
        },
        { b: { c: [{ d: 1 }], f: new Map([["g", { h: 1 }]]) } },
      ),
    fails: (msg) => assertObjectMatch({ a: { b: 1, c: 2 } }, { a: { b: 2 } }, msg),
    start: "Values are not equal",
  },
  {
    name: "assertObjectMatch() passes over classes",
    passes: () => assertObjectMatch(new Pixel(1), { x: 1 }),
    fails: (msg) => assertObjectMatch(new Pixel(1), { y: 1 }, msg),
    start: "Values are not equal",
  },
  {
    name: "assertIsError() looks at class and message",
    passes: () => assertIsError(new Refusal("no way"), Error, /WAY/i),
    fails: (msg) => assertIsError(new Error("no"), Refusal, undefined, msg),
    start: 'Expected error to be instance of "Refusal", but was "Error"',
  },
  {
    name: "assertThrows() wants an error",
    passes: () => assertThrows(() => fail()),
    fails: (msg) => assertThrows(() => "fine", msg),
    start: "Expected function to throw",
  },
  {
    name: "assertThrows() wants an error of the class",
    passes: () => assertThrows(() => fail(), Error),
    fails: (msg) => assertThrows(() => fail(), Refusal, undefined, msg),
    start: 'Expected error to be instance of "Refusal", but was "AssertionError"',
  },
  {
    name: "assertThrows() wants the text in the message",
    passes: () => assertThrows(() => fail("because"), Error, "because"),
    fails: (msg) => assertThrows(() => fail("because"), Error, "why", msg),
    start: 'Expected error message to include "why", but got "Failed assertion: because"',
  },
  {
    name: "assertThrows() wants an Error if it wants a class",
    passes: () =>
      assertThrows(() => {
        throw "text";
      }),
    fails: (msg) =>
      assertThrows(
        () => {
          throw "text";
        },
        Error,
        "text",
        msg,
      ),
    start: "A non-Error object was thrown",
  },
  { name: "fail() fails", passes: () => {}, fails: fail, start: "Failed assertion" },
  { name: "unreachable() fails", passes: () => {}, fails: unreachable, start: "Unreachable" },
];

for (const { name, passes, fails, start } of ROWS) {
  test(name, () => {
    passes();
    startsWith(failureOf(() => fails()), `${start}.`);
    startsWith(failureOf(() => fails("note")), `${start}: note`);
  });
}

test("assert() fails on what is falsy, with the message as it is", () => {
  for (const value of [1, "0", [], -1]) assert(value);
  for (const value of [0, "", null, undefined, NaN, 0n]) is(failureOf(() => assert(value)), "");
  is(failureOf(() => assert(false, "note")), "note");
});

test("assertFalse() fails on what is truthy, with the message as it is", () => {
  for (const value of [0, "", null, undefined, NaN, 0n]) assertFalse(value);
  is(failureOf(() => assertFalse({}, "note")), "note");
});

test("assertGreater() and the like compare, and msg replaces their message", () => {
  assertGreater(2, 1);
  assertGreaterOrEqual(1n, 1n);
  assertLess("a", "b");
  assertLessOrEqual(new Date(1), new Date(1));
  is(failureOf(() => assertGreater(1, 1)), "Expect 1 > 1");
  is(failureOf(() => assertGreaterOrEqual(1, 2)), "Expect 1 >= 2");
  is(failureOf(() => assertLess(1, 1)), "Expect 1 < 1");
  is(failureOf(() => assertLessOrEqual(2, 1, "note")), "note");
});

test("assertEquals() shows both values", () => {
  const message = failureOf(() =>
    assertEquals({ same: 0, a: "actual" }, { same: 0, a: "expected" })
  );
  assertStringIncludes(message, "actual");
  assertStringIncludes(message, "expected");
  assertStringIncludes(message, "same: 0");
});

test("assertArrayIncludes() names what is missing", () => {
  assertStringIncludes(failureOf(() => assertArrayIncludes([1, 2], [2, 3])), "missing: [\n  3,\n]");
});

test("assertObjectMatch() says what it cannot look into", () => {
  const nothing = null as unknown as Record<string, unknown>;
  assertThrows(() => assertObjectMatch(nothing, {}), TypeError, "Cannot assertObjectMatch null");
});

for (
  const { name, has, wants, lacks } of [
    { name: "dates", has: new Date(1), wants: new Date(1), lacks: new Date(2) },
    { name: "patterns", has: /a/, wants: /a/, lacks: /b/ },
    { name: "Sets", has: new Set([1, 2]), wants: new Set([2]), lacks: new Set([3]) },
    {
      name: "Maps",
      has: new Map([[1, 1], [2, 2]]),
      wants: new Map([[2, 2]]),
      lacks: new Map([[2, 3]]),
    },
    { name: "arrays", has: [1, 2], wants: [1], lacks: [2] },
  ]
) {
  test(`assertObjectMatch() looks into ${name}`, () => {
    assertObjectMatch({ has, list: [structuredClone(has)] }, {
      has: wants,
      list: [structuredClone(wants)],
    });
    startsWith(
      failureOf(() => assertObjectMatch({ has }, { has: lacks })),
      "Values are not equal.",
    );
    startsWith(
      failureOf(() => assertObjectMatch({ list: [has] }, { list: [lacks] })),
      "Values are not equal.",
    );
  });
}

test("assertObjectMatch() follows cycles", () => {
  assertObjectMatch(ring("a"), ring("a"));
  startsWith(failureOf(() => assertObjectMatch(ring("a"), ring("b"))), "Values are not equal.");
});

test("assertThrows() returns the error", () => {
  const refusal = new Refusal("no");
  const thrown: Refusal = assertThrows(() => {
    throw refusal;
  }, Refusal);
  is(thrown, refusal);
});

test("assertThrows() passes over colours in the message", () => {
  assertThrows(() => fail("\x1b[31mre\x1b[39md"), Error, "red");
});

test("assertRejects() returns the error", async () => {
  const refusal = new Refusal("no");
  const error: Refusal = await assertRejects(() => Promise.reject(refusal), Refusal, "no");
  is(error, refusal);
  is(await assertRejects(() => Promise.reject("text")), "text");
});

const REJECTS = [
  {
    name: "wants a rejection",
    fn: (msg?: string) => assertRejects(() => Promise.resolve(), msg),
    start: "Expected function to reject",
  },
  {
    name: "does not take a throw for a rejection",
    fn: (msg?: string) => assertRejects(() => fail(), msg),
    start: "Function throws when expected to reject",
  },
  {
    name: "wants a promise",
    fn: (msg?: string) => assertRejects(() => 1 as unknown as Promise<void>, msg),
    start: "Function throws when expected to reject",
  },
  {
    name: "wants an error of the class",
    fn: (msg?: string) => assertRejects(() => Promise.reject(new Error()), Refusal, undefined, msg),
    start: 'Expected error to be instance of "Refusal", but was "Error"',
  },
  {
    name: "wants the text in the message",
    fn: (msg?: string) => assertRejects(() => Promise.reject(new Error("a")), Error, "b", msg),
    start: 'Expected error message to include "b", but got "a"',
  },
  {
    name: "wants an Error if it wants a class",
    fn: (msg?: string) => assertRejects(() => Promise.reject("text"), Error, "text", msg),
    start: "A non-Error object was rejected",
  },
];

for (const { name, fn, start } of REJECTS) {
  test(`assertRejects() ${name}`, async () => {
    startsWith(await rejectionOf(() => fn()), `${start}.`);
    startsWith(await rejectionOf(() => fn("note")), `${start}: note`);
  });
}

test("AssertionError() has its name and a cause", () => {
  const error = new AssertionError("no", { cause: symbol });
  is(error.name, "AssertionError");
  is(error.cause, symbol);
  is(error instanceof Error, true);
});

test("assert() and its like narrow types", () => {
  const value: string | undefined = ["a"].at(0);
  assert(value);
  is(value.length, 1);
  const other: Point | undefined = [new Pixel(1)].at(0);
  assertExists(other);
  is(other.x, 1);
  const any: unknown = new Pixel(1);
  assertInstanceOf(any, Pixel);
  is(any.x, 1);
  const text: unknown = "a";
  assertStrictEquals(text, "a" as const);
  const same: "a" = text;
  is(same, "a");
});

test("assertEquals() is in the package and in its own module", () => is(fromSubpath, assertEquals));
