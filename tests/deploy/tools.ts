/** The tools that the tests of deploy/ need, and what to do without them. */
import { output } from "../harness/child_process.ts";

const ROOT = new URL("../../", import.meta.url);

/** The path of a file of the project. */
export function inRoot(path: string): string {
  return new URL(path, ROOT).pathname;
}

/** The text of a file of the project. */
export function readText(path: string): string {
  return Deno.readTextFileSync(inRoot(path));
}

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

/** Whether tests must be skipped for want of something; if so, says of what. */
export function isMissing(tests: string, wants: Record<string, boolean>): boolean {
  const absent = Object.keys(wants).filter((what) => !wants[what]);
  if (absent.length > 0) console.warn(`${tests}: skipped for want of ${absent.join(", ")}`);
  return absent.length > 0;
}

/** Where the sources of a Go module are, `path@version`; Go fetches them when need be. */
export async function moduleSources(module: string): Promise<string> {
  // Away from here, for no module of ours is meant.
  return JSON.parse(await output(["go", "mod", "download", "-json", module], { cwd: "/" })).Dir;
}
