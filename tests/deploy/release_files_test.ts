/** What `deno task release` makes: the files of `dist/release`. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import project from "../../deno.json" with { type: "json" };
import { architectureOf } from "../../release/elf.ts";
import { output } from "../harness/child_process.ts";
import { test } from "../harness/test.ts";
import { inRoot } from "../sources.ts";
import { HELM } from "./helm.ts";
import { isFile, missing } from "./tools.ts";

const FOLDER = inRoot("dist/release");
const SUMS = `${FOLDER}/SHA256SUMS`;
const CHART = `api-server-proxy-${project.version}.tgz`;

const skip = missing({
  [`${SUMS} (deno task release)`]: isFile(SUMS),
  helm: HELM !== undefined,
});

test("release has these files, and SHA256SUMS has each of them", async () => {
  const files = [...Deno.readDirSync(FOLDER)].map(({ name }) => name).toSorted();
  assertEquals(
    files,
    [
      "SHA256SUMS",
      CHART,
      "api-server-proxy-linux-amd64",
      "api-server-proxy-linux-arm64",
      "api-server-proxy.cdx.json",
      "api-server-proxy.service",
      "api-server-proxy.sysctl.conf",
      "api-server-proxy.yaml",
    ].toSorted(),
  );
  const sums = await output(["sha256sum", "--check", "--strict", SUMS], { cwd: FOLDER });
  const checked = sums.trim().split("\n").map((line) => line.replace(/: OK$/, "")).toSorted();
  assertEquals(checked, files.filter((name) => name !== "SHA256SUMS"));
}, { skip });

test("release's binaries are for the processors in their names, and start", async () => {
  for (const arch of ["amd64", "arm64"]) {
    const image = await Deno.readFile(`${FOLDER}/api-server-proxy-linux-${arch}`);
    assertEquals(architectureOf(image), arch);
  }
  const own = Deno.build.arch === "aarch64" ? "arm64" : "amd64";
  const version = await output([`${FOLDER}/api-server-proxy-linux-${own}`, "--version"]);
  assertStringIncludes(version, `api-server-proxy ${project.version} (`);
}, { skip });

test(
  "release's binaries are the same wherever they are made: they have the commit's time",
  async () => {
    for (const arch of ["amd64", "arm64"]) {
      const image = await Deno.readFile(`${FOLDER}/api-server-proxy-linux-${arch}`);
      const tail = new TextDecoder("latin1").decode(image.subarray(-4 * 1024 * 1024));
      const times = [...tail.matchAll(/"t":(\d{13})\b/g)].map(([, time]) => Number(time));
      assert(times.length > 30, `${times.length}`);
      const bill = JSON.parse(await Deno.readTextFile(`${FOLDER}/api-server-proxy.cdx.json`));
      assertEquals(new Set(times), new Set([Date.parse(bill.metadata.timestamp)]));
    }
  },
  { skip },
);

test("release's chart renders the image of its own version", async () => {
  const command = [HELM!, "template", "x", `${FOLDER}/${CHART}`, "--kube-version=1.37.0"];
  assertStringIncludes(await output(command), `/api-server-proxy:${project.version}"`);
}, { skip });

test("release's notes are what CHANGELOG.md says of the version", async () => {
  const notes = await Deno.readTextFile(inRoot("dist/notes.md"));
  const changelog = await Deno.readTextFile(inRoot("CHANGELOG.md"));
  assert(notes.length > 10);
  assertStringIncludes(changelog, notes.trim());
}, { skip });

test("release refuses a tag that is not the version", async () => {
  const command = [Deno.execPath(), "task", "release", "--tag", "v99.0.0"];
  const { message } = await assertRejects(() => output(command, { cwd: inRoot("") }), Error);
  assertStringIncludes(message, `--tag "v99.0.0" is not v${project.version}`);
});
