/** Child processes: run to the end, or kept and talked to. None outlives its test run. */

/** Far more than anything here takes: reached only by what hangs. */
const LIMIT_MS = 120_000;
/** The unit of CPU time in /proc, on every Linux. */
const TICK_MS = 10;
const PAGE_BYTES = 4096;

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

/** Why a command fails on this machine; `undefined` when it succeeds. For the skips of tests. */
export async function whyItFails(command: readonly string[]): Promise<string | undefined> {
  try {
    await output(command);
    return undefined;
  } catch (error) {
    return (error as Error).message.trim();
  }
}

async function type(stdin: WritableStream<Uint8Array<ArrayBuffer>>, text: string): Promise<void> {
  try {
    await new Blob([text]).stream().pipeTo(stdin);
  } catch {
    // It has ended without reading all: its exit code says why.
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

  /** @param start `stdout` and `stderr` are kept as lines, or go nowhere. */
  constructor(
    command: readonly string[],
    { stdout = "piped", stderr = "piped", ...start }: Start & {
      readonly stdout?: "piped" | "null";
      readonly stderr?: "piped" | "null";
    } = {},
  ) {
    const isLinux = Deno.build.os === "linux";
    const [program, ...args] = isLinux
      ? ["setpriv", "--pdeathsig=KILL", "--", ...command]
      : command;
    this.#child = new Deno.Command(program!, { args, ...start, stdin: "piped", stdout, stderr })
      .spawn();
    this.#name = command.join(" ");
    const context = () => `${this.#name}\n${this.stderr.tail}`;
    this.stdout = new Lines(stdout === "piped" ? this.#child.stdout : undefined, context);
    this.stderr = new Lines(stderr === "piped" ? this.#child.stderr : undefined, context);
    this.#stdin = this.#child.stdin.getWriter();
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** What the kernel says of it. */
  async usage(): Promise<Usage> {
    return await usageOf(this.pid);
  }

  /** Types that into its stdin. */
  async write(text: string): Promise<void> {
    await this.#stdin.write(new TextEncoder().encode(text));
  }

  /** Sends a signal, unless it has ended. */
  signal(signal: Deno.Signal): void {
    try {
      this.#child.kill(signal);
    } catch {
      // It has ended already.
    }
  }

  /** Sends a signal, unless it has ended, and waits for its end. @returns Its exit code. */
  async stop(signal: Deno.Signal = "SIGTERM"): Promise<number> {
    this.signal(signal);
    return await this.ended();
  }

  /** Waits for its end, whether its output has been read or not. @returns Its exit code. */
  async exitCode(): Promise<number> {
    return (await inTime(this.#child.status, () => new Error(`no end of ${this.#name}`))).code;
  }

  /** The same, with all of its output read. @throws {Error} When it goes on for far too long. */
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
  #isTorn = false;
  #more = Promise.withResolvers<void>();
  #mayRead = Promise.resolve();
  #over = false;

  /** @param context What an error says when a line that is waited for does not come. */
  constructor(
    stream: ReadableStream<Uint8Array<ArrayBuffer>> | undefined,
    context: () => string,
  ) {
    this.#context = context;
    this.ended = stream === undefined ? Promise.resolve() : this.#collect(stream);
  }

  /** All that have an end: what a process that was killed has begun is not one. */
  get whole(): readonly string[] {
    return this.#isTorn ? this.all.slice(0, -1) : this.all;
  }

  /** The last lines, for messages. */
  get tail(): string {
    return this.all.slice(-20).join("\n");
  }

  /** The first line that fits, as soon as it is there. */
  async find(fits: (line: string) => boolean): Promise<string> {
    let next = 0;
    return await this.until(() => {
      while (next < this.all.length) {
        const line = this.all[next++]!;
        if (fits(line)) return line;
      }
      return undefined;
    });
  }

  /** What `look` gives, asked again with each line until it gives something. */
  async until<T>(look: () => T | undefined): Promise<T> {
    const asked = async () => {
      for (let found;;) {
        if ((found = look()) !== undefined) return found;
        if (this.#over) throw this.#missing("before the end");
        await this.#more.promise;
      }
    };
    return await inTime(asked(), () => this.#missing("in time"));
  }

  /** From now on what comes stays in the pipe; the function that is returned reads on. */
  stopReading(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#mayRead = promise;
    return resolve;
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
      await this.#mayRead;
    }
    this.#isTorn = rest !== "";
    if (this.#isTorn) this.all.push(rest);
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

/** What a process uses, by the kernel. */
export interface Usage {
  readonly descriptors: number;
  readonly residentBytes: number;
  /** The most that was ever resident. */
  readonly peakResidentBytes: number;
  /** User and system time of all threads. */
  readonly cpuMs: number;
}

/** What the kernel says. Read by other programs: Deno itself may not look into `/proc`. */
export async function usageOf(pid: number): Promise<Usage> {
  const look = 'ls "/proc/$1/fd" | wc -l; cat "/proc/$1/stat" "/proc/$1/status"';
  const text = await output(["sh", "-c", look, "sh", String(pid)]);
  const [count, stat = ""] = text.split("\n");
  // proc(5), after the name in parentheses: utime 14, stime 15, rss 24.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ").map(Number);
  return {
    descriptors: Number(count),
    residentBytes: fields[24 - 3]! * PAGE_BYTES,
    peakResidentBytes: Number(/^VmHWM:\s+(\d+) kB$/m.exec(text)![1]) * 1024,
    cpuMs: (fields[14 - 3]! + fields[15 - 3]!) * TICK_MS,
  };
}

/** What to put before a command so that a shell does something first, such as `ulimit -n 64`. */
export function afterShell(script: string): readonly string[] {
  return ["sh", "-c", `${script}\nexec "$@"`, "sh"];
}
