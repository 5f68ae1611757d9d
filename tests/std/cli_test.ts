import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { type Args, parseArgs, type ParseOptions } from "@std/cli/parse-args";

const { test } = Deno;

interface Row {
  name: string;
  args: string[];
  options?: ParseOptions;
  expected: Record<string, unknown>;
}

const ROWS: Row[] = [
  // long flags
  {
    name: "takes the next argument for the value",
    args: ["--a", "x"],
    expected: { a: "x", _: [] },
  },
  { name: "takes what follows = for the value", args: ["--a=x=y"], expected: { a: "x=y", _: [] } },
  { name: "keeps an empty value after =", args: ["--a=", "x"], expected: { a: "", _: ["x"] } },
  { name: "keeps newlines in a value", args: ["--a=x\ny"], expected: { a: "x\ny", _: [] } },
  {
    name: "reads a flag before a flag as true",
    args: ["--a", "--b"],
    expected: { a: true, b: true, _: [] },
  },
  {
    name: "reads a flag before a lone dash as true",
    args: ["--a", "-"],
    expected: { a: true, _: ["-"] },
  },
  {
    name: "reads a flag before an empty argument as true",
    args: ["--a", ""],
    expected: { a: true, _: [""] },
  },
  { name: "lets the last value count", args: ["--a=1", "--a=2"], expected: { a: 2, _: [] } },
  {
    name: "reads --no-x as a key of that name unless x is negatable",
    args: ["--no-x"],
    expected: { "no-x": true, _: [] },
  },
  {
    name: "lets --no-x take a value unless x is negatable",
    args: ["--no-x", "1"],
    expected: { "no-x": 1, _: [] },
  },
  { name: "reads --no-x=y as --x=y", args: ["--no-x=y"], expected: { x: "y", _: [] } },
  { name: "reads --no- as a flag", args: ["--no-"], expected: { "no-": true, _: [] } },
  { name: "reads --=x as a flag named =x", args: ["--=x"], expected: { "=x": true, _: [] } },
  {
    name: "reads dots as nested objects",
    args: ["--a.b=1", "--a.c.d", "x"],
    expected: { a: { b: 1, c: { d: "x" } }, _: [] },
  },
  // short flags
  {
    name: "reads letters after one dash as flags",
    args: ["-abc"],
    expected: { a: true, b: true, c: true, _: [] },
  },
  {
    name: "gives the value to the last letter",
    args: ["-abc", "x"],
    expected: { a: true, b: true, c: "x", _: [] },
  },
  { name: "reads -n5 as a value", args: ["-n5"], expected: { n: 5, _: [] } },
  { name: "reads -n-5 as a value", args: ["-n-5"], expected: { n: -5, _: [] } },
  { name: "reads -a=x as a value", args: ["-a=x"], expected: { a: "x", _: [] } },
  {
    name: "gives an assigned value to the first letter",
    args: ["-abc=x"],
    expected: { a: "x", _: [] },
  },
  {
    name: "gives an empty assigned value to the last letter",
    args: ["-abc="],
    expected: { a: true, b: true, c: "", _: [] },
  },
  {
    name: "gives the first letter all that ends in a digit",
    args: ["-abc5"],
    expected: { a: "bc5", _: [] },
  },
  {
    name: "ends the letters at a sign",
    args: ["-xI/usr/lib"],
    expected: { x: true, I: "/usr/lib", _: [] },
  },
  {
    name: "reads a sign at the end as a flag",
    args: ["-a+", "x"],
    expected: { a: true, "+": "x", _: [] },
  },
  {
    name: "reads a dash after letters as the value",
    args: ["-ab-"],
    expected: { a: true, b: "-", _: [] },
  },
  { name: "reads digits as flags", args: ["-12", "x"], expected: { 1: true, 2: "x", _: [] } },
  { name: "lets a short flag take a lone dash", args: ["-a", "-"], expected: { a: "-", _: [] } },
  {
    name: "lets a short flag take three dashes",
    args: ["-a", "---"],
    expected: { a: "---", _: [] },
  },
  {
    name: "lets no short flag take a flag",
    args: ["-a", "-b", "-c", "--d"],
    expected: { a: true, b: true, c: true, d: true, _: [] },
  },
  // values
  {
    name: "turns numbers into numbers",
    args: ["--a=1.5", "--b=-2", "--c=0x10", "--d=1e3", "7"],
    expected: { a: 1.5, b: -2, c: 16, d: 1000, _: [7] },
  },
  {
    name: "leaves other text alone",
    args: ["--a=10f", "--b=Infinity", "--c= ", "1.2.3"],
    expected: { a: "10f", b: "Infinity", c: " ", _: ["1.2.3"] },
  },
  {
    name: "leaves the text of true and false alone",
    args: ["--a=true", "--b", "false"],
    expected: { a: "true", b: "false", _: [] },
  },
  // operands
  { name: "puts what is no flag into _", args: ["x", "-", "y"], expected: { _: ["x", "-", "y"] } },
  {
    name: "puts what follows -- into _ as it is",
    args: ["--a", "--", "-b", "1", "--"],
    expected: { a: true, _: ["-b", "1", "--"] },
  },
  // options
  {
    name: "puts what follows -- into its own property",
    args: ["x", "--", "-b"],
    options: { "--": true },
    expected: { _: ["x"], "--": ["-b"] },
  },
  {
    name: "makes that property without -- too",
    args: ["x"],
    options: { "--": true },
    expected: { _: ["x"], "--": [] },
  },
  {
    name: "stops at the first operand",
    args: ["--a=1", "x", "--b", "2"],
    options: { stopEarly: true },
    expected: { a: 1, _: ["x", "--b", "2"] },
  },
  {
    name: "keeps the text of a string flag",
    args: ["--a=007", "-b5"],
    options: { string: ["a", "b"] },
    expected: { a: "007", b: "5", _: [] },
  },
  {
    name: "reads a string flag without a value as empty",
    args: ["-ab", "--c"],
    options: { string: ["a", "b", "c"] },
    expected: { a: "", b: "", c: "", _: [] },
  },
  {
    name: "leaves a string flag out if it is not given",
    args: [],
    options: { string: "a" },
    expected: { _: [] },
  },
  {
    name: "keeps the text of operands",
    args: ["1"],
    options: { string: "_" },
    expected: { _: ["1"] },
  },
  {
    name: "gives a boolean flag no value",
    args: ["--a", "x", "-b", "y"],
    options: { boolean: ["a", "b"] },
    expected: { a: true, b: true, _: ["x", "y"] },
  },
  {
    name: "lets a boolean flag take true and false",
    args: ["--a", "false", "-b", "true"],
    options: { boolean: ["a", "b"] },
    expected: { a: false, b: true, _: [] },
  },
  {
    name: "reads any value of a boolean flag but false as true",
    args: ["--a=false", "--b=0"],
    options: { boolean: ["a", "b"] },
    expected: { a: false, b: true, _: [] },
  },
  {
    name: "sets a boolean flag to false if it is not given",
    args: [],
    options: { boolean: ["a", "b.c"] },
    expected: { a: false, b: { c: false }, _: [] },
  },
  {
    name: "takes every long flag for boolean",
    args: ["--a", "x", "--b=y", "-c", "z"],
    options: { boolean: true },
    expected: { a: true, b: "y", c: "z", _: ["x"] },
  },
  {
    name: "collects values",
    args: ["--a=1", "-a", "x", "--a"],
    options: { collect: "a" },
    expected: { a: [1, "x", true], _: [] },
  },
  {
    name: "collects one value into an array",
    args: ["--a=x"],
    options: { collect: ["a"], string: ["a"] },
    expected: { a: ["x"], _: [] },
  },
  {
    name: "starts a collected string flag with no values",
    args: [],
    options: { collect: ["a", "b", "c"], string: "a", boolean: "b" },
    expected: { a: [], b: [], _: [] },
  },
  {
    name: "collects dotted flags",
    args: ["--a.b=1", "--a.b=2"],
    options: { collect: "a.b" },
    expected: { a: { b: [1, 2] }, _: [] },
  },
  {
    name: "lets --no-x discard what was collected",
    args: ["--a=1", "--no-a"],
    options: { collect: "a", negatable: "a" },
    expected: { a: false, _: [] },
  },
  {
    name: "collects anew after --no-x",
    args: ["--a=1", "--no-a", "--a=2"],
    options: { collect: "a", negatable: "a" },
    expected: { a: [2], _: [] },
  },
  {
    name: "reads --no-x as false if x is negatable",
    args: ["--no-x", "y"],
    options: { negatable: "x" },
    expected: { x: false, _: ["y"] },
  },
  {
    name: "lets the last of --x and --no-x count",
    args: ["--no-x", "--x"],
    options: { boolean: "x", negatable: ["x"] },
    expected: { x: true, _: [] },
  },
  {
    name: "negates aliases",
    args: ["--no-x"],
    options: { negatable: "x", alias: { x: "y" } },
    expected: { x: false, y: false, _: [] },
  },
  {
    name: "sets all aliases",
    args: ["--b=1"],
    options: { alias: { a: ["b", "c"] } },
    expected: { a: 1, b: 1, c: 1, _: [] },
  },
  {
    name: "gives aliases the kind of the flag",
    args: ["-f", "1", "-v", "x"],
    options: { alias: { f: "file", verbose: "v" }, string: "file", boolean: "verbose" },
    expected: { f: "1", file: "1", v: true, verbose: true, _: ["x"] },
  },
  {
    name: "collects under all aliases",
    args: ["-a", "1", "--all", "2"],
    options: { alias: { a: "all" }, collect: "a" },
    expected: { a: [1, 2], all: [1, 2], _: [] },
  },
  {
    name: "fills in defaults",
    args: ["--a=1"],
    options: { default: { a: 0, b: "x", c: null } },
    expected: { a: 1, b: "x", c: null, _: [] },
  },
  {
    name: "does not convert defaults",
    args: [],
    options: { default: { a: "1" } },
    expected: { a: "1", _: [] },
  },
  {
    name: "fills in defaults of aliases",
    args: [],
    options: { alias: { a: "b" }, default: { a: 1 } },
    expected: { a: 1, b: 1, _: [] },
  },
  {
    name: "fills in dotted defaults",
    args: ["--a.b=1"],
    options: { default: { "a.b": 0, "a.c": 2 } },
    expected: { a: { b: 1, c: 2 }, _: [] },
  },
  {
    name: "does not merge objects into defaults",
    args: ["--a.b=1"],
    options: { default: { a: { c: 2 } } },
    expected: { a: { b: 1 }, _: [] },
  },
  {
    name: "prefers a default to false",
    args: [],
    options: { boolean: "a", default: { a: true } },
    expected: { a: true, _: [] },
  },
];

for (const { name, args, options, expected } of ROWS) {
  test(`parseArgs() ${name}`, () => assertEquals(parseArgs(args, options), expected));
}

test("parseArgs() asks unknown() about all that no option names", () => {
  const asked: unknown[][] = [];
  const result = parseArgs(["--s=1", "-b", "--al", "--c", "x", "--new", "2", "-n5", "op"], {
    string: "s",
    boolean: "b",
    collect: "c",
    alias: { a: "al" },
    unknown: (...question) => {
      asked.push(question);
      return false;
    },
  });
  assertEquals(asked, [["--new", "new", "2"], ["-n5", "n", "5"], ["op"]]);
  assertEquals(result, { s: "1", b: true, a: true, al: true, c: ["x"], _: [] });
});

test("parseArgs() leaves out only what unknown() answers with false", () => {
  const options = { unknown: (arg: string) => arg.includes("no") ? false : undefined };
  assertEquals(parseArgs(["yes", "nono", "--nono=1", "--yes"], options), { yes: true, _: ["yes"] });
});

test("parseArgs() asks unknown() about flags with a value even if all are boolean", () => {
  const asked: string[] = [];
  parseArgs(["--a", "--b=1", "-c"], { boolean: true, unknown: (arg) => asked.push(arg) });
  assertEquals(asked, ["--b=1", "-c"]);
});

test("parseArgs() does not ask unknown() about what follows -- or an early stop", () => {
  const asked: string[] = [];
  parseArgs(["x", "y", "--", "z"], { stopEarly: true, unknown: (arg) => asked.push(arg) });
  assertEquals(asked, ["x"]);
});

test("parseArgs() reaches no prototype", () => {
  const result = parseArgs([
    "--__proto__.a=1",
    "--constructor.prototype.b=1",
    "--x.__proto__.c=1",
    "--__proto__=1",
  ]);
  const fresh: Record<string, unknown> = {};
  assertEquals([fresh.a, fresh.b, fresh.c], [undefined, undefined, undefined]);
  assertStrictEquals(Object.getPrototypeOf(result), Object.prototype);
  assertEquals(result, { x: {}, _: [] });
});

test("parseArgs() sets flags that have the names of inherited methods", () => {
  assertEquals(parseArgs(["--toString", "--valueOf=1"]), { toString: true, valueOf: 1, _: [] });
});

test("parseArgs() throws on a flag that is both a value and an object", () => {
  assertThrows(() => parseArgs(["--a=1", "--a.b=2"]), TypeError);
});

test("parseArgs() throws on an alias without a name", () => {
  const alias = { a: undefined } as unknown as Record<string, string>;
  assertThrows(() => parseArgs([], { alias }), TypeError, "Alias value must be defined");
});

test("parseArgs() leaves its arguments as they are", () => {
  const args = Object.freeze(["--a=1", "x", "--", "y"]);
  const options = Object.freeze({
    collect: Object.freeze(["a"] as const),
    default: Object.freeze({ b: 1 }),
  });
  assertEquals(parseArgs(args, options), { a: [1], b: 1, _: ["x", "y"] });
});

// What follows is for the type checker: it fails to compile if a result's type is another.

type Equals<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true
  : false;
type Operands = Array<string | number>;

/** Compiles only if `Actual`, the type of `value`, is `Expected`. Curried, since one of them is given and one inferred. */
function hasType<Expected>() {
  return <Actual>(_value: Actual, same: Equals<Actual, Expected>) => assertEquals(same, true);
}

test("parseArgs() has results of any type without options", () => {
  // deno-lint-ignore no-explicit-any -- it is what the test is about
  hasType<{ [x: string]: any; _: Operands }>()(parseArgs([]), true);
});

test("parseArgs() has results of unknown type for flags that no option names", () => {
  const { other } = parseArgs([], { string: ["a"] });
  hasType<unknown>()(other, true);
  hasType<{ [x: string]: unknown; _: Operands }>()(parseArgs([], { boolean: true }), true);
});

test("parseArgs() has a type for flags of each kind", () => {
  const result = parseArgs([], {
    boolean: ["b"],
    string: ["s", "c"],
    collect: ["c", "u"],
    negatable: ["s", "u"],
  });
  hasType<
    {
      [x: string]: unknown;
      b: boolean;
      s?: string | false;
      c: string[];
      u: false | unknown[];
      _: Operands;
    }
  >()(result, true);
});

test("parseArgs() has a type for dotted flags", () => {
  const result = parseArgs([], { boolean: ["a.b"], string: ["a.s", "t.s"] });
  hasType<
    { [x: string]: unknown; a: { b: boolean; s?: string }; t?: { s?: string }; _: Operands }
  >()(result, true);
});

test("parseArgs() has a type for flags with defaults", () => {
  const result = parseArgs([], {
    string: ["a", "b", "c.d"],
    default: { a: "x", b: 1, "c.d": true, e: 2 },
  });
  hasType<string>()(result.a, true);
  hasType<string | number>()(result.b, true);
  hasType<{ d: string | boolean }>()(result.c, true);
  hasType<unknown>()(result.e, true);
});

test("parseArgs() has a type for aliases", () => {
  const result = parseArgs([], {
    boolean: ["help"],
    string: ["to"],
    alias: { help: "h", to: ["t", "into"] },
  });
  hasType<
    {
      [x: string]: unknown;
      help: boolean;
      h: boolean;
      to?: string;
      t?: string;
      into?: string;
      _: Operands;
    }
  >()(result, true);
});

test("parseArgs() has a type for what follows --", () => {
  const maybe: boolean = Deno.args.length > 0;
  hasType<string[]>()(parseArgs([], { string: "a", "--": true })["--"], true);
  hasType<string[] | undefined>()(parseArgs([], { string: "a", "--": maybe })["--"], true);
  hasType<unknown>()(parseArgs([], { string: "a", "--": false })["--"], true);
  hasType<unknown>()(parseArgs([], { string: "a" })["--"], true);
});

test("parseArgs() has a type for flags whose names are not known", () => {
  const names: string[] = ["a"];
  const result = parseArgs([], { string: names, collect: names });
  hasType<string[]>()(result.a!, true);
});

test("parseArgs() returns Args", () => {
  const result: Args = parseArgs(["--a"]);
  assertEquals(result, { a: true, _: [] });
});
