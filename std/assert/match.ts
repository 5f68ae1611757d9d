import { sentence } from "./_message.ts";
import { AssertionError } from "./assertion_error.ts";

/** Asserts that a text matches. A regular expression with the flag `g` or `y` starts where its last match ended. */
export function assertMatch(
  actual: string,
  expected: RegExp,
  msg?: string,
): void {
  if (expected.test(actual)) return;
  throw new AssertionError(
    sentence(`Expected actual: "${actual}" to match: "${expected}"`, msg),
  );
}
