/** The table of ratios as a picture: a dot for each contender, a line for its quartiles. */
import { ratioTo, type Report, type Row } from "./report.ts";
import { COLOURS, dot, line, logScale, svg, text } from "./svg.ts";

const WIDTH = 900, LEFT = 345, RIGHT = 30, TOP = 70, LANE = 9, ROW_GAP = 14, PANEL_GAP = 46;
const TICKS = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20];

/** Draws it. The direct way is a limit and no contender: it is left out. */
export function drawChart(report: Report): string {
  const names = report.contenders.filter((name) => name !== report.base && name !== "direct");
  const parts = [
    text(16, 26, `Ratio to ${report.base}, same run, same cores`, { bold: true, size: 15 }),
    ...legend(names),
  ];
  let y = TOP;
  for (const better of ["higher", "lower"] as const) {
    const rows = report.rows.filter((row) =>
      row.better === better && names.some((name) => ratioTo(report.base, row, name))
    );
    if (rows.length === 0) continue;
    const panel = drawPanel(report.base, rows, names, y, `${better} is better`);
    parts.push(...panel.parts);
    y = panel.bottom + PANEL_GAP;
  }
  return svg(WIDTH, y - PANEL_GAP + 20, `Ratios to ${report.base}`, parts);
}

function legend(names: readonly string[]): string[] {
  let x = 16;
  return names.flatMap((name, at) => {
    const parts = [dot(x + 4, 44, colour(at)), text(x + 13, 48, name)];
    x += 30 + name.length * 6.6;
    return parts;
  });
}

function drawPanel(
  base: string,
  rows: readonly Row[],
  names: readonly string[],
  top: number,
  title: string,
): { parts: string[]; bottom: number } {
  const spreads = rows.map((row) => names.map((name) => ratioTo(base, row, name)));
  const ends = spreads.flat().flatMap((found) => found === undefined ? [] : [found.low, found.high])
    .filter((value) => value > 0);
  const range = [Math.min(0.5, ...ends) / 1.1, Math.max(2, ...ends) * 1.1] as const;
  const x = logScale(range, [LEFT, WIDTH - RIGHT]);
  const rowHeight = names.length * LANE + ROW_GAP;
  const bottom = top + 22 + rows.length * rowHeight;
  const parts = [text(16, top + 12, title, { bold: true })];
  for (const tick of TICKS.filter((tick) => tick >= range[0] && tick <= range[1])) {
    const style = tick === 1 ? { colour: "#495057", width: 1.5 } : {};
    parts.push(line([x(tick), top + 16], [x(tick), bottom], style));
    parts.push(text(x(tick), bottom + 14, `${tick} ×`, { anchor: "middle", size: 11 }));
  }
  rows.forEach(({ title }, at) => {
    const rowTop = top + 22 + at * rowHeight;
    const label = { anchor: "end" } as const;
    parts.push(text(LEFT - 12, rowTop + (rowHeight - ROW_GAP) / 2 + 8, title, label));
    spreads[at]!.forEach((found, lane) => {
      if (found === undefined || !(found.low > 0)) return;
      const y = rowTop + lane * LANE + 8;
      parts.push(
        line([x(found.low), y], [x(found.high), y], { colour: colour(lane), width: 2 }),
        dot(x(found.median), y, colour(lane)),
      );
    });
  });
  return { parts, bottom };
}

function colour(at: number): string {
  return COLOURS[at % COLOURS.length]!;
}
