/** What a file may import, and which rooms never touch the runtime. The rooms are the folders of lib/. */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { filesIn, readSource } from "./sources.ts";

/** From the top down: a file imports from its own room and from those below it. */
const ROOMS = [".", "commands", "workers", "proxy", "telemetry", "config", "protocol"];
/** Same bytes in, same value out: nothing in them reads, waits or asks the machine. */
const PURE_ROOMS = ["config", "protocol"];

const files = filesIn("lib").map((path) => path.slice("lib/".length));
const sources = new Map(files.map((file) => [file, readSource(`lib/${file}`)]));

/** The folder of lib/ that it lies in, however deep. */
function roomOf(file: string): string {
  return file.includes("/") ? file.slice(0, file.indexOf("/")) : ".";
}

/** Without comments: what is said of a module is no import of it. */
function codeOf(file: string): string {
  return (sources.get(file) ?? "").replace(/^\s*(?:\/\*[^]*?\*\/|\/\/.*)$/gm, "");
}

/** What a file imports, of all the ways to write it. */
function specifiersOf(file: string): string[] {
  const found = codeOf(file).matchAll(/\b(?:from|import)\s*\(?\s*["'`]([^"'`\s]+)["'`]/g);
  return [...found].map(([, specifier = ""]) => specifier);
}

/** The files of lib/ that a file imports, by their path in lib/. */
function importsOf(file: string): string[] {
  const base = new URL(file, "file:///lib/");
  return specifiersOf(file)
    .filter((specifier) => specifier.startsWith("."))
    .map((specifier) => new URL(specifier, base).pathname.slice("/lib/".length));
}

Deno.test("lib/ has the rooms, and their imports are found", () => {
  assertEquals(new Set(files.map(roomOf)), new Set(ROOMS), "a folder of lib/ that is no room");
  assertEquals(importsOf("protocol/connect_request.ts"), [
    "protocol/address.ts",
    "protocol/authority.ts",
    "protocol/refusal.ts",
  ]);
  assertGreater(files.flatMap(importsOf).length, files.length);
});

Deno.test("config and protocol never mention Deno", () => {
  for (const file of files.filter((file) => PURE_ROOMS.includes(roomOf(file)))) {
    assertEquals(
      codeOf(file).match(/\bDeno\b/),
      null,
      `lib/${file} mentions Deno: take what it needs as a parameter, or move it to another room`,
    );
  }
});

Deno.test("imports in lib/ stay in lib/, @std and node:", () => {
  for (const file of files) {
    for (const specifier of specifiersOf(file)) {
      const isKnown = /^(?:\.{1,2}\/|@std\/|node:)/.test(specifier);
      assert(isKnown, `lib/${file} imports ${specifier}: add it to deno.json's imports first`);
    }
    for (const target of importsOf(file)) {
      assert(sources.has(target), `lib/${file} imports ${target}, which is no file of lib/`);
    }
  }
});

Deno.test("a room imports only from itself and from the rooms below it", () => {
  for (const file of files) {
    for (const target of importsOf(file)) {
      const from = roomOf(file), to = roomOf(target);
      const pointsDown = ROOMS.indexOf(to) >= ROOMS.indexOf(from);
      assert(
        pointsDown,
        `lib/${file} imports lib/${target}, but ${from} lies below ${to}: ` +
          `move what both need to the lower room, or pass it in as a parameter`,
      );
    }
  }
});

/** The files of a circle of imports that begins at the last of `path`; empty when there is none. */
function circleFrom(path: readonly string[]): readonly string[] {
  const last = path.at(-1)!;
  const begin = path.indexOf(last);
  if (begin < path.length - 1) return path.slice(begin);
  return importsOf(last)
    .map((target) => circleFrom([...path, target]))
    .find((circle) => circle.length > 0) ?? [];
}

Deno.test("imports in lib/ make no circle", () => {
  for (const file of files) {
    assertEquals(circleFrom([file]), [], `a circle of imports: move what is shared to a new file`);
  }
});

Deno.test("every file in lib/ begins by saying what it is for", () => {
  for (const file of files) {
    assert(sources.get(file)?.startsWith("/**"), `lib/${file} does not begin with a doc comment`);
  }
});

const helpers = filesIn("tests").filter((path) =>
  path.endsWith(".ts") && !path.endsWith("_test.ts")
);

Deno.test("every helper in tests/ begins by saying what it is for", () => {
  assertGreater(helpers.length, 20);
  for (const path of helpers) {
    assert(readSource(path).startsWith("/**"), `${path} does not begin with a doc comment`);
  }
});

Deno.test("everything that tests/harness/ exports has a doc comment", () => {
  for (const path of helpers.filter((path) => path.startsWith("tests/harness/"))) {
    const bare = /(?<!\*\/\n)^export (?!type \{|\{)(?:declare |async |abstract )*\w+ (\w+)/m
      .exec(readSource(path));
    assertEquals(bare?.[1], undefined, `what is it? ${path} exports it without a doc comment`);
  }
});
