/**
 * Compiles the proxy into one binary.
 *
 *   deno task compile                   dist/api-server-proxy, for this machine
 *   deno task compile --arch arm64      dist/api-server-proxy-arm64
 *
 * The runtime is Deno's own, from its site or from DENORT_BIN. COMMIT names the commit where git
 * cannot say it.
 */
import project from "../deno.json" with { type: "json" };
import { runtimeMistake } from "../lib/runtime.ts";
import { type Arch, denort, OWN_ARCH, parseArch, TARGETS } from "./denort.ts";

const ROOT = new URL("..", import.meta.url);
/** As from source. */
const V8_FLAGS = /--v8-flags=\S+/.exec(project.tasks.start.command)![0];

/** The commit that is checked out, marked if files differ from it; else what COMMIT says. */
export async function commitOf(): Promise<string> {
  const args = ["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"];
  try {
    const git = new Deno.Command("git", { args, cwd: ROOT, stderr: "null" });
    const { success, stdout } = await git.output();
    if (success) return new TextDecoder().decode(stdout).trim();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return Deno.env.get("COMMIT") || "unknown";
}

/**
 * Compiles the proxy.
 *
 * @throws {Error} when there is no runtime for it, or `deno compile` fails; says why.
 */
export async function compile(arch: Arch, output: string): Promise<void> {
  const runtime = await Deno.makeTempFile({ prefix: "denort-" });
  try {
    await Deno.writeFile(runtime, await denort(arch));
    const { success } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["compile", "--quiet", "--no-prompt", "--no-code-cache", "-P", V8_FLAGS],
        ...["--target", TARGETS[arch], "--output", output, "main.ts"],
        `--stamp=${await commitOf()}`,
      ],
      cwd: ROOT,
      env: { DENORT_BIN: runtime },
    }).spawn().status;
    if (!success) throw new Error("deno compile failed");
    if (arch === OWN_ARCH) await assertRuns(output);
  } finally {
    await Deno.remove(runtime);
  }
}

/** A runtime of another release than the compiler's makes a program that fails, or one with its faults. */
async function assertRuns(binary: string): Promise<void> {
  const { stdout } = await new Deno.Command(`./${binary}`, { args: ["--version"], cwd: ROOT })
    .output();
  const version = new TextDecoder().decode(stdout).trim();
  if (version.endsWith(`Deno ${Deno.version.deno})`)) return;
  throw new Error(`${binary} is not of Deno ${Deno.version.deno}: "${version}"`);
}

if (import.meta.main) {
  const mistake = runtimeMistake(Deno.version.deno);
  if (mistake !== undefined) {
    console.error(mistake);
    Deno.exit(2);
  }
  try {
    const arch = parseArch(Deno.args);
    await compile(arch ?? OWN_ARCH, `dist/api-server-proxy${arch ? `-${arch}` : ""}`);
  } catch (error) {
    console.error((error as Error).message);
    Deno.exit(1);
  }
}
