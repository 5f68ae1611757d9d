import { format, sentence } from "./_message.ts";
import { AssertionError } from "./assertion_error.ts";
import { equal } from "./equal.ts";

/** An array, or an object like one. Not a string. */
export type ArrayLikeArg<T> = ArrayLike<T> & object;

/** Asserts that each item of `expected` equals some item of `actual`. Order and number do not count. */
export function assertArrayIncludes<T>(
  actual: ArrayLikeArg<T>,
  expected: ArrayLikeArg<T>,
  msg?: string,
): void {
  const present = Array.from(actual);
  const missing = Array.from(expected)
    .filter((item) => !present.some((other) => equal(item, other)));
  if (missing.length === 0) return;
  const text = `Expected actual: "${format(actual)}" to include: "${format(expected)}"`;
  throw new AssertionError(
    `${sentence(text, msg)}\nmissing: ${format(missing)}`,
  );
}
