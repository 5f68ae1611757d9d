import { stripVTControlCharacters } from "node:util";
import { sentence } from "./_message.ts";
import { AssertionError } from "./assertion_error.ts";

/**
 * Asserts that `error` is an Error, of a class and with a text in its message if they are given. Colours in the message
 * do not count.
 */
export function assertIsError<E extends Error = Error>(
  error: unknown,
  ErrorClass?: abstract new (...args: never[]) => E,
  msgMatches?: string | RegExp,
  msg?: string,
): asserts error is E {
  const problem = !(error instanceof Error)
    ? 'Expected "error" to be an Error object'
    : ErrorClass && !(error instanceof ErrorClass)
    ? `Expected error to be instance of "${ErrorClass.name}", but was "${error.constructor?.name}"`
    : msgMatches && !isIn(error.message, msgMatches)
    ? `Expected error message to include ${quote(msgMatches)}, but got ${quote(error.message)}`
    : undefined;
  if (problem) throw new AssertionError(sentence(problem, msg));
}

function isIn(message: string, wanted: string | RegExp): boolean {
  const plain = stripVTControlCharacters(message);
  return wanted instanceof RegExp
    ? wanted.test(plain)
    : plain.includes(stripVTControlCharacters(wanted));
}

function quote(text: string | RegExp): string {
  return text instanceof RegExp ? String(text) : JSON.stringify(text);
}
