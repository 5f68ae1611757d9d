/** What the README says of flags and answers is what the code has. */
import { assert, assertEquals } from "@std/assert";
import { type Flag, FLAGS } from "../lib/config/flags.ts";
import { REFUSALS } from "../lib/protocol/refusal.ts";
import { filesIn, readSource } from "./sources.ts";

const README = readSource("README.md");

/** The cells of all table rows, without padding and code marks. */
const ROWS = README.split("\n").filter((line) => line.startsWith("|"))
  .map((line) =>
    line.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim().replace(/`|\\(?=\|)/g, ""))
  );

Deno.test("README tells every flag with its value, default and meaning, and no other", () => {
  const told = ROWS.filter(([first]) => /^--[a-z-]+ [A-Z]/.test(first!));
  const flags = Object.entries<Flag>(FLAGS).map(([name, flag]) => [
    `--${name} ${flag.value}`,
    flag.fallbackHelp ?? (flag.fallback || "none"),
    flag.help.replaceAll("`", ""),
  ]);
  assertEquals(told, flags);
});

Deno.test("README tells every answer with its status and phrase", () => {
  for (const { status, phrase } of Object.values(REFUSALS)) {
    const row = ROWS.find((cells) => cells[0] === String(status) && cells.includes(phrase));
    assert(row !== undefined, `${status} ${phrase}`);
  }
});

Deno.test("README tells every log line", () => {
  const sources = filesIn("lib").map(readSource);
  const call = /\blog\((?:"\w+"|level), "([^"]+)"/gi;
  const logged = sources.flatMap((text) => [...text.matchAll(call)].map(([, msg]) => msg!));
  assert(logged.includes("tunnel") && logged.includes("refused"));
  const told = new Set(ROWS.map(([first]) => first));
  for (const msg of logged) assert(told.has(msg), msg);
});
