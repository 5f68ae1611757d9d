import { sentence } from "./_message.ts";
import { AssertionError } from "./assertion_error.ts";

/** Asserts that `actual` is an instance of a class, and lets the type checker know. */
export function assertInstanceOf<
  T extends abstract new (...args: never[]) => unknown,
>(
  actual: unknown,
  expectedType: T,
  msg = "",
): asserts actual is InstanceType<T> {
  if (actual instanceof expectedType) return;
  const wanted = expectedType.name;
  const found = kindOf(actual);
  let text = `Expected object to be an instance of "${wanted}"`;
  if (found === "function") text += " but was not an instanced object";
  else if (found !== wanted) text += ` but was "${found}"`;
  throw new AssertionError(sentence(text, msg));
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (typeof value !== "object") return typeof value;
  return value.constructor?.name ?? "Object";
}
