/** Our proxy as users run it: a process with flags, a log and signals. */
import { Process } from "./processes.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
/** As the task `start` runs it. */
const FROM_SOURCE = [
  "run",
  "--quiet",
  "--no-prompt",
  "-P=start",
  "--v8-flags=--max-semi-space-size=4",
  `${ROOT}main.ts`,
];

/** A line of the proxy's log. */
export type LogLine = Readonly<Record<string, unknown>>;

/** The command that runs our proxy: from source, or the binary that `PROXY_BIN` names. */
export function proxyCommand(...args: string[]): string[] {
  const binary = Deno.env.get("PROXY_BIN");
  if (binary !== undefined) return [binary, ...args];
  return [Deno.execPath(), ...FROM_SOURCE, ...args];
}

/** How to start it. */
export interface ProxyOptions {
  /** What to put before the command, such as `ip netns exec NAME`. */
  readonly prefix?: readonly string[];
  readonly host?: string;
  readonly port?: number;
  readonly flags?: readonly string[];
}

/** A running proxy. */
export class ProxyProcess implements AsyncDisposable {
  readonly #process: Process;
  /** Where it listens, `host:port`. */
  readonly address: string;
  /** Where it tells its health and numbers, `host:port`. */
  readonly adminAddress: string;

  private constructor(process: Process, { address, admin }: LogLine) {
    this.#process = process;
    this.address = String(address);
    this.adminAddress = String(admin);
  }

  /** Starts it and waits until it listens. */
  static async start(options: ProxyOptions): Promise<ProxyProcess> {
    const { prefix = [], host = "127.0.0.1", port = 0, flags = [] } = options;
    const addresses = [`--host=${host}`, `--port=${port}`, "--admin-port=0"];
    const process = new Process([...prefix, ...proxyCommand(...addresses, ...flags)]);
    const line = await process.stderr.find((line) => parse(line)?.msg === "listening");
    return new ProxyProcess(process, parse(line)!);
  }

  /** What clients put into `proxy-url`. */
  get url(): string {
    return `http://${this.address}`;
  }

  /** What it has logged so far. */
  get log(): LogLine[] {
    return this.#process.stderr.all.map(parse).filter((line) => line !== undefined);
  }

  /** The first line of the log that fits, as soon as it is there. */
  async logged(fits: (line: LogLine) => boolean): Promise<LogLine> {
    return parse(
      await this.#process.stderr.find((text) => {
        const line = parse(text);
        return line !== undefined && fits(line);
      }),
    )!;
  }

  /** Asks it to drain and waits for its end. @returns Its exit code. */
  async terminate(): Promise<number> {
    return await this.#process.stop("SIGTERM");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
  }
}

function parse(line: string): LogLine | undefined {
  return line.startsWith("{") ? JSON.parse(line) : undefined;
}
