/** Ends a sentence, with the caller's own words if there are any. */
export function sentence(text: string, msg: string | undefined): string {
  return msg ? `${text}: ${msg}` : `${text}.`;
}

/** Prints a value in full. Keys are sorted, so that equal values look alike. */
export function format(value: unknown): string {
  return Deno.inspect(value, {
    compact: false,
    depth: Infinity,
    getters: true,
    iterableLimit: Infinity,
    sorted: true,
    strAbbreviateSize: Infinity,
    trailingComma: true,
  });
}

/**
 * The lines of both values, without those around the difference that they share but for a few. It shows one block from
 * the first difference to the last: to compute the shortest one takes too long for values of a million lines.
 */
export function diff(actual: unknown, expected: unknown): string {
  const isText = typeof actual === "string" && typeof expected === "string";
  const a = (isText ? actual : format(actual)).split("\n");
  const b = (isText ? expected : format(expected)).split("\n");
  const shorter = Math.min(a.length, b.length);
  let head = 0;
  while (head < shorter && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < shorter - head && a.at(-1 - tail) === b.at(-1 - tail)) tail++;
  const marked = (mark: string, lines: string[]) => lines.map((line) => `${mark}   ${line}`);
  return [
    "",
    "    [Diff] Actual / Expected",
    "",
    ...marked(" ", a.slice(Math.max(0, head - CONTEXT), head)),
    ...marked("-", a.slice(head, a.length - tail)),
    ...marked("+", b.slice(head, b.length - tail)),
    ...marked(" ", a.slice(a.length - tail).slice(0, CONTEXT)),
  ].join("\n");
}

const CONTEXT = 8;
