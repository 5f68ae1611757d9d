/** The load generator: a program that plays the clients and the upstream of a proxy. */

/** What it is asked to do; see load/main.go. */
export interface Job {
  readonly workload:
    | "connections"
    | "round-trips"
    | "held-trips"
    | "down"
    | "up"
    | "hold"
    | "release"
    | "first"
    | "beside-bulk";
  readonly address: string;
  /** Whether to ask for a tunnel by CONNECT. */
  readonly connect: boolean;
  readonly parallel?: number;
  readonly messageBytes?: number;
  readonly seconds?: number;
  readonly operations?: number;
}

/** What it has done. */
export interface JobResult {
  readonly operations: number;
  readonly bytes: number;
  readonly seconds: number;
  /** Of `beside-bulk`: from connecting to the first echo, and of echoes on standing tunnels. */
  readonly firstEcho?: Quantiles;
  readonly echo?: Quantiles;
  readonly error?: string;
}

/** Of many times, in milliseconds. */
export interface Quantiles {
  readonly p50: number;
  readonly p99: number;
}

/** A running load generator. */
export class Load {
  /** Where its upstream listens. */
  readonly upstream: string;
  readonly #process: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  #rest = "";

  private constructor(
    process: Deno.ChildProcess,
    upstream: string,
    lines: ReadableStreamDefaultReader<string>,
  ) {
    this.#process = process;
    this.upstream = upstream;
    this.#lines = lines;
    this.#input = process.stdin.getWriter();
  }

  /** Builds it with Go and starts it. */
  static async start(directory: string): Promise<Load> {
    const program = `${directory}/load`;
    const cwd = new URL("./load", import.meta.url).pathname;
    const build = await new Deno.Command("go", { args: ["build", "-o", program, "."], cwd })
      .output();
    if (!build.success) throw new Error(`go build: ${new TextDecoder().decode(build.stderr)}`);
    const process = new Deno.Command(program, { stdin: "piped", stdout: "piped" }).spawn();
    const lines = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const { value = "{}" } = await lines.read();
    return new Load(process, JSON.parse(value).upstream, lines);
  }

  /** Does one job. @throws {Error} What went wrong in it. */
  async run(job: Job): Promise<JobResult> {
    await this.#input.write(new TextEncoder().encode(JSON.stringify(job) + "\n"));
    const result: JobResult = JSON.parse(await this.#readLine());
    if (result.error === undefined) return result;
    throw new Error(`${job.workload} at ${job.address}: ${result.error}`);
  }

  async #readLine(): Promise<string> {
    while (!this.#rest.includes("\n")) {
      const { value, done } = await this.#lines.read();
      if (done) throw new Error("the load generator is gone");
      this.#rest += value;
    }
    const end = this.#rest.indexOf("\n");
    const line = this.#rest.slice(0, end);
    this.#rest = this.#rest.slice(end + 1);
    return line;
  }

  async stop(): Promise<void> {
    await this.#input.close().catch(() => {});
    await this.#process.status;
    await this.#lines.cancel();
  }
}
