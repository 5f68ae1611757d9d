import { assert, assertEquals, assertGreater } from "@std/assert";

const LIB = new URL("../lib/", import.meta.url);
const PURE = [
  "authority.ts",
  "config.ts",
  "connect_request.ts",
  "flags.ts",
  "linked_list.ts",
  "policy.ts",
  "refusal.ts",
  "remap.ts",
  "usage.ts",
  "values.ts",
];

const files = [...Deno.readDirSync(LIB)].map(({ name }) => name).toSorted();
const sources = new Map(files.map((name) => [name, Deno.readTextFileSync(new URL(name, LIB))]));

/** Without comments: what is said of a module is no import of it. */
function codeOf(name: string): string {
  return (sources.get(name) ?? "").replace(/^\s*(?:\/\*[^]*?\*\/|\/\/.*)$/gm, "");
}

/** What a file imports, of all the ways to write it. */
function importsOf(name: string): string[] {
  const found = codeOf(name).matchAll(/\b(?:from|import)\s*\(?\s*["'`]([^"'`\s]+)["'`]/g);
  return [...found].map(([, specifier = ""]) => specifier);
}

Deno.test("lib/ has the pure files, and their imports are found", () => {
  for (const name of PURE) assert(files.includes(name), name);
  assertEquals(importsOf("connect_request.ts"), ["./authority.ts", "./refusal.ts"]);
  assertGreater(files.flatMap(importsOf).length, files.length);
});

Deno.test("pure files never mention Deno", () => {
  for (const name of PURE) assertEquals(sources.get(name)?.match(/\bDeno\./), null, name);
});

Deno.test("pure files import only each other and @std", () => {
  for (const name of PURE) {
    for (const specifier of importsOf(name)) {
      const isPure = PURE.some((pure) => specifier === `./${pure}`);
      assert(isPure || specifier.startsWith("@std/"), `${name} imports ${specifier}`);
    }
  }
});

Deno.test("imports in lib/ stay in lib/, @std and node:", () => {
  for (const name of files) {
    for (const specifier of importsOf(name)) {
      const inLib = specifier.startsWith("./") && files.includes(specifier.slice(2));
      assert(inLib || /^(?:@std\/|node:)/.test(specifier), `${name} imports ${specifier}`);
    }
  }
});

/** The files of a circle of imports that begins at the last of `path`; empty when there is none. */
function circleFrom(path: readonly string[]): readonly string[] {
  const last = path.at(-1)!;
  const begin = path.indexOf(last);
  if (begin < path.length - 1) return path.slice(begin);
  return importsOf(last)
    .filter((specifier) => specifier.startsWith("./"))
    .map((specifier) => circleFrom([...path, specifier.slice(2)]))
    .find((circle) => circle.length > 0) ?? [];
}

Deno.test("imports in lib/ point down only: there is no circle", () => {
  for (const name of files) assertEquals(circleFrom([name]), [], name);
});

Deno.test("every file in lib/ begins by saying what it is for", () => {
  for (const name of files) assert(sources.get(name)?.startsWith("/**"), name);
});
