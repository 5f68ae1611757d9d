import { diff, format, sentence } from "./_message.ts";
import { AssertionError } from "./assertion_error.ts";

/** Asserts that two values are the same, as `Object.is` sees it: `NaN` is `NaN`, and `0` is not `-0`. */
export function assertStrictEquals<T>(
  actual: unknown,
  expected: T,
  msg?: string,
): asserts actual is T {
  if (Object.is(actual, expected)) return;
  const looks = format(actual);
  const indented = looks.replace(/^/gm, "    ");
  const [text, details] = looks === format(expected)
    ? ["Values have the same structure but are not reference-equal", `\n${indented}`]
    : ["Values are not strictly equal", diff(actual, expected)];
  throw new AssertionError(`${sentence(text, msg)}\n${details}`);
}
