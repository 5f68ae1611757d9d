import { sentence } from "./_message.ts";
import { AssertionError } from "./assertion_error.ts";

/** Fails: for the branch that a test must not reach. */
export function fail(msg?: string): never {
  throw new AssertionError(sentence("Failed assertion", msg));
}
