/** The few shapes that the charts are made of. */

/** What contenders, or lines, are told apart by; readable on white in print too. */
export const COLOURS = [
  "#0b6bcb",
  "#e8590c",
  "#2b8a3e",
  "#9c36b5",
  "#495057",
  "#c2255c",
  "#0c8599",
] as const;

const INK = "#212529", FAINT = "#ced4da";

/** A document with a background of its own, so that a dark page does not hide the text. */
export function svg(width: number, height: number, title: string, parts: readonly string[]) {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" ` +
    `viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12" role="img">`,
    `<title>${escape(title)}</title>`,
    `<rect width="${width}" height="${height}" rx="6" fill="#fff"/>`,
    ...parts,
    "</svg>",
    "",
  ].join("\n");
}

/** A text; the anchor says which of its ends stands at x. */
export function text(
  x: number,
  y: number,
  content: string,
  { anchor = "start", bold = false, colour = INK, size = 12 }: {
    anchor?: "start" | "middle" | "end";
    bold?: boolean;
    colour?: string;
    size?: number;
  } = {},
): string {
  const weight = bold ? ' font-weight="bold"' : "";
  return `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}" fill="${colour}" ` +
    `font-size="${size}"${weight}>${escape(content)}</text>`;
}

/** A straight line. */
export function line(
  [x1, y1]: readonly [number, number],
  [x2, y2]: readonly [number, number],
  { colour = FAINT, width = 1, dashes = "" }: { colour?: string; width?: number; dashes?: string } =
    {},
): string {
  const dash = dashes === "" ? "" : ` stroke-dasharray="${dashes}"`;
  return `<line x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}" ` +
    `stroke="${colour}" stroke-width="${width}"${dash}/>`;
}

/** A line through many points. */
export function polyline(points: readonly (readonly [number, number])[], colour: string): string {
  const where = points.map(([x, y]) => `${round(x)},${round(y)}`).join(" ");
  return `<polyline points="${where}" fill="none" stroke="${colour}" stroke-width="2"/>`;
}

/** A dot. */
export function dot(x: number, y: number, colour: string, radius = 4): string {
  return `<circle cx="${round(x)}" cy="${round(y)}" r="${radius}" fill="${colour}"/>`;
}

/** Where a value stands between two ends, each step a factor and not a difference. */
export function logScale(
  [low, high]: readonly [number, number],
  [from, to]: readonly [number, number],
): (value: number) => number {
  return (value) =>
    from + (to - from) * (Math.log(value) - Math.log(low)) / (Math.log(high) - Math.log(low));
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escape(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
