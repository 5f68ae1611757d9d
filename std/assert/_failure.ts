import { sentence } from "./_message.ts";
import { AssertionError } from "./assertion_error.ts";
import { assertIsError } from "./is_error.ts";

/** A class of errors. */
export type ErrorClass<E extends Error> = abstract new (...args: never[]) => E;

/** What `assertThrows` and `assertRejects` expect to catch. */
export interface Expectation<E extends Error> {
  ErrorClass: ErrorClass<E> | undefined;
  msgIncludes: string | undefined;
  msg: string | undefined;
}

/** Sorts out the overloads of both: either the message comes first, or the class does. */
export function expectation<E extends Error>(
  first: ErrorClass<E> | string | undefined,
  second: string | undefined,
  third: string | undefined,
): Expectation<E> {
  if (first === undefined || isErrorClass(first)) {
    return { ErrorClass: first, msgIncludes: second, msg: third };
  }
  // Anything else in place of a class is passed over.
  const msg = typeof first === "string" ? first : second;
  return { ErrorClass: undefined, msgIncludes: undefined, msg };
}

function isErrorClass<E extends Error>(
  value: ErrorClass<E> | string,
): value is ErrorClass<E> {
  const prototype = typeof value === "function" ? value.prototype : undefined;
  return prototype instanceof Error || prototype === Error.prototype;
}

/** Asserts that what was `verb` is an error as expected. Without a class anything will do, even if it is no Error. */
export function checkCaught<E extends Error>(
  caught: unknown,
  verb: "thrown" | "rejected",
  { ErrorClass, msgIncludes, msg }: Expectation<E>,
): void {
  if (!ErrorClass) return;
  if (!(caught instanceof Error)) {
    throw new AssertionError(sentence(`A non-Error object was ${verb}`, msg));
  }
  assertIsError(caught, ErrorClass, msgIncludes, msg);
}
