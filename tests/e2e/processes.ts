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
  readonly #name: string;
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
    this.#name = command.join(" ");
    this.stdout = new Lines(this.#child.stdout, () => `${this.#name}\n${this.stderr.tail}`);
    this.stderr = new Lines(this.#child.stderr, () => `${this.#name}\n${this.stderr.tail}`);
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

  /** Waits for its end. @returns Its exit code. @throws {Error} When it goes on for far too long. */
  async ended(): Promise<number> {
    const end = Promise.all([this.#child.status, this.stdout.ended, this.stderr.ended]);
    const [{ code }] = await inTime(end, () => new Error(`no end of ${this.#name}`));
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

  /** The first line that fits, as soon as it is there. */
  async find(fits: (line: string) => boolean): Promise<string> {
    return await inTime(this.#find(fits), () => this.#missing("in time"));
  }

  async #find(fits: (line: string) => boolean): Promise<string> {
    for (let next = 0;; next++) {
      while (next >= this.all.length) {
        if (this.#over) throw this.#missing("before the end");
        await this.#more.promise;
      }
      if (fits(this.all[next]!)) return this.all[next]!;
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

/** Waits for a promise, but not for ever. @param late What to throw then. */
async function inTime<T>(promise: Promise<T>, late: () => Error): Promise<T> {
  const deadline = Promise.withResolvers<never>();
  const timer = setTimeout(() => deadline.reject(late()), LIMIT_MS);
  try {
    return await Promise.race([promise, deadline.promise]);
  } finally {
    clearTimeout(timer);
  }
}
