/** The proxy as a process of its own, and what the kernel, its log and its metrics tell of it. */
import { assertEquals } from "@std/assert";
import { type Authority, parseAuthority } from "../../lib/protocol/authority.ts";
import { connectTo, type Peer } from "../harness/peers.ts";
import type { LogLine } from "../harness/proxy.ts";
import { eventually } from "../harness/test.ts";

const START = [
  "run",
  "--quiet",
  "--no-prompt",
  "-P=start",
  "main.ts",
  "--host=127.0.0.1",
  "--port=0",
  "--admin-port=0",
];
/** Far more than any test takes: what hangs is killed then, and fails. */
const LIMIT_MS = 120_000;
/** The unit of CPU time in /proc, on every Linux. */
const TICK_MS = 10;
const PAGE_BYTES = 4096;

/**
 * For the shell before a {@linkcode Program} whose memory is looked at. Left alone, V8 lets the room
 * for new objects grow by some 60 MiB in a storm and keeps it, which would hide what leaks.
 */
export const SMALL_YOUNG_GENERATION = "export DENO_V8_FLAGS=--max-semi-space-size=1";

/** What a process uses. */
export interface Usage {
  readonly descriptors: number;
  readonly residentBytes: number;
  readonly cpuMs: number;
}

/** A running proxy. None outlives its test. */
export class Program implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #lines = new Map<string, LogLine[]>();
  readonly #collected: Promise<void>;
  readonly #limit: ReturnType<typeof setTimeout>;
  #addresses: { proxy: Authority; admin: Authority } | undefined;
  #more = Promise.withResolvers<void>();
  #mayRead = Promise.resolve();
  #ended = false;

  private constructor(flags: readonly string[], shell: string) {
    const program = [Deno.execPath(), ...START, ...flags];
    this.#child = new Deno.Command("sh", {
      args: ["-c", `${shell}\nexec "$@"`, "sh", ...program],
      // Certificates that the machine adds would be read late, and told of on standard error.
      env: { NO_COLOR: "1", NODE_EXTRA_CA_CERTS: "" },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    this.#limit = setTimeout(() => this.signal("SIGKILL"), LIMIT_MS);
    this.#collected = this.#collect();
  }

  /**
   * Starts it and waits until it listens.
   *
   * @param shell What the shell that becomes the proxy does first, such as `ulimit -n 64`.
   */
  static async start(flags: readonly string[], shell = ""): Promise<Program> {
    const program = new Program(flags, shell);
    try {
      const { address, admin } = await program.logged("listening");
      const [proxyAt, adminAt] = [address, admin].map((text) => parseAuthority(String(text))!);
      program.#addresses = { proxy: proxyAt!, admin: adminAt! };
      return program;
    } catch (error) {
      await program[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Where it listens. */
  get authority(): Authority {
    return this.#addresses!.proxy;
  }

  /** Connects and sends that, if anything. */
  connect(text = ""): Promise<Peer> {
    return connectTo(this.authority, text);
  }

  /** All lines so far with that message. */
  lines(msg: string): readonly LogLine[] {
    return this.#lines.get(msg) ?? [];
  }

  /** All lines so far. */
  get log(): readonly LogLine[] {
    return [...this.#lines.values()].flat();
  }

  /** The line of that number with that message, as soon as it has been written. */
  async logged(msg: string, number = 1): Promise<LogLine> {
    for (;;) {
      const line = this.lines(msg)[number - 1];
      if (line !== undefined) return line;
      if (this.#ended) throw new Error(`ended before ${number} × "${msg}": ${this.#tail()}`);
      await this.#more.promise;
    }
  }

  /** From now on its log stays in the pipe; the function that is returned reads on. */
  stopReadingLog(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#mayRead = promise;
    return resolve;
  }

  /** The answer of the admin server, whole. A connection of its own: none is kept. */
  async admin(path: string): Promise<string> {
    const head = `GET ${path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n`;
    using peer = await connectTo(this.#addresses!.admin, head);
    return await peer.readText();
  }

  /** The value of each sample at `/metrics`. */
  async metrics(): Promise<ReadonlyMap<string, number>> {
    const samples = (await this.admin("/metrics")).matchAll(/^([a-z][^ ]*) (\S+)$/gm);
    return new Map([...samples].map(([, name, value]) => [name!, Number(value)]));
  }

  /** What the kernel says. Read by other programs: Deno itself may not look into `/proc`. */
  async usage(): Promise<Usage> {
    const { stdout } = await new Deno.Command("sh", {
      args: ["-c", 'ls "/proc/$1/fd" | wc -l; cat "/proc/$1/stat"', "sh", String(this.#child.pid)],
    }).output();
    const [count, stat = ""] = new TextDecoder().decode(stdout).split("\n");
    // proc(5), behind the name in parentheses: utime 14, stime 15, rss 24.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ").map(Number);
    return {
      descriptors: Number(count),
      residentBytes: fields[24 - 3]! * PAGE_BYTES,
      cpuMs: (fields[14 - 3]! + fields[15 - 3]!) * TICK_MS,
    };
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

  signal(name: Deno.Signal): void {
    try {
      this.#child.kill(name);
    } catch {
      // It has ended by itself.
    }
  }

  /** Waits for its end. @returns Its exit code. */
  async exitCode(): Promise<number> {
    return (await this.#child.status).code;
  }

  /** The same, with the whole log read. */
  async finished(): Promise<number> {
    await this.#collected;
    return await this.exitCode();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.signal("SIGKILL");
    clearTimeout(this.#limit);
    await this.finished();
    // A line that is no JSON is a forged one, or the last words of the runtime.
    assertEquals(this.lines("not JSON"), []);
  }

  async #collect(): Promise<void> {
    let rest = "";
    for await (const text of this.#child.stderr.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      lines.forEach((line) => this.#keep(parseLine(line)));
      this.#wake();
      await this.#mayRead;
    }
    this.#ended = true;
    this.#wake();
  }

  #keep(line: LogLine): void {
    const msg = String(line.msg);
    const same = this.#lines.get(msg);
    if (same === undefined) this.#lines.set(msg, [line]);
    else same.push(line);
  }

  #wake(): void {
    this.#more.resolve();
    this.#more = Promise.withResolvers();
  }

  #tail(): string {
    return this.log.slice(-5).map((line) => JSON.stringify(line)).join("\n");
  }
}

function parseLine(text: string): LogLine {
  try {
    return JSON.parse(text);
  } catch {
    return { msg: "not JSON", text };
  }
}
