import { AssertionError } from "./assertion_error.ts";

/** All that counts as false in a condition, but for NaN, which has no type of its own. */
export type Falsy = false | 0 | 0n | "" | null | undefined;

/** Asserts that `expr` is falsy. */
export function assertFalse(expr: unknown, msg = ""): asserts expr is Falsy {
  if (expr) throw new AssertionError(msg);
}
