/**
 * What is counted, under which name, and how Prometheus wants it told
 * (text format 0.0.4). Every number has a cell in one array of numbers: a
 * worker writes its own array, and who reports adds the arrays up. In shared
 * memory that takes no message, so a worker that does not answer cannot keep
 * the report waiting.
 */
import { REFUSALS } from "../protocol/refusal.ts";

type MetricType = "counter" | "gauge" | "histogram";

/** How the cells of several workers become one value. */
type Merge = "sum" | "max";

interface MetricSpec {
  readonly type: MetricType;
  readonly help: string;
  /** All label values that can occur: a closed set, never what a client sent. */
  readonly labels?: { readonly name: string; readonly values: readonly string[] };
  /** Upper bounds of a histogram. */
  readonly buckets?: readonly number[];
  readonly merge?: Merge;
}

const PREFIX = "api_server_proxy_";

// A local dial takes half a millisecond, the longest that anybody waits is 30 s.
const CONNECT_BUCKETS_SECONDS = [
  ...[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05],
  ...[0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
];
// From one kubectl get to a watch of days: each bound 3 to 6 times the one before.
const TUNNEL_BUCKETS_SECONDS = [
  ...[0.01, 0.03, 0.1, 0.3, 1, 5, 15],
  ...[60, 300, 1_800, 7_200, 28_800, 86_400, 604_800],
];

const CODES = [...new Set([200, ...Object.values(REFUSALS).map(({ status }) => status)])];
const ERRORS = [...new Set(Object.values(REFUSALS).map(({ error }) => error))];

const SPECS = {
  connections_total: { type: "counter", help: "Client connections accepted." },
  connections_active: { type: "gauge", help: "Client connections being served." },
  requests_total: {
    type: "counter",
    help: "Requests answered, by status.",
    labels: { name: "code", values: CODES.map(String) },
  },
  refusals_total: {
    type: "counter",
    help: "Requests refused, by the error type of RFC 9209.",
    labels: { name: "error", values: ERRORS },
  },
  tunnels_active: { type: "gauge", help: "Tunnels that are up." },
  tunnel_bytes_total: {
    type: "counter",
    help: "Bytes carried: up is from client to API server.",
    labels: { name: "direction", values: ["up", "down"] },
  },
  connect_duration_seconds: {
    type: "histogram",
    help: "How long it took to reach the API server.",
    buckets: CONNECT_BUCKETS_SECONDS,
  },
  tunnel_duration_seconds: {
    type: "histogram",
    help: "How long tunnels were up that have ended.",
    buckets: TUNNEL_BUCKETS_SECONDS,
  },
  accept_errors_total: { type: "counter", help: "Failed attempts to accept a connection." },
  event_loop_lag_seconds: {
    type: "gauge",
    help: "How late the last periodic check came, the worst of all workers.",
    merge: "max",
  },
} as const satisfies Record<string, MetricSpec>;

type MetricName = keyof typeof SPECS;
type LabelOf<N extends MetricName> = (typeof SPECS)[N] extends
  { labels: { values: readonly (infer V)[] } } ? V : never;

/** Where each metric's cells begin. A histogram has one a bucket, then +Inf, then the sum. */
const FIRST_CELL = {} as Record<MetricName, number>;
let cellCount = 0;
for (const [name, spec] of Object.entries<MetricSpec>(SPECS)) {
  FIRST_CELL[name as MetricName] = cellCount;
  cellCount += spec.buckets === undefined
    ? spec.labels?.values.length ?? 1
    : spec.buckets.length + 2;
}

/** How many numbers one worker needs. */
export const CELLS = cellCount;

/** The numbers of one worker. */
export class Metrics {
  readonly #cells: Float64Array;

  /** @param cells {@linkcode CELLS} numbers, in shared memory if another thread is to read them. */
  constructor(cells: Float64Array = new Float64Array(CELLS)) {
    this.#cells = cells;
  }

  get cells(): Float64Array {
    return this.#cells;
  }

  /** Adds to a counter or a gauge. */
  add(name: MetricName, amount: number): void {
    this.#cells[FIRST_CELL[name]]! += amount;
  }

  /** Sets a gauge. */
  set(name: MetricName, value: number): void {
    this.#cells[FIRST_CELL[name]] = value;
  }

  /** Adds to one of the values of a metric's label. */
  addLabelled<N extends MetricName>(name: N, label: LabelOf<N> & string, amount: number): void {
    const { labels }: MetricSpec = SPECS[name];
    this.#cells[FIRST_CELL[name] + labels!.values.indexOf(label)]! += amount;
  }

  /** Counts a duration in a histogram. */
  observe(name: MetricName, seconds: number): void {
    const buckets = (SPECS[name] as MetricSpec).buckets!;
    let at = 0;
    while (at < buckets.length && seconds > buckets[at]!) at++;
    const first = FIRST_CELL[name];
    this.#cells[first + at]! += 1;
    this.#cells[first + buckets.length + 1]! += seconds;
  }

  /** Forgets what a worker that is gone was doing; what it had done counts on. */
  resetGauges(): void {
    for (const [name, { type }] of Object.entries<MetricSpec>(SPECS)) {
      if (type === "gauge") this.set(name as MetricName, 0);
    }
  }
}

/** A metric that has no cell: its value is known when the report is made. */
export interface Reading {
  /** With its prefix. */
  readonly name: string;
  readonly type: "counter" | "gauge";
  readonly help: string;
  readonly samples: readonly { labels?: Readonly<Record<string, string>>; value: number }[];
}

/** The report: all workers as one, and the readings behind. */
export function reportMetrics(workers: readonly Metrics[], readings: readonly Reading[]): string {
  const cell = (at: number, merge: Merge) => {
    const values = workers.map(({ cells }) => cells[at]!);
    return merge === "max" ? Math.max(...values) : values.reduce((sum, value) => sum + value, 0);
  };
  const lines: string[] = [];
  const head = (name: string, type: MetricType, help: string) =>
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
  for (const [name, spec] of Object.entries<MetricSpec>(SPECS)) {
    const first = FIRST_CELL[name as MetricName];
    const fullName = PREFIX + name;
    head(fullName, spec.type, spec.help);
    if (spec.buckets !== undefined) {
      lines.push(...histogramLines(fullName, spec.buckets, (at) => cell(first + at, "sum")));
      continue;
    }
    const { name: label, values } = spec.labels ?? { name: "", values: [""] };
    values.forEach((value, at) => {
      const sample = cell(first + at, spec.merge ?? "sum");
      lines.push(`${fullName}${labelText(label === "" ? {} : { [label]: value })} ${sample}`);
    });
  }
  for (const { name, type, help, samples } of readings) {
    head(name, type, help);
    for (const { labels = {}, value } of samples) {
      lines.push(`${name}${labelText(labels)} ${value}`);
    }
  }
  return lines.join("\n") + "\n";
}

function histogramLines(
  name: string,
  bounds: readonly number[],
  cell: (at: number) => number,
): string[] {
  let count = 0;
  const lines = [...bounds.map(String), "+Inf"].map((bound, at) => {
    count += cell(at);
    return `${name}_bucket{le="${bound}"} ${count}`;
  });
  return [...lines, `${name}_sum ${cell(bounds.length + 1)}`, `${name}_count ${count}`];
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) =>
    `${name}="${value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n")}"`
  );
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}
