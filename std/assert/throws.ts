import { checkCaught, type ErrorClass, expectation } from "./_failure.ts";
import { sentence } from "./_message.ts";
import { AssertionError } from "./assertion_error.ts";

/** Asserts that a function throws, and returns what it threw. */
export function assertThrows(fn: () => unknown, msg?: string): unknown;
/** Asserts that a function throws an error of a class, with a text in its message, and returns the error. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: ErrorClass<E>,
  msgIncludes?: string,
  msg?: string,
): E;
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  errorClassOrMsg?: ErrorClass<E> | string,
  msgIncludes?: string,
  msg?: string,
): unknown {
  const expected = expectation(errorClassOrMsg, msgIncludes, msg);
  try {
    fn();
  } catch (error) {
    checkCaught(error, "thrown", expected);
    return error;
  }
  throw new AssertionError(
    sentence("Expected function to throw", expected.msg),
  );
}
