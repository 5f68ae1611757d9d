/** SECURITY.md names a test for each promise: it must be there. */
import { assert, assertGreater, assertStringIncludes } from "@std/assert";

const ROOT = new URL("../", import.meta.url);
const text = Deno.readTextFileSync(new URL("SECURITY.md", ROOT));
const rows = text.slice(text.indexOf("## Limits")).split("\n").filter((line) =>
  line.startsWith("| ") && !line.startsWith("| promise") && !line.startsWith("| ---")
);

Deno.test("SECURITY.md names a test for each promise, by the file and the name that it has", () => {
  assertGreater(rows.length, 20);
  for (const row of rows) {
    const cited = [...row.matchAll(/`(tests\/[^`]+_test\.ts)`(?:: («[^»]+»(?:, «[^»]+»)*))?/g)];
    assert(cited.length > 0, `a promise without a test: ${row}`);
    for (const [, file = "", names = ""] of cited) {
      const source = Deno.readTextFileSync(new URL(file, ROOT));
      for (const [, name = ""] of names.matchAll(/«([^»]+)»/g)) {
        assertStringIncludes(source, name, `of ${file}`);
      }
    }
    const last = row.split(" | ").at(-1)!;
    assert(!/`tests\/[^`]*(?<!_test\.ts)`/.test(last), `a folder is no test: ${row}`);
  }
});

Deno.test("SECURITY.md tells what every hostile test is for", () => {
  for (const folder of ["tests/hostile/", "tests/chaos/"]) {
    for (const { name } of Deno.readDirSync(new URL(folder, ROOT))) {
      if (name.endsWith("_test.ts")) assertStringIncludes(rows.join("\n"), folder + name);
    }
  }
});
