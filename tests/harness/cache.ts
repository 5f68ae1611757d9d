/** What is built or installed for the tests, once for all of them. */
import { inRoot } from "../sources.ts";
import { output } from "./child_process.ts";

/** Where that is kept; git ignores it. */
export const CACHE = inRoot(".cache");

const LIMIT_MS = 30 * 60_000;

/**
 * Runs a command that puts something into {@linkcode CACHE}, one at a time: files of tests that run at
 * the same time build the same programs.
 */
export async function fillCache(
  command: readonly string[],
  options: { cwd?: string; env?: Record<string, string> } = {},
): Promise<void> {
  await Deno.mkdir(CACHE, { recursive: true });
  await output(["flock", `${CACHE}/lock`, ...command], { ...options, limitMs: LIMIT_MS });
}
