import { types } from "node:util";

const { isAnyArrayBuffer, isTypedArray } = types;

type Keyed = Set<unknown> | Map<unknown, unknown>;

/**
 * Whether two values are deeply equal: the same structure of equal values and of the same prototypes, where `0` equals
 * `-0` and `NaN` equals itself. The order of keys, of Sets and of Maps does not count; an object without a prototype
 * equals a plain one. Dates, regular expressions, URLs and bytes are compared by what they stand for, functions by
 * identity.
 *
 * Of other classes, all properties count, inherited and hidden ones as well. Two errors of the same message from
 * different lines are not equal, since their stacks are not.
 *
 * @throws {TypeError} For a WeakMap or a WeakSet, whose contents nobody can list.
 */
export function equal(a: unknown, b: unknown): boolean {
  return new Comparison().areEqual(a, b);
}

class Comparison {
  /** Objects under comparison: a pair that comes up again inside itself is equal if the rest is. */
  readonly #pairs = new Map<object, object>();

  areEqual(a: unknown, b: unknown): boolean {
    if (a === b || Object.is(a, b)) return true;
    if (!isObject(a) || !isObject(b)) return false;
    if (a instanceof Date && b instanceof Date) {
      return Object.is(a.getTime(), b.getTime());
    }
    if (prototypeOf(a) !== prototypeOf(b)) return false;
    if (a instanceof WeakMap || a instanceof WeakSet) {
      throw new TypeError(
        `Cannot compare ${a instanceof WeakMap ? "WeakMap" : "WeakSet"} instances`,
      );
    }
    if (a instanceof WeakRef && b instanceof WeakRef) {
      return this.areEqual(a.deref(), b.deref());
    }
    const items = elementsOf(a);
    if (items) return areSame(items, elementsOf(b) ?? []);
    return this.#pairs.get(a) === b || this.#haveEqualContents(a, b);
  }

  #haveEqualContents(a: object, b: object): boolean {
    if (Object.keys(a).length !== Object.keys(b).length) return false;
    this.#pairs.set(a, b);
    if (isKeyed(a) && isKeyed(b)) return this.#haveEqualEntries(a, b);
    if (isText(a)) return String(a) === String(b);
    const keys = isPlain(a) ? Reflect.ownKeys({ ...a, ...b }) : [...allKeys(a), ...allKeys(b)];
    return keys.every((key) =>
      this.areEqual(Reflect.get(a, key), Reflect.get(b, key)) &&
      (key in a) === (key in b)
    );
  }

  #haveEqualEntries(a: Keyed, b: Keyed): boolean {
    if (a.size !== b.size) return false;
    const byIdentity = [...a.keys()].every((key) => !isObject(key));
    return [...a.entries()].every(([key, value]) => {
      const others = byIdentity
        ? b.has(key) ? [[key, b instanceof Map ? b.get(key) : key]] : []
        : [...b.entries()];
      return others.some(([otherKey, otherValue]) =>
        this.areEqual(key, otherKey) && this.areEqual(value, otherValue)
      );
    });
  }
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function isKeyed(value: object): value is Keyed {
  return value instanceof Set || value instanceof Map;
}

/** The prototype, where none at all counts as that of plain objects. */
function prototypeOf(value: object): object {
  return Object.getPrototypeOf(value) ?? Object.prototype;
}

function isPlain(value: object): boolean {
  const prototype = prototypeOf(value);
  return prototype === Object.prototype || prototype === Array.prototype;
}

/** Whether it is of a class whose text says everything, and whose properties say too little or too much. */
function isText(value: object): boolean {
  return [Intl.Locale, RegExp, URL, URLSearchParams]
    .some((each) => each.prototype === prototypeOf(value));
}

/** What typed arrays and buffers hold. */
function elementsOf(value: object): ArrayLike<unknown> | undefined {
  if (isTypedArray(value)) return value;
  return isAnyArrayBuffer(value) ? new Uint8Array(value) : undefined;
}

function areSame(a: ArrayLike<unknown>, b: ArrayLike<unknown>): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) {
    if (a[i] !== b[i] && !Object.is(a[i], b[i])) return false;
  }
  return true;
}

/** The keys of an object and of all that it inherits from, down to its class. */
function* allKeys(value: object): Iterable<string | symbol> {
  let level: object | null = value;
  while (level && level !== Object.prototype && level !== Array.prototype) {
    yield* Reflect.ownKeys(level);
    level = Object.getPrototypeOf(level);
  }
}
