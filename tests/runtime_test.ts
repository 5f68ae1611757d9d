import { assertEquals, assertMatch } from "@std/assert";
import { runtimeMistake } from "../lib/runtime.ts";

for (
  const release of ["2.9.5", "2.9.6", "2.9.10", "2.10.0", "3.0.0", "2.9.5+1a2b3c", "2.10.0-rc.1"]
) {
  Deno.test(`runtimeMistake() takes Deno ${release}`, () => {
    assertEquals(runtimeMistake(release), undefined);
  });
}

for (const release of ["2.9.4", "2.9.4+1a2b3c", "2.6.10", "2.8.99", "1.46.3"]) {
  Deno.test(`runtimeMistake() refuses Deno ${release}, in one line that says why`, () => {
    assertMatch(
      runtimeMistake(release)!,
      /^Deno [\da-c.+]+ is too old: api-server-proxy needs 2\.9\.5 or later; .* write .*$/,
    );
  });
}
