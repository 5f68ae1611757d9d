/**
 * Makes what a release publishes beside the image, in dist/release/.
 *
 *   deno task release [--tag v0.2.0]
 *
 * Binaries for both processors, the chart (helm), the manifest, the unit and sysctl settings for
 * systemd, a bill of materials and the checksums of all of them; dist/notes.md has what CHANGELOG.md
 * says. With --tag it fails unless that is the version in deno.json.
 */
import { parseArgs } from "@std/cli";
import project from "../deno.json" with { type: "json" };
import { commitOf, compile } from "./compile.ts";
import { type Arch, TARGETS } from "./denort.ts";
import { notesOf } from "./notes.ts";
import { type ReleaseFile, sbom } from "./sbom.ts";

const ROOT = new URL("..", import.meta.url);
const FOLDER = "dist/release";
const CHART = "deploy/helm/api-server-proxy";
/** Published as they are. */
const COPIED = [
  "deploy/api-server-proxy.yaml",
  "deploy/systemd/api-server-proxy.service",
  "deploy/systemd/api-server-proxy.sysctl.conf",
];

/** Runs a program in the project's folder, where `.cache` may have it. @returns Its stdout. */
async function output(program: string, ...args: string[]): Promise<string> {
  const path = `${new URL(".cache", ROOT).pathname}:${Deno.env.get("PATH")}`;
  const command = new Deno.Command(program, {
    args,
    cwd: ROOT,
    env: { PATH: path },
    stderr: "inherit",
  });
  const { success, stdout } = await command.output();
  if (!success) throw new Error(`${program} ${args.join(" ")} failed`);
  return new TextDecoder().decode(stdout);
}

/** The addresses of all modules of the program. */
async function modulesOf(program: string): Promise<string[]> {
  const { modules } = JSON.parse(await output(Deno.execPath(), "info", "--json", program));
  return modules.map(({ specifier }: { specifier: string }) => specifier);
}

/**
 * Gives the sources the time of the commit. `deno compile` writes their times into a binary; so it is
 * the same, bit for bit, wherever the same commit is compiled.
 *
 * @returns That time.
 */
async function setFileTimes(): Promise<Date> {
  const seconds = Number(await output("git", "log", "-1", "--format=%ct"));
  const files = await output("git", "ls-files", "deno.json", "main.ts", "lib", "std");
  for (const file of files.trim().split("\n")) await Deno.utime(file, seconds, seconds);
  return new Date(seconds * 1_000);
}

async function sha256Of(name: string): Promise<string> {
  const bytes = await Deno.readFile(`${FOLDER}/${name}`);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

async function withChecksums(names: readonly string[]): Promise<ReleaseFile[]> {
  return await Promise.all(names.map(async (name) => ({ name, sha256: await sha256Of(name) })));
}

/** Makes all files. */
async function release(): Promise<void> {
  const { version } = project;
  const notes = notesOf(await Deno.readTextFile("CHANGELOG.md"), version);
  await Deno.remove(FOLDER, { recursive: true }).catch(() => {});
  await Deno.mkdir(FOLDER, { recursive: true });
  await Deno.writeTextFile("dist/notes.md", notes);

  const time = await setFileTimes();
  const binaries = (Object.keys(TARGETS) as Arch[]).map((arch) => ({
    arch,
    name: `api-server-proxy-linux-${arch}`,
  }));
  for (const { arch, name } of binaries) await compile(arch, `${FOLDER}/${name}`);
  await output("helm", "package", CHART, "--destination", FOLDER);
  const copied = COPIED.map((path) => path.slice(path.lastIndexOf("/") + 1));
  for (const [i, path] of COPIED.entries()) await Deno.copyFile(path, `${FOLDER}/${copied[i]}`);

  const bill = "api-server-proxy.cdx.json";
  const materials = sbom({
    version,
    commit: await commitOf(),
    time,
    deno: Deno.version.deno,
    v8: Deno.version.v8,
    modules: await modulesOf("main.ts"),
    files: await withChecksums(binaries.map(({ name }) => name)),
  });
  await Deno.writeTextFile(`${FOLDER}/${bill}`, `${JSON.stringify(materials, null, 2)}\n`);

  const chart = `api-server-proxy-${version}.tgz`;
  const names = [...binaries.map(({ name }) => name), chart, ...copied, bill];
  const sums = (await withChecksums(names)).map(({ name, sha256 }) => `${sha256}  ${name}\n`);
  await Deno.writeTextFile(`${FOLDER}/SHA256SUMS`, sums.join(""));
  console.log(sums.join("").trimEnd());
}

if (import.meta.main) {
  const { tag } = parseArgs(Deno.args, { string: ["tag"] });
  try {
    if (tag !== undefined && tag !== `v${project.version}`) {
      throw new Error(`--tag "${tag}" is not v${project.version}, the version in deno.json`);
    }
    Deno.chdir(ROOT);
    await release();
  } catch (error) {
    console.error((error as Error).message);
    Deno.exit(1);
  }
}
