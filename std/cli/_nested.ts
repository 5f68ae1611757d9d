type Nested = { [key: string]: unknown };

/**
 * Sets the property that a dotted name leads to, and makes the objects on the way there.
 *
 * @param append Add `value` to an array instead, which begins with what was there.
 */
export function write(
  root: Nested,
  name: string,
  value: unknown,
  append = false,
): void {
  const path = name.split(".");
  const last = path.pop()!;
  let target = root;
  for (const key of path) {
    if (leadsOutside(target, key)) return;
    target = (target[key] ??= {}) as Nested;
  }
  if (leadsOutside(target, last)) return;
  target[last] = append ? [...asArray(target[last]), value] : value;
}

/** Whether the object has all of a dotted name. */
export function isSet(root: Nested, name: string): boolean {
  let target = root;
  return name.split(".").every((key) => {
    const found = Object.hasOwn(target, key);
    target = target[key] as Nested;
    return found;
  });
}

/** Arguments must not reach a prototype, which all other objects share. */
function leadsOutside(target: Nested, key: string): boolean {
  return key === "__proto__" ||
    key === "constructor" && typeof target[key] === "function";
}

function asArray(value: unknown): unknown[] {
  if (Array.isArray(value)) return value;
  return value ? [value] : [];
}
