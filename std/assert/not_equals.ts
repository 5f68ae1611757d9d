import { format, sentence } from "./_message.ts";
import { AssertionError } from "./assertion_error.ts";
import { equal } from "./equal.ts";

/** Asserts that two values are not deeply equal, as {@linkcode equal} sees it. */
export function assertNotEquals<T>(
  actual: T,
  expected: T,
  msg?: string,
): void {
  if (!equal(actual, expected)) return;
  const text = `Expected actual: ${format(actual)} not to be: ${format(expected)}`;
  throw new AssertionError(sentence(text, msg));
}
