/** Figures of all rounds as a table of ratios. */
import type { Counts } from "./counts.ts";
import type { AtRest } from "./rest.ts";
import { ratios, type Spread, spread } from "./statistics.ts";

/** What is measured, and how to read it. */
export interface Figure {
  readonly title: string;
  readonly better: "higher" | "lower";
  /** How to print one value. */
  readonly unit: Unit;
}

/** One line of the table: a figure for each contender that has it. */
export interface Row extends Figure {
  /** By contender; the values in the order of the rounds. */
  readonly values: Readonly<Record<string, readonly number[]>>;
}

/** How a value is told. */
export type Unit = "a second" | "bytes a second" | "microseconds" | "milliseconds" | "bytes";

/** Everything that was found, as it goes into the JSON file. */
export interface Report {
  readonly base: string;
  readonly contenders: readonly string[];
  readonly rounds: number;
  readonly seconds: number;
  readonly rows: readonly Row[];
  readonly systemCalls: Counts | undefined;
  readonly allocations: Counts | undefined;
}

/** The rows of what was measured on fresh processes. */
export function restRows(found: Readonly<Record<string, readonly AtRest[]>>): Row[] {
  const row = (title: string, unit: Unit, of: (rest: AtRest) => number): Row => ({
    title,
    better: "lower",
    unit,
    values: Object.fromEntries(
      Object.entries(found).map(([name, all]) => [name, all.map(of)]),
    ),
  });
  return [
    row("start to first served tunnel", "milliseconds", ({ startMs }) => startMs),
    row("memory, idle", "bytes", ({ idleBytes }) => idleBytes),
    row("memory of one idle tunnel", "bytes", ({ tunnelBytes }) => tunnelBytes),
  ];
}

/** The ratio of a contender to the base in one row, if both have it. */
export function ratioTo(base: string, { values }: Row, contender: string): Spread | undefined {
  const own = values[contender], others = values[base];
  return own?.length && others?.length ? ratios(own, others) : undefined;
}

/** The table: for each row the base's own figure, and the ratio of all others to it. */
export function formatTable(
  { base, contenders, rows }: Pick<Report, "base" | "contenders" | "rows">,
): string {
  const others = contenders.filter((name) => name !== base);
  const cells = rows.map((row) => [
    `${row.title} (${row.better} is better)`,
    row.values[base] === undefined ? "" : formatValue(spread(row.values[base]).median, row.unit),
    ...others.map((name) => formatCell(base, row, name)),
  ]);
  const head = ["", base, ...others.map((name) => `${name} / ${base}`)];
  const lines = [head, ...cells];
  const widths = head.map((_, at) => Math.max(...lines.map((line) => line[at]!.length)));
  const print = (line: readonly string[]) =>
    `| ${line.map((cell, at) => cell.padEnd(widths[at]!)).join(" | ")} |`;
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  return [print(head), rule, ...cells.map(print)].join("\n");
}

/** The ratio; where the base has no figure of its own, as `direct` has no memory, the value. */
function formatCell(base: string, row: Row, name: string): string {
  const values = row.values[name];
  if (values === undefined || row.values[base] !== undefined) {
    return formatRatio(ratioTo(base, row, name));
  }
  return formatValue(spread(values).median, row.unit);
}

function formatRatio(ratio: Spread | undefined): string {
  if (ratio === undefined || !Number.isFinite(ratio.median)) return "";
  const { median, low, high } = ratio;
  return `${median.toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)})`;
}

/** A value with its unit, to about three digits. */
export function formatValue(value: number, unit: Unit): string {
  switch (unit) {
    case "a second":
      return `${Math.round(value)}/s`;
    case "bytes a second":
      return `${(value / 1e6).toFixed(0)} MB/s`;
    case "microseconds":
      return `${value.toFixed(0)} µs`;
    case "milliseconds":
      return `${value.toFixed(value < 10 ? 1 : 0)} ms`;
    case "bytes":
      return value >= 1e6 ? `${(value / 1e6).toFixed(1)} MB` : `${(value / 1e3).toFixed(1)} kB`;
  }
}

/** The counts of ours, one line each. */
export function formatCounts({ systemCalls, allocations }: Report): string {
  const lines: string[] = [];
  for (const [what, key] of [["connection", "connection"], ["round trip", "roundTrip"]] as const) {
    const calls = systemCalls?.[key];
    if (calls !== undefined) {
      const sorted = Object.entries(calls).sort(([, a], [, b]) => b - a);
      const total = sorted.reduce((sum, [, count]) => sum + count, 0);
      const list = sorted.map(([name, count]) => `${name} ${count.toFixed(2)}`).join(", ");
      lines.push(`system calls a ${what}: ${total.toFixed(1)} (${list})`);
    }
    const bytes = allocations?.[key]["bytes"];
    if (bytes !== undefined) lines.push(`heap bytes a ${what}: ${Math.round(bytes)}`);
  }
  return lines.join("\n");
}

/** Whether the generator leaves room: how many times the fastest proxy it drives `direct`. */
export function formatHeadroom({ rows, contenders }: Report): string {
  const lines = rows.filter(({ better }) => better === "higher").map((row) => {
    const proxies = contenders.filter((name) => name !== "direct" && row.values[name]);
    const fastest = proxies
      .map((name) => ({ name, ratio: ratioTo(name, row, "direct")?.median ?? NaN }))
      .sort((a, b) => a.ratio - b.ratio)[0];
    return fastest && `direct / ${fastest.name}: ${fastest.ratio.toFixed(1)} × (${row.title})`;
  });
  return lines.filter(Boolean).join("\n");
}
