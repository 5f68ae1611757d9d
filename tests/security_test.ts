/** SECURITY.md names a test for each promise: it must be there. */
import { assert, assertGreater, assertStringIncludes } from "@std/assert";
import { filesIn, readSource } from "./sources.ts";

const text = readSource("SECURITY.md");
const rows = text.slice(text.indexOf("## Limits")).split("\n").filter((line) =>
  line.startsWith("| ") && !line.startsWith("| promise") && !line.startsWith("| ---")
);

Deno.test("SECURITY.md names a test for each promise, by the file and the name that it has", () => {
  assertGreater(rows.length, 20);
  for (const row of rows) {
    const cited = [...row.matchAll(/`(tests\/[^`]+_test\.ts)`(?:: («[^»]+»(?:, «[^»]+»)*))?/g)];
    assert(cited.length > 0, `a promise without a test: ${row}`);
    for (const [, file = "", names = ""] of cited) {
      const source = readSource(file);
      for (const [, name = ""] of names.matchAll(/«([^»]+)»/g)) {
        assertStringIncludes(source, name, `of ${file}`);
      }
    }
    const last = row.split(" | ").at(-1)!;
    assert(!/`tests\/[^`]*(?<!_test\.ts)`/.test(last), `a folder is no test: ${row}`);
  }
});

Deno.test("SECURITY.md tells what every hostile test is for", () => {
  for (const path of ["tests/hostile", "tests/chaos"].flatMap(filesIn)) {
    if (path.endsWith("_test.ts")) assertStringIncludes(rows.join("\n"), path);
  }
});
