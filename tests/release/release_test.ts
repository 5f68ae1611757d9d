/** What stands in several places and must be the same: the version, Deno's release, permissions. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import project from "../../deno.json" with { type: "json" };
import { filesIn, inRoot, readSource } from "../sources.ts";
import { test } from "../harness/test.ts";

/** Makes a program believe that it runs on an old release. */
const OLD_DENO = "data:text/javascript," + encodeURIComponent(
  `Object.defineProperty(Deno, "version", { value: { ...Deno.version, deno: "2.9.4" } });`,
);

for (const [what, program] of [["the program", "main.ts"], ["compile", "release/compile.ts"]]) {
  test(`${what} refuses a Deno that is too old in one line, and ends with 2`, async () => {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-prompt", "--allow-env", `--preload=${OLD_DENO}`, program!],
      cwd: inRoot(""),
      env: { NO_COLOR: "1" },
    }).output();
    const text = new TextDecoder();
    assertEquals({ code, stdout: text.decode(stdout) }, { code: 2, stdout: "" });
    assertMatch(text.decode(stderr), /^Deno 2\.9\.4 is too old: .* 2\.9\.5 or later; .*\n$/);
  });
}

test("the version of deno.json is that of the chart, the image and the manifest", () => {
  const chart = readSource("deploy/helm/api-server-proxy/Chart.yaml");
  const manifest = readSource("deploy/api-server-proxy.yaml");
  const versions: Record<string, (string | undefined)[]> = {
    "Chart.yaml, version": [/^version: (.*)$/m.exec(chart)?.[1]],
    "Chart.yaml, appVersion": [/^appVersion: "(.*)"$/m.exec(chart)?.[1]],
    Dockerfile: [/^ARG VERSION=(.*)$/m.exec(readSource("Dockerfile"))?.[1]],
    "api-server-proxy.yaml (deno task manifests)": [
      ...manifest.matchAll(/app\.kubernetes\.io\/version: "?([^"\n]*)|api-server-proxy:([\d.]+)"/g),
    ].map(([, label, tag]) => label ?? tag),
  };
  for (const [where, found] of Object.entries(versions)) {
    assert(found.length > 0, where);
    for (const version of found) assertEquals(version, project.version, where);
  }
});

test("the compiled program may do what `start` may, but for reading its own code", () => {
  const { read: _, ...start } = project.permissions.start;
  const { import: _import, ...compiled } = project.compile.permissions;
  assertEquals(compiled, start);
});

test("Deno's release is everywhere that of .dvmrc", () => {
  const release = readSource(".dvmrc").trim();
  const pages = filesIn("docs").filter((path) => path.endsWith(".md"));
  const places = ["Dockerfile", "README.md", "CONTRIBUTING.md", ...pages];
  const found = places.flatMap((path) =>
    [...readSource(path).matchAll(/\bdeno@(\d[\d.]*\d)|DENO_VERSION=(.*)$/gm)]
      .map(([, npx, image]) => ({ path, release: npx ?? image }))
  );
  assert(found.length > 2);
  for (const place of found) assertEquals(place, { ...place, release });
});
