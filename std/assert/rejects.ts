import { checkCaught, type ErrorClass, expectation } from "./_failure.ts";
import { sentence } from "./_message.ts";
import { AssertionError } from "./assertion_error.ts";

/** Asserts that the promise a function returns rejects, and returns what it rejects with. */
export function assertRejects(
  fn: () => PromiseLike<unknown>,
  msg?: string,
): Promise<unknown>;
/** Asserts that the promise rejects with an error of a class, with a text in its message, and returns the error. */
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: ErrorClass<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;
export async function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  errorClassOrMsg?: ErrorClass<E> | string,
  msgIncludes?: string,
  msg?: string,
): Promise<unknown> {
  const expected = expectation(errorClassOrMsg, msgIncludes, msg);
  const promise = promiseOf(fn);
  if (!promise) {
    throw new AssertionError(
      sentence("Function throws when expected to reject", expected.msg),
    );
  }
  try {
    await promise;
  } catch (error) {
    checkCaught(error, "rejected", expected);
    return error;
  }
  throw new AssertionError(
    sentence("Expected function to reject", expected.msg),
  );
}

/** None if the function throws at once or returns something else: neither is a rejection. */
function promiseOf(fn: () => PromiseLike<unknown>) {
  try {
    const result = fn();
    return typeof result === "object" && typeof result?.then === "function" ? result : undefined;
  } catch {
    return undefined;
  }
}
