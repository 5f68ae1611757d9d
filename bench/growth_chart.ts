/** Cost over amount, as a picture. */
import { COLOURS, dot, line, logScale, svg, text } from "./svg.ts";

/** One curve: what one operation costs, by how much of something there is. */
export interface Curve {
  readonly title: string;
  readonly x: string;
  readonly points: readonly { readonly at: number; readonly cost: number }[];
}

const PANEL_WIDTH = 400, PANEL_HEIGHT = 230;

/** Draws all curves, each in a panel of its own. */
export function drawGrowth(curves: readonly Curve[]): string {
  const parts = curves.flatMap((each, at) =>
    drawPanel(each, at % 2 * PANEL_WIDTH, 40 + Math.floor(at / 2) * PANEL_HEIGHT, COLOURS[at]!)
  );
  const heading = "CPU time of one round trip, relative to the first point of each curve";
  const title = text(16, 26, heading, { bold: true, size: 15 });
  const height = 40 + Math.ceil(curves.length / 2) * PANEL_HEIGHT;
  return svg(2 * PANEL_WIDTH, height, "How cost grows", [title, ...parts]);
}

function drawPanel({ title, x, points }: Curve, left: number, top: number, colour: string) {
  const relative = points.map(({ at, cost }) => ({ at, cost: cost / points[0]!.cost }));
  const costs = relative.map(({ cost }) => cost);
  const range = [Math.min(0.5, ...costs), Math.max(4, ...costs) * 1.2] as const;
  const first = relative[0]!.at, last = relative.at(-1)!.at;
  const toX = logScale([first, last], [left + 56, left + PANEL_WIDTH - 30]);
  const toY = logScale(range, [top + PANEL_HEIGHT - 50, top + 30]);
  const parts = [text(left + 16, top + 16, title, { bold: true })];
  for (let tick = 0.5; tick <= range[1]; tick *= range[1] > 50 ? 4 : 2) {
    if (tick < range[0]) continue;
    parts.push(line([toX(first), toY(tick)], [toX(last), toY(tick)]));
    parts.push(text(left + 48, toY(tick) + 4, `${tick} ×`, { anchor: "end", size: 11 }));
  }
  relative.forEach(({ at, cost }, i) => {
    const before = relative[i - 1];
    const here = [toX(at), toY(cost)] as const;
    if (before !== undefined) {
      parts.push(line([toX(before.at), toY(before.cost)], here, { colour, width: 2 }));
    }
    parts.push(dot(...here, colour));
    const label = { anchor: "middle", size: 11 } as const;
    parts.push(text(toX(at), top + PANEL_HEIGHT - 32, String(at), label));
  });
  const axis = { anchor: "middle", size: 11 } as const;
  parts.push(text(left + PANEL_WIDTH / 2, top + PANEL_HEIGHT - 16, x, axis));
  return parts;
}
