/** The tools that the tests of deploy/ need, and what to do without them. */
import { output } from "../harness/child_process.ts";
import { inRoot } from "../sources.ts";

export function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/** Where a command is: in the project's `.cache`, or on the PATH. */
export function find(command: string): string | undefined {
  const folders = [inRoot(".cache"), ...(Deno.env.get("PATH") ?? "").split(":")];
  return folders.map((folder) => `${folder}/${command}`).find(isFile);
}

/** What tests need and this machine lacks, if anything: why they are skipped. */
export function missing(needs: Record<string, boolean>): string | undefined {
  const absent = Object.keys(needs).filter((what) => !needs[what]);
  return absent.length === 0 ? undefined : `needs ${absent.join(", ")}`;
}

/** Where the sources of a Go module are, `path@version`; Go fetches them when need be. */
export async function moduleSources(module: string): Promise<string> {
  // Away from here, for no module of ours is meant.
  return JSON.parse(await output(["go", "mod", "download", "-json", module], { cwd: "/" })).Dir;
}
