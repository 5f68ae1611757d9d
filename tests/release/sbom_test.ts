import { assertEquals } from "@std/assert";
import { sbom } from "../../release/sbom.ts";

const MATERIALS = {
  version: "1.2.3",
  commit: "0123456789ab",
  time: new Date(0),
  deno: "2.9.6",
  v8: "14.0.0",
  modules: [
    "file:///src/main.ts",
    "https://jsr.io/@std/cli/1.0.32/mod.ts",
    "https://jsr.io/@std/cli/1.0.32/parse_args.ts",
    "node:process",
  ],
  files: [{ name: "api-server-proxy-linux-amd64", sha256: "ab".repeat(32) }],
};

// deno-lint-ignore no-explicit-any -- JSON
const bill = sbom(MATERIALS) as any;

Deno.test("sbom() names the program, its binaries and their checksums", () => {
  const { component, timestamp } = bill.metadata;
  assertEquals(timestamp, "1970-01-01T00:00:00.000Z");
  assertEquals([component.name, component.version], ["api-server-proxy", "1.2.3"]);
  assertEquals(component.properties, [{ name: "commit", value: "0123456789ab" }]);
  const [{ name, hashes }] = component.components;
  assertEquals({ name, hashes }, {
    name: "api-server-proxy-linux-amd64",
    hashes: [{ alg: "SHA-256", content: "ab".repeat(32) }],
  });
});

Deno.test("sbom() has the runtime, its engine and each package once", () => {
  const components = bill.components.map(({ name, version }: Record<string, string>) =>
    `${name} ${version}`
  );
  assertEquals(components, ["deno 2.9.6", "v8 14.0.0", "@std/cli 1.0.32"]);
});

Deno.test("sbom() refers only to what it has", () => {
  const { metadata: { component }, components, dependencies } = bill;
  const known = new Set([component, ...components].map((each) => each["bom-ref"]));
  for (const { ref, dependsOn } of dependencies) {
    for (const name of [ref, ...dependsOn]) assertEquals(known.has(name), true, name);
  }
});
