import { sentence } from "./_message.ts";
import { AssertionError } from "./assertion_error.ts";

/** Asserts that a text does not match. */
export function assertNotMatch(
  actual: string,
  expected: RegExp,
  msg?: string,
): void {
  if (!expected.test(actual)) return;
  throw new AssertionError(
    sentence(`Expected actual: "${actual}" to not match: "${expected}"`, msg),
  );
}
