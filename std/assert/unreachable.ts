import { sentence } from "./_message.ts";
import { AssertionError } from "./assertion_error.ts";

/** Fails: for the branch that cannot be reached, as the types or the code before it say. */
export function unreachable(msg?: string): never {
  throw new AssertionError(sentence("Unreachable", msg));
}
