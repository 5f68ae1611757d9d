import { diff, sentence } from "./_message.ts";
import { AssertionError } from "./assertion_error.ts";
import { equal } from "./equal.ts";

/** Asserts that two values are deeply equal, as {@linkcode equal} sees it. The message shows where they differ. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  if (equal(actual, expected)) return;
  throw new AssertionError(
    `${sentence("Values are not equal", msg)}\n${diff(actual, expected)}`,
  );
}
