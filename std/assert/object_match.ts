import { assertEquals } from "./equals.ts";

type Loose = Record<PropertyKey, unknown>;

/**
 * Asserts that `actual` has at least what `expected` has: its properties, the first items of its arrays, the entries of
 * its Maps and the values of its Sets, all the way down. Classes do not count.
 */
export function assertObjectMatch(
  // An interface is no Record of unknown, but one of any.
  // deno-lint-ignore no-explicit-any
  actual: Record<PropertyKey, any>,
  expected: Record<PropertyKey, unknown>,
  msg?: string,
): void {
  // Both sides go through the filter, so that both are plain objects after it.
  assertEquals(
    new Filter().properties(actual, expected),
    new Filter().properties(expected, expected),
    msg,
  );
}

/** Copies from one value what another value has too. */
class Filter {
  /** What was copied, against what. A pair that comes up again, as in a cycle, is not copied again. */
  readonly #pairs = new WeakMap<object, object>();

  properties(from: Loose, wanted: Loose): Loose {
    if (this.#wasMet(from, wanted)) return from;
    const keys = Reflect.ownKeys(from);
    const wantedKeys = new Set(Reflect.ownKeys(wanted));
    const shared = keys.filter((key) => wantedKeys.has(key));
    const copy: Loose = {};
    if (keys.length > 0 && wantedKeys.size > 0 && shared.length === 0) {
      // All of it, for the error to show what is there instead.
      for (const key of keys) define(copy, key, from[key]);
    }
    for (const key of shared) {
      define(copy, key, this.#value(from[key], wanted[key]));
    }
    return copy;
  }

  #value(from: unknown, wanted: unknown): unknown {
    if (from instanceof RegExp || from instanceof Date) return from;
    if (Array.isArray(from) && Array.isArray(wanted)) {
      return this.#items(from, wanted);
    }
    if (from instanceof Map && wanted instanceof Map) {
      return this.#entries(from, wanted);
    }
    if (from instanceof Set && wanted instanceof Set) {
      return from.intersection(wanted);
    }
    return isLoose(from) && isLoose(wanted) ? this.properties(from, wanted) : from;
  }

  #items(from: unknown[], wanted: unknown[]): unknown[] {
    if (this.#wasMet(from, wanted)) return from;
    return from.slice(0, wanted.length)
      .map((item, i) => this.#value(item, wanted[i]));
  }

  /** Objects in a Map are compared by their properties alone, even if they are arrays or dates. */
  #entries(from: Map<unknown, unknown>, wanted: Map<unknown, unknown>) {
    const shared = [...from].filter(([key]) => wanted.has(key));
    return new Map(shared.map(([key, value]) => {
      const other = wanted.get(key);
      const copy = isLoose(value) && isLoose(other) ? this.properties(value, other) : value;
      return [key, copy];
    }));
  }

  /** Whether the pair was met before. */
  #wasMet(from: object, wanted: object): boolean {
    if (!isLoose(from)) {
      const what = from === null ? "null" : `type ${typeof from}`;
      throw new TypeError(`Cannot assertObjectMatch ${what}`);
    }
    if (this.#pairs.get(from) === wanted) return true;
    this.#pairs.set(from, wanted);
    return false;
  }
}

function isLoose(value: unknown): value is Loose {
  return typeof value === "object" && value !== null;
}

/** Like an assignment, but for `__proto__`. */
function define(target: Loose, key: PropertyKey, value: unknown): void {
  Object.defineProperty(target, key, {
    value,
    configurable: true,
    enumerable: true,
    writable: true,
  });
}
