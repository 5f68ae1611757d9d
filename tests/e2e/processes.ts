/** Child processes: run to the end, or kept and talked to. None outlives its test run. */

/** Far more than anything here takes: reached only by what hangs. */
const LIMIT_MS = 120_000;

/** How to start a process. */
export interface Start {
  readonly env?: Record<string, string>;
  readonly cwd?: string;
}

/** What a process that has ended leaves behind. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end, whatever its exit code. */
export async function run(
  command: readonly string[],
  { stdin = "", limitMs = LIMIT_MS, ...start }: Start & { stdin?: string; limitMs?: number } = {},
): Promise<Outcome> {
  const [program, ...args] = command;
  const signal = AbortSignal.timeout(limitMs);
  const child = new Deno.Command(program!, {
    args,
    ...start,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    signal,
  }).spawn();
  const [{ code, ...output }] = await Promise.all([child.output(), type(child.stdin, stdin)]);
  const stdout = new TextDecoder().decode(output.stdout);
  const stderr = new TextDecoder().decode(output.stderr);
  if (signal.aborted) throw new Error(`${command.join(" ")} did not end: ${stdout}${stderr}`);
  return { code, stdout, stderr };
}

/** Runs a command that must succeed. @returns Its stdout. */
export async function output(
  command: readonly string[],
  options: Start & { stdin?: string; limitMs?: number } = {},
): Promise<string> {
  const { code, stdout, stderr } = await run(command, options);
  if (code !== 0) throw new Error(`${command.join(" ")} ended with ${code}: ${stdout}${stderr}`);
  return stdout;
}

async function type(stdin: WritableStream<Uint8Array<ArrayBuffer>>, text: string): Promise<void> {
  try {
    await new Blob([text]).stream().pipeTo(stdin);
  } catch {
    // It has ended without reading all: its exit code tells.
  }
}

/**
 * A process that runs while a test talks to it. Linux kills it when the thread that started it ends,
 * the one of the test's file: not even a killed test run leaves it behind.
 */
export class Process implements AsyncDisposable {
  readonly stdout: Lines;
  readonly stderr: Lines;
  readonly #child: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;

  constructor(command: readonly string[], start: Start = {}) {
    this.#child = new Deno.Command("setpriv", {
      args: ["--pdeathsig=KILL", "--", ...command],
      ...start,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const name = command.join(" ");
    this.stdout = new Lines(this.#child.stdout, () => `${name}\n${this.stderr.tail}`);
    this.stderr = new Lines(this.#child.stderr, () => `${name}\n${this.stderr.tail}`);
    this.#stdin = this.#child.stdin.getWriter();
  }

  /** Types that into its stdin. */
  async write(text: string): Promise<void> {
    await this.#stdin.write(new TextEncoder().encode(text));
  }

  /** Sends a signal, unless it has ended, and waits for its end. @returns Its exit code. */
  async stop(signal: Deno.Signal = "SIGTERM"): Promise<number> {
    try {
      this.#child.kill(signal);
    } catch {
      // It has ended already.
    }
    return await this.ended();
  }

  /** Waits for its end. @returns Its exit code. */
  async ended(): Promise<number> {
    const { code } = await this.#child.status;
    await Promise.all([this.stdout.ended, this.stderr.ended]);
    await this.#stdin.close().catch(() => {});
    return code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop("SIGKILL");
  }
}

/** The lines of a stream, kept as they come. */
export class Lines {
  readonly all: string[] = [];
  /** Settles when the stream has ended. */
  readonly ended: Promise<void>;
  readonly #context: () => string;
  #more = Promise.withResolvers<void>();
  #over = false;

  /** @param context What to tell when a line that is waited for does not come. */
  constructor(stream: ReadableStream<Uint8Array<ArrayBuffer>>, context: () => string) {
    this.#context = context;
    this.ended = this.#collect(stream);
  }

  /** The last lines, for messages. */
  get tail(): string {
    return this.all.slice(-20).join("\n");
  }

  /** The first line that fits, as soon as it is there. @param from Lines to pass over. */
  async find(fits: (line: string) => boolean, from = 0): Promise<string> {
    const deadline = Promise.withResolvers<never>();
    const timer = setTimeout(() => deadline.reject(this.#missing("in time")), LIMIT_MS);
    try {
      for (let next = from;; next++) {
        while (next >= this.all.length) {
          if (this.#over) throw this.#missing("before the end");
          await Promise.race([this.#more.promise, deadline.promise]);
        }
        if (fits(this.all[next]!)) return this.all[next]!;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #missing(when: string): Error {
    return new Error(`no such line ${when} in:\n${this.tail}\nof ${this.#context()}`);
  }

  async #collect(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<void> {
    let rest = "";
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      this.all.push(...lines);
      this.#wake();
    }
    if (rest !== "") this.all.push(rest);
    this.#over = true;
    this.#wake();
  }

  #wake(): void {
    this.#more.resolve();
    this.#more = Promise.withResolvers();
  }
}
