import { AssertionError } from "./assertion_error.ts";

/** Asserts that `expr` is truthy, and lets the type checker know. */
export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) throw new AssertionError(msg);
}
