/** The proxy as users run it: a process, and what its log, its metrics and the kernel say of it. */
import { assertEquals } from "@std/assert";
import project from "../../deno.json" with { type: "json" };
import { type Authority, parseAuthority } from "../../lib/protocol/authority.ts";
import type { TunnelInfo } from "../../lib/proxy/tunnel_record.ts";
import { output, Process, type Usage, usageOf, whyItFails } from "./child_process.ts";
import { samplesOf } from "./metrics_report.ts";
import { connectTo, type Peer } from "./peers.ts";
import { assertEndsAreLast, type LogLine } from "./proxy.ts";
import { inRoot } from "../sources.ts";
import { eventually } from "./test.ts";

/** The command that runs the proxy: as the task `start`, or the binary that `PROXY_BIN` names. */
export function proxyCommand(...args: string[]): string[] {
  const binary = Deno.env.get("PROXY_BIN");
  if (binary !== undefined) return [inRoot(binary), ...args];
  return [...sourceCommand(), ...args];
}

/** The command that runs the proxy from its source, in {@linkcode PROXY_START}'s folder. */
export function sourceCommand(v8Flags?: readonly string[]): string[] {
  const [, ...words] = project.tasks.start.command.replaceAll("'", "").split(" ");
  const others = v8Flags && words.map((word) => word.replace(/(?<=^--v8-flags=).*/, `${v8Flags}`));
  return [Deno.execPath(), ...others ?? words];
}

/** What the proxy is started with, so that its paths and its messages are the same everywhere. */
export const PROXY_START = {
  cwd: inRoot(""),
  // Certificates that the machine adds would be read late, and reported on standard error.
  env: { NO_COLOR: "1", NODE_EXTRA_CA_CERTS: "" },
} as const;

/** How to start the proxy. */
export interface ProxyOptions {
  /** What to put before the command, such as `ip netns exec NAME`, or {@linkcode afterShell}. */
  readonly prefix?: readonly string[];
  /** In a process namespace of its own, as in a container: see {@linkcode whyNotPid1}. */
  readonly isPid1?: boolean;
  /** 127.0.0.1 if not given; empty: every address. */
  readonly host?: string;
  readonly port?: number;
  readonly flags?: readonly string[];
  readonly env?: Record<string, string>;
}

/** Makes what follows the first process of a namespace; none of them outlives it. */
const AS_PID_1 = ["unshare", "--pid", "--fork", "--kill-child=KILL", "--"];

/** Why no process can be PID 1 here, if so. */
export async function whyNotPid1(): Promise<string | undefined> {
  return await whyItFails([...AS_PID_1, "true"]);
}

/** The proxy as users run it: a process with flags, a log, signals and metrics. */
export class ProxyProcess implements AsyncDisposable {
  readonly #process: Process;
  readonly #pid: number;
  readonly #lines = new Map<string, LogLine[]>();
  readonly #log: LogLine[] = [];

  private constructor(process: Process, pid: number) {
    this.#process = process;
    this.#pid = pid;
  }

  /** Starts it and waits until it listens. */
  static async start(options: ProxyOptions): Promise<ProxyProcess> {
    const proxy = await ProxyProcess.spawn(options);
    try {
      await proxy.logged("listening");
      return proxy;
    } catch (error) {
      await proxy.#process[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Starts it, and does not wait for more than the process. */
  static async spawn(options: ProxyOptions): Promise<ProxyProcess> {
    const { prefix = [], isPid1 = false, host = "127.0.0.1", port = 0, flags = [] } = options;
    const addresses = [
      ...(host === "" ? [] : [`--host=${host}`]),
      `--port=${port}`,
      "--admin-port=0",
    ];
    const command = [
      ...prefix,
      ...(isPid1 ? AS_PID_1 : []),
      ...proxyCommand(...addresses, ...flags),
    ];
    const env = { ...PROXY_START.env, ...options.env };
    const process = new Process(command, { ...PROXY_START, env, stdout: "null" });
    return new ProxyProcess(process, isPid1 ? await childOf(process.pid) : process.pid);
  }

  get pid(): number {
    return this.#pid;
  }

  /** Where it listens, `host:port`. */
  get address(): string {
    return String(this.#listening.address);
  }

  /** The same of its admin server. */
  get adminAddress(): string {
    return String(this.#listening.admin);
  }

  get authority(): Authority {
    return parseAuthority(this.address)!;
  }

  /** What clients put into `proxy-url`. */
  get url(): string {
    return `http://${this.address}`;
  }

  get #listening(): LogLine {
    const [line] = this.lines("listening");
    if (line === undefined) throw new Error("it does not listen yet");
    return line;
  }

  /** Connects and sends that, if anything. */
  connect(text = ""): Promise<Peer> {
    return connectTo(this.authority, text);
  }

  /** All lines of its log so far. */
  get log(): readonly LogLine[] {
    for (const text of this.#process.stderr.whole.slice(this.#log.length)) {
      const line = parseLine(text);
      this.#log.push(line);
      const msg = String(line.msg);
      const same = this.#lines.get(msg);
      if (same === undefined) this.#lines.set(msg, [line]);
      else same.push(line);
    }
    return this.#log;
  }

  /** All lines so far with that message. */
  lines(msg: string): readonly LogLine[] {
    void this.log;
    return this.#lines.get(msg) ?? [];
  }

  /** The line of that number with that message, or that fits, as soon as it has been written. */
  async logged(msg: string | ((line: LogLine) => boolean), number = 1): Promise<LogLine> {
    const fitting = () => typeof msg === "string" ? this.lines(msg) : this.log.filter(msg);
    return await this.#process.stderr.until(() => fitting()[number - 1]);
  }

  /** From now on its log stays in the pipe; the function that is returned reads on. */
  stopReadingLog(): () => void {
    return this.#process.stderr.stopReading();
  }

  /** The answer of the admin server, whole. A connection of its own: none is kept. */
  async admin(path: string): Promise<string> {
    const head = `GET ${path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n`;
    using peer = await connectTo(parseAuthority(this.adminAddress)!, head);
    return await peer.readText();
  }

  /** The value of each sample at `/metrics`, whose answer must have no fault. */
  async metrics(): Promise<ReadonlyMap<string, number>> {
    const answer = await this.admin("/metrics");
    if (!answer.startsWith("HTTP/1.1 200 ")) throw new Error(`no report: ${answer}`);
    return samplesOf(answer.slice(answer.indexOf("\r\n\r\n") + 4));
  }

  /** Its live tunnels, as `/tunnels` lists them. */
  async tunnels(): Promise<readonly TunnelInfo[]> {
    const response = await fetch(`http://${this.adminAddress}/tunnels`);
    return await response.json();
  }

  /** What the kernel says of it. */
  async usage(): Promise<Usage> {
    return await usageOf(this.#pid);
  }

  /** Waits until no connection, tunnel or descriptor is there beyond those of `before`. */
  async settled(before: Usage): Promise<void> {
    await eventually("the proxy has what it had", async () => {
      const { descriptors } = await this.usage();
      // Just after a shortage of descriptors the admin server may still be down.
      const metrics = await this.metrics().catch(() => new Map<string, number>());
      // There may have been more at first: a tunnel or a probe that was just ending.
      return [
        Math.max(descriptors, before.descriptors),
        metrics.get("api_server_proxy_connections_active"),
        metrics.get("api_server_proxy_tunnels_active"),
      ];
    }, [before.descriptors, 0, 0]);
  }

  /** Sends a signal, unless it has ended. */
  signal(signal: Deno.Signal): void {
    if (this.#pid === this.#process.pid) return this.#process.signal(signal);
    try {
      Deno.kill(this.#pid, signal);
    } catch {
      // It has ended already.
    }
  }

  /** Waits for its end, whether its log has been read or not. @returns Its exit code. */
  async exitCode(): Promise<number> {
    return await this.#process.exitCode();
  }

  /** The same, with the whole log read. */
  async ended(): Promise<number> {
    return await this.#process.ended();
  }

  /** Asks it to drain and waits for its end. @returns Its exit code. */
  async terminate(): Promise<number> {
    this.signal("SIGTERM");
    return await this.ended();
  }

  /** Kills it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
    // A line that is no JSON is a forged one, or the last words of the runtime.
    assertEquals(this.lines("not JSON"), []);
    assertEndsAreLast(this.log);
  }
}

function parseLine(text: string): LogLine {
  try {
    return JSON.parse(text);
  } catch {
    return { msg: "not JSON", text };
  }
}

/** The process that a process has started, as soon as it has. */
async function childOf(pid: number): Promise<number> {
  let child = NaN;
  await eventually("there is a child", async () => {
    child = parseInt(await output(["cat", `/proc/${pid}/task/${pid}/children`]));
    return child > 0;
  }, true);
  return child;
}
