/** The software bill of materials of a release, in the form of CycloneDX 1.6. */

/** A file of the release. */
export interface ReleaseFile {
  readonly name: string;
  /** In lower-case hexadecimal. */
  readonly sha256: string;
}

/** What a bill of materials is made of. */
export interface Materials {
  readonly version: string;
  readonly commit: string;
  readonly time: Date;
  /** The releases of Deno and of its JavaScript engine. */
  readonly deno: string;
  readonly v8: string;
  /** The addresses of the program's modules. */
  readonly modules: readonly string[];
  /** The binaries. */
  readonly files: readonly ReleaseFile[];
}

/** A package of Deno's registry, as its modules are addressed. */
const PACKAGE = /^https:\/\/jsr\.io\/(@[^/]+\/[^/]+)\/([^/]+)\//;

/** The bill of materials as a value of JSON. */
export function sbom({ version, commit, time, deno, v8, modules, files }: Materials): unknown {
  const program = "api-server-proxy", runtime = "deno", engine = "v8";
  const found = modules.map((module) => PACKAGE.exec(module)).filter((match) => match !== null);
  const packages = [...new Map(found.map(([, name, release]) => [name!, release!]))];
  const packageComponents = packages.map(([name, release]) => ({
    "bom-ref": name,
    type: "library",
    name,
    version: release,
    purl: `pkg:jsr/${name}@${release}`,
  }));
  return {
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: {
      timestamp: time.toISOString(),
      component: {
        "bom-ref": program,
        type: "application",
        name: program,
        version,
        licenses: [{ license: { id: "Apache-2.0" } }],
        properties: [{ name: "commit", value: commit }],
        components: files.map(({ name, sha256 }) => ({
          "bom-ref": name,
          type: "file",
          name,
          hashes: [{ alg: "SHA-256", content: sha256 }],
        })),
      },
    },
    components: [
      {
        "bom-ref": runtime,
        type: "framework",
        name: "deno",
        version: deno,
        licenses: [{ license: { id: "MIT" } }],
        purl: `pkg:github/denoland/deno@v${deno}`,
      },
      {
        "bom-ref": engine,
        type: "library",
        name: "v8",
        version: v8,
        licenses: [{ license: { id: "BSD-3-Clause" } }],
      },
      ...packageComponents,
    ],
    dependencies: [
      { ref: program, dependsOn: [runtime, ...packages.map(([name]) => name)] },
      { ref: runtime, dependsOn: [engine] },
    ],
  };
}
