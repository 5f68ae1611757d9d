/** A proxy in the test's own process, what it logs, and what it counts. */
import { once } from "node:events";
import { assertEquals } from "@std/assert";
import { type Config, parseConfig } from "../../lib/config/config.ts";
import type { Authority } from "../../lib/protocol/authority.ts";
import { Proxy } from "../../lib/proxy/proxy.ts";
import { allocateShared, layoutFor, type SharedMemory } from "../../lib/proxy/shared_memory.ts";
import { createLog } from "../../lib/telemetry/log.ts";
import {
  Metrics,
  type MetricsLayout,
  type Readings,
  reportMetrics,
} from "../../lib/telemetry/metrics.ts";
import { samplesOf } from "./metrics_report.ts";
import {
  CONNECT,
  connectTo,
  establish,
  type Peer,
  type TestUpstream,
  type Tunnel,
} from "./peers.ts";

/** One line of the proxy's log. */
export type LogLine = Readonly<Record<string, unknown>>;

/** The lines that a proxy in this process logs, as they come. */
export class TestLog {
  readonly lines: LogLine[] = [];
  readonly #newLine = new EventTarget();

  /** Takes whole lines. */
  write(text: string): void {
    for (const line of text.trimEnd().split("\n")) this.lines.push(JSON.parse(line));
    this.#newLine.dispatchEvent(new Event("line"));
  }

  /** The line of that number with that message, as soon as it has been written. */
  async logged(msg: string, number = 1): Promise<LogLine> {
    for (;;) {
      const found = this.lines.filter((line) => line.msg === msg);
      if (found.length >= number) return found[number - 1]!;
      await once(this.#newLine, "line");
    }
  }
}

/** The messages that end a connection. */
const ENDS: readonly unknown[] = ["tunnel", "refused", "no tunnel"];

/** Of each connection one line at most says how it ended, and none comes after that. */
export function assertEndsAreLast(lines: readonly LogLine[]): void {
  const ended = new Map<unknown, LogLine>();
  for (const line of lines) {
    if (line.id === undefined) continue;
    assertEquals(ended.has(line.id), false, JSON.stringify([ended.get(line.id), line]));
    if (ENDS.includes(line.msg)) ended.set(line.id, line);
  }
}

/** A running proxy on a port of its own, and what it has logged. */
export class TestProxy implements AsyncDisposable {
  readonly proxy: Proxy;
  readonly shared: SharedMemory;
  readonly #log = new TestLog();
  readonly #layout: MetricsLayout;

  /**
   * @param config What differs from the defaults; probes are off unless asked for.
   * @param others The workers that share its memory; it is the first of them, and the only real one.
   */
  constructor(
    config: Partial<Config>,
    others: { workers?: number; onRoomWanted?: (worker: number, client: number) => void } = {},
  ) {
    const { workers = 1, onRoomWanted } = others;
    const flags = ["--upstream=127.0.0.1:1", "--host=127.0.0.1", "--port=0"];
    const invocation = parseConfig(flags, () => undefined);
    if (invocation.kind !== "run") throw new Error("the test's own flags are wrong");
    const write = (line: string) => this.#log.write(line);
    const log = createLog({ level: "debug", format: "json", write });
    const all = { ...invocation.config, probeIntervalMs: 0, ...config };
    this.shared = allocateShared(all, workers);
    this.#layout = layoutFor(all);
    this.proxy = new Proxy(all, log, this.shared, 0, onRoomWanted);
  }

  /** All lines so far. */
  get lines(): readonly LogLine[] {
    return this.#log.lines;
  }

  get authority(): Authority {
    const { hostname, port } = this.proxy.address;
    return { host: hostname, port };
  }

  /** Clients that count against `--max-connections` just now. */
  get served(): number {
    return this.shared.served[0]![0]!;
  }

  /** Connects and sends that, if anything. */
  connect(text = ""): Promise<Peer> {
    return connectTo(this.authority, text);
  }

  /** A client whose tunnel is up, and the upstream's end of it. */
  async tunnel(upstream: TestUpstream): Promise<Tunnel> {
    return await establish(await this.connect(CONNECT), upstream);
  }

  /** The line of that number with that message, as soon as it has been written. */
  logged(msg: string, number = 1): Promise<LogLine> {
    return this.#log.logged(msg, number);
  }

  /** The value of one sample, with its labels if it has some: `name{label="value"}`. */
  metric(sample: string): number {
    return sampleOf(
      reportMetrics(
        this.shared.metrics.map((cells) => new Metrics(this.#layout, cells)),
        NO_READINGS,
      ),
      sample,
    );
  }

  /** Ends the proxy; every gauge must be back at zero then. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.proxy.cut();
    await this.proxy.finished;
    assertEndsAreLast(this.lines);
    assertEquals(this.served, 0);
    const gauges = ["connections_active", "tunnels_active"];
    assertEquals(gauges.map((name) => this.metric(name)), [0, 0], `${gauges}`);
  }
}

/** Stands for what a whole process would read. */
export const NO_READINGS: Readings = {
  api_server_proxy_connections_limit: 0,
  api_server_proxy_upstream_up: [],
  api_server_proxy_draining: 0,
  api_server_proxy_workers: 1,
  api_server_proxy_worker_restarts_total: 0,
  api_server_proxy_build_info: 1,
  process_cpu_seconds_total: 0,
  process_resident_memory_bytes: 0,
  process_start_time_seconds: 0,
};

/** The value of one sample of a report, which must have no fault; without the prefix. */
export function sampleOf(report: string, sample: string): number {
  const value = samplesOf(report).get(`api_server_proxy_${sample}`);
  if (value === undefined) throw new Error(`no ${sample} in\n${report}`);
  return value;
}
