/** How tests are registered and wait: each fails when it hangs or leaves something behind. */
import { assertEquals } from "@std/assert";

/** Far more than any test takes, also on a busy machine: one that hangs fails then. */
const LIMIT_MS = 300_000;
/** The same for one thing that a test waits for. */
const PATIENCE_MS = 60_000;

/**
 * Registers a test that fails when it leaves a socket, a timer or an operation behind, and when it
 * does not end.
 *
 * @param skip Why this machine cannot run it, which its name then says, or whether.
 */
export function test(
  name: string,
  fn: () => void | Promise<void>,
  { skip = false }: { skip?: boolean | string | undefined } = {},
): void {
  Deno.test({
    name: typeof skip === "string" ? `${name} (skipped: ${skip})` : name,
    fn: () => withinLimit(fn),
    ignore: skip !== false,
    sanitizeOps: true,
    sanitizeResources: true,
    sanitizeExit: true,
  });
}

async function withinLimit(fn: () => void | Promise<void>): Promise<void> {
  const limit = Promise.withResolvers<never>();
  const hangs = () => limit.reject(new Error(`it does not end within ${LIMIT_MS / 1_000} s`));
  const timer = setTimeout(hangs, LIMIT_MS);
  try {
    await Promise.race([fn(), limit.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits until `look` gives that: for what no event tells of. */
export async function eventually<T>(
  what: string,
  look: () => T | Promise<T>,
  expected: T,
): Promise<void> {
  const deadlineMs = performance.now() + PATIENCE_MS;
  for (;;) {
    const seen = await look();
    if (JSON.stringify(seen) === JSON.stringify(expected)) return;
    if (performance.now() > deadlineMs) return assertEquals(seen, expected, what);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
