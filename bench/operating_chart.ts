/** What operators see while an API server hangs, as a picture. */
import { COLOURS, dot, line, polyline, svg, text } from "./svg.ts";

/** What was seen at one moment; one value for each API server where there are several. */
export interface Sample {
  /** Since the API server began to hang. */
  readonly seconds: number;
  readonly up: readonly number[];
  readonly tunnels: readonly number[];
  /** The mean of the probes that ended since the sample before; `undefined` if none did. */
  readonly probeSeconds: readonly (number | undefined)[];
  /** Requests a second since the sample before. */
  readonly answered: number;
  readonly refused: number;
}

/** What happened at which second. */
export type Event = readonly [seconds: number, what: string];

interface Panel {
  readonly title: string;
  readonly series: Readonly<Record<string, (sample: Sample) => number | undefined>>;
}

const WIDTH = 880, PANEL_WIDTH = 440, PANEL_HEIGHT = 210, TOP = 56;
const NAMES = ["a", "b", "c"] as const;

/** A line of `pick` for each API server. */
function ofEach(pick: (sample: Sample) => readonly (number | undefined)[]): Panel["series"] {
  return Object.fromEntries(NAMES.map((name, at) => [name, (sample: Sample) => pick(sample)[at]]));
}

const PANELS: readonly Panel[] = [
  { title: "upstream_up", series: ofEach(({ up }) => up) },
  { title: "Tunnels by API server", series: ofEach(({ tunnels }) => tunnels) },
  { title: "Time of probes, s", series: ofEach(({ probeSeconds }) => probeSeconds) },
  {
    title: "Requests by status, per second",
    series: { "200": ({ answered }) => answered, refused: ({ refused }) => refused },
  },
];

/** Draws all panels over the same seconds, with the events as dashed lines. */
export function drawOperating(
  title: string,
  samples: readonly Sample[],
  events: readonly Event[],
): string {
  const parts = PANELS.flatMap((panel, at) => {
    const left = at % 2 * PANEL_WIDTH, top = TOP + Math.floor(at / 2) * PANEL_HEIGHT;
    return drawPanel(panel, [left, top], samples, events);
  });
  const heading = text(16, 26, title, { bold: true, size: 15 });
  const axis = text(16, 44, "seconds since it began to hang", { size: 11 });
  const height = TOP + PANEL_HEIGHT * PANELS.length / 2;
  return svg(WIDTH, height, title, [heading, axis, ...parts]);
}

function drawPanel(
  { title, series }: Panel,
  [left, top]: readonly [number, number],
  samples: readonly Sample[],
  events: readonly Event[],
): string[] {
  const picks = Object.entries(series);
  const values = samples.flatMap((sample) => picks.map(([, pick]) => pick(sample) ?? 0));
  const high = Math.max(1, ...values), step = stepOf(high), last = Math.ceil(high / step) * step;
  const toX = scale([samples[0]!.seconds, samples.at(-1)!.seconds], [
    left + 56,
    left + PANEL_WIDTH - 20,
  ]);
  const toY = scale([0, last], [top + PANEL_HEIGHT - 40, top + 48]);
  const parts = [text(left + 16, top + 16, title, { bold: true })];
  for (let tick = 0; tick <= last; tick += step) {
    parts.push(line([left + 56, toY(tick)], [left + PANEL_WIDTH - 20, toY(tick)]));
    parts.push(text(left + 48, toY(tick) + 4, String(tick), { anchor: "end", size: 11 }));
  }
  for (let at = Math.ceil(samples[0]!.seconds / 10) * 10; at <= samples.at(-1)!.seconds; at += 10) {
    parts.push(text(toX(at), top + PANEL_HEIGHT - 22, String(at), { anchor: "middle", size: 11 }));
  }
  for (const [at, what] of events) {
    parts.push(line([toX(at), top + 42], [toX(at), toY(0)], { colour: "#868e96", dashes: "3 3" }));
    parts.push(text(toX(at), top + 36, what, { anchor: "middle", size: 11 }));
  }
  picks.forEach(([name, pick], i) => {
    const colour = COLOURS[i]!;
    const seen = samples.flatMap((sample) => {
      const value = pick(sample);
      return value === undefined ? [] : [[toX(sample.seconds), toY(value)] as const];
    });
    parts.push(polyline(seen, colour));
    // Where a line leaps over samples, the dots show what was measured.
    if (seen.length < samples.length) parts.push(...seen.map(([x, y]) => dot(x, y, colour, 2.5)));
    const x = left + PANEL_WIDTH - 20 - (picks.length - 1 - i) * 64;
    parts.push(text(x, top + 16, name, { anchor: "end", bold: true, colour }));
  });
  return parts;
}

/** Between two lines of the grid: 1, 2 or 5 times a power of ten, so that there are at most six. */
function stepOf(high: number): number {
  const power = 10 ** Math.floor(Math.log10(high / 5));
  return Math.max(1, [1, 2, 5, 10].find((factor) => factor * power * 5 >= high)! * power);
}

function scale([low, high]: readonly [number, number], [from, to]: readonly [number, number]) {
  return (value: number) => from + (to - from) * (value - low) / (high - low);
}
