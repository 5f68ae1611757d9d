/**
 * Every metric: its name, what it counts, and how Prometheus wants it written
 * (text format 0.0.4). What workers count has cells in one array of numbers
 * each; the report adds the arrays up. In shared memory that takes no message,
 * so a worker that does not answer cannot keep the report waiting.
 */
import { REFUSALS } from "../protocol/refusal.ts";

type MetricType = "counter" | "gauge" | "histogram";

/** How the cells of several workers become one value. */
type Merge = "sum" | "max";

/** Label values that the configuration gives: closed sets, too. */
export interface LabelSets {
  readonly upstream: readonly string[];
  readonly peer: readonly string[];
}

/** All values that a label can have: a closed set, never what a client sent. */
type LabelValues = readonly string[] | "configured";

interface MetricSpec {
  readonly type: MetricType;
  readonly help: string;
  /** In the order in which {@linkcode Metrics.add} takes their values; two at most. */
  readonly labels?: Readonly<Record<string, LabelValues>>;
  /** Upper bounds of a histogram. */
  readonly buckets?: readonly number[];
  readonly merge?: Merge;
}

const PREFIX = "api_server_proxy_";

// A local dial takes half a millisecond; the longest wait is 30 s.
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

/** How an attempt to connect to an upstream can end: the error is that of RFC 9209. */
const CONNECT_RESULTS = [
  "connected",
  "connection_refused",
  "destination_ip_unroutable",
  "dns_error",
  "connection_timeout",
  "proxy_loop_detected",
  "connection_limit_reached",
  "proxy_internal_error",
];
// A look takes 5 s at most.
const PROBE_BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

/** What workers count, without the prefix. */
const COUNTED = {
  connections_total: { type: "counter", help: "Client connections accepted." },
  connections_active: { type: "gauge", help: "Client connections being served." },
  requests_total: {
    type: "counter",
    help: "Requests answered, by status.",
    labels: { code: CODES.map(String) },
  },
  refusals_total: {
    type: "counter",
    help: "Requests refused, by the error type of RFC 9209.",
    labels: { error: ERRORS },
  },
  limit_refusals_total: {
    type: "counter",
    help: "Clients refused by a limit of their number, by the limit.",
    labels: { limit: ["max_connections", "max_connections_per_source", "local_shortage"] },
  },
  tunnels_active: { type: "gauge", help: "Tunnels that are up." },
  peer_tunnels_active: {
    type: "gauge",
    help: "Tunnels that are up of clients that have a name.",
    labels: { peer: "configured" },
  },
  tunnel_bytes_total: {
    type: "counter",
    help: "Bytes carried: up is from client to API server.",
    labels: { direction: ["up", "down"] },
  },
  connect_duration_seconds: {
    type: "histogram",
    help: "How long it took to reach the API server.",
    buckets: CONNECT_BUCKETS_SECONDS,
  },
  upstream_connects_total: {
    type: "counter",
    help: "Attempts to connect to each API server, by how they ended.",
    labels: { upstream: "configured", result: CONNECT_RESULTS },
  },
  upstream_probe_duration_seconds: {
    type: "histogram",
    help: "How long probes of each API server took, failed ones too.",
    labels: { upstream: "configured" },
    buckets: PROBE_BUCKETS_SECONDS,
  },
  first_byte_duration_seconds: {
    type: "histogram",
    help: "From a tunnel's first byte from the client to the API server's first byte.",
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
    help: "How long what was ready had to wait, the worst of 15 s and of all workers.",
    merge: "max",
  },
} as const satisfies Record<string, MetricSpec>;

/** What is known when the report is made, with full names: the `process_*` ones are Prometheus's own. */
const READ = {
  api_server_proxy_connections_limit: {
    type: "gauge",
    help: "Client connections that may be served at once; 0 is no limit.",
  },
  api_server_proxy_upstream_up: { type: "gauge", help: "Whether the API server can be reached." },
  api_server_proxy_draining: { type: "gauge", help: "Whether the proxy is shutting down." },
  api_server_proxy_workers: { type: "gauge", help: "Event loops that share the port." },
  api_server_proxy_worker_restarts_total: {
    type: "counter",
    help: "Workers that have died and were started again.",
  },
  api_server_proxy_build_info: { type: "gauge", help: "What is running." },
  process_cpu_seconds_total: { type: "counter", help: "CPU time, user and system." },
  process_resident_memory_bytes: { type: "gauge", help: "Resident memory." },
  process_start_time_seconds: {
    type: "gauge",
    help: "When the process began, in seconds since the epoch.",
  },
} as const satisfies Record<string, Pick<MetricSpec, "type" | "help">>;

type MetricName = keyof typeof COUNTED;

/** The value of a metric that is read when the report is made: one, or one for each set of labels. */
export type Reading =
  | number
  | readonly { labels: Readonly<Record<string, string>>; value: number }[];

/** A value for each metric that is read. */
export type Readings = Readonly<Record<keyof typeof READ, Reading>>;

/** Where the cells of one metric are: a run of `stride` cells for each combination of labels. */
interface Place {
  readonly first: number;
  readonly stride: number;
  readonly labels: readonly { name: string; values: readonly string[] }[];
}

/** Where each metric's cells are. The same sets of labels give the same layout. */
export class MetricsLayout {
  readonly places: Readonly<Record<MetricName, Place>>;
  /** How many numbers one worker needs. */
  readonly cellCount: number;

  constructor(sets: LabelSets) {
    const places = {} as Record<MetricName, Place>;
    let first = 0;
    for (const [name, spec] of Object.entries<MetricSpec>(COUNTED)) {
      const labels = Object.entries(spec.labels ?? {}).map(([label, values]) => ({
        name: label,
        values: values === "configured" ? sets[label as keyof LabelSets] : values,
      }));
      // A histogram has one cell a bucket, then +Inf, then the sum.
      const stride = spec.buckets === undefined ? 1 : spec.buckets.length + 2;
      places[name as MetricName] = { first, stride, labels };
      first += stride * labels.reduce((count, { values }) => count * values.length, 1);
    }
    this.places = places;
    this.cellCount = first;
  }
}

/** The numbers of one worker. */
export class Metrics {
  readonly cells: Float64Array;
  readonly layout: MetricsLayout;

  /** @param cells As many as the layout says, in shared memory if another thread is to read them. */
  constructor(layout: MetricsLayout, cells: Float64Array = new Float64Array(layout.cellCount)) {
    this.layout = layout;
    this.cells = cells;
  }

  /** Adds to a counter or a gauge. The values of its labels come in the order of the table. */
  add(name: MetricName, amount: number, label?: string, secondLabel?: string): void {
    this.cells[this.#cell(name, label, secondLabel)]! += amount;
  }

  /** The value of a counter or a gauge without labels. */
  get(name: MetricName): number {
    return this.cells[this.#cell(name)]!;
  }

  /** Sets a gauge. */
  set(name: MetricName, value: number): void {
    this.cells[this.#cell(name)] = value;
  }

  /** Counts a duration in a histogram. */
  observe(name: MetricName, seconds: number, label?: string): void {
    const buckets = (COUNTED[name] as MetricSpec).buckets!;
    let at = 0;
    while (at < buckets.length && seconds > buckets[at]!) at++;
    const first = this.#cell(name, label);
    this.cells[first + at]! += 1;
    this.cells[first + buckets.length + 1]! += seconds;
  }

  /** Resets the gauges of a worker that has ended; its counters stay. */
  resetGauges(): void {
    for (const [name, { type }] of Object.entries<MetricSpec>(COUNTED)) {
      if (type !== "gauge") continue;
      const { first, stride, labels } = this.layout.places[name as MetricName];
      const count = labels.reduce((count, { values }) => count * values.length, stride);
      this.cells.fill(0, first, first + count);
    }
  }

  /** @throws {RangeError} When a label is missing, or has a value that is not in its set. */
  #cell(name: MetricName, label?: string, secondLabel?: string): number {
    const { first, stride, labels } = this.layout.places[name];
    if (labels.length === 0) return first;
    let index = labels[0]!.values.indexOf(label!);
    if (labels.length > 1) {
      const { values } = labels[1]!;
      const second = values.indexOf(secondLabel!);
      index = second < 0 || index < 0 ? -1 : index * values.length + second;
    }
    if (index < 0) throw new RangeError(`no cell of ${name} for ${label} ${secondLabel ?? ""}`);
    return first + index * stride;
  }
}

/** The report: the sum of all that was counted, then what was read. */
export function reportMetrics(counted: readonly Metrics[], readings: Readings): string {
  const lines: string[] = [];
  for (const [name, spec] of Object.entries<MetricSpec>(COUNTED)) {
    const samples = countedLines(name as MetricName, spec, counted);
    // A label that the configuration gives no value has no series.
    if (samples.length > 0) lines.push(...headLines(PREFIX + name, spec), ...samples);
  }
  for (const [name, spec] of Object.entries(READ)) {
    const reading = readings[name as keyof typeof READ];
    const samples = typeof reading === "number" ? [{ labels: {}, value: reading }] : reading;
    lines.push(
      ...headLines(name, spec),
      ...samples.map(({ labels, value }) => `${name}${labelText(labels)} ${value}`),
    );
  }
  return lines.join("\n") + "\n";
}

function headLines(name: string, { type, help }: Pick<MetricSpec, "type" | "help">): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];
}

function countedLines(
  name: MetricName,
  { buckets, merge }: MetricSpec,
  counted: readonly Metrics[],
): string[] {
  const { first, stride, labels } = counted[0]!.layout.places[name];
  const value = (cell: number) => {
    const values = counted.map(({ cells }) => cells[cell]!);
    return merge === "max" ? Math.max(...values) : values.reduce((sum, value) => sum + value, 0);
  };
  return combinations(labels).flatMap((combination, index) => {
    const at = first + index * stride;
    return buckets === undefined
      ? [`${PREFIX}${name}${labelText(combination)} ${value(at)}`]
      : histogramLines(PREFIX + name, combination, buckets, (offset) => value(at + offset));
  });
}

/** Every combination of label values, the last label's changing first. */
function combinations(labels: Place["labels"]): Readonly<Record<string, string>>[] {
  return labels.reduce<Readonly<Record<string, string>>[]>(
    (sets, { name, values }) =>
      sets.flatMap((set) => values.map((value) => ({ ...set, [name]: value }))),
    [{}],
  );
}

function histogramLines(
  name: string,
  labels: Readonly<Record<string, string>>,
  bounds: readonly number[],
  cell: (at: number) => number,
): string[] {
  let count = 0;
  const lines = [...bounds.map(String), "+Inf"].map((le, at) => {
    count += cell(at);
    return `${name}_bucket${labelText({ ...labels, le })} ${count}`;
  });
  return [
    ...lines,
    `${name}_sum${labelText(labels)} ${cell(bounds.length + 1)}`,
    `${name}_count${labelText(labels)} ${count}`,
  ];
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) =>
    `${name}="${value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n")}"`
  );
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}
