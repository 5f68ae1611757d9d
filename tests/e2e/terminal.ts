/** A terminal as people sit at one: a process runs in it, a test types and looks. */
import { output, Process, type Start } from "../harness/child_process.ts";

/** How much text it shows. */
export interface Size {
  readonly rows: number;
  readonly columns: number;
}

/** A pseudo-terminal that `script` of util-linux makes; it echoes nothing by itself. */
export class Terminal implements AsyncDisposable {
  readonly #process: Process;
  readonly #device: string;

  private constructor(process: Process, device: string) {
    this.#process = process;
    this.#device = device;
  }

  /** Opens one of that size and starts a command in it. */
  static async open(command: readonly string[], size: Size, start: Start = {}): Promise<Terminal> {
    const inside = `tty; ${stty(size).join(" ")}; exec ${command.map(quote).join(" ")}`;
    const script = ["script", "--quiet", "--flush", "--return", "--command", inside, "/dev/null"];
    const process = new Process(script, { ...start, env: { ...start.env, SHELL: "/bin/sh" } });
    const device = await process.stdout.find((line) => line.startsWith("/dev/"));
    return new Terminal(process, device.trimEnd());
  }

  /** Types that. */
  async type(text: string): Promise<void> {
    await this.#process.write(text);
  }

  /** Waits until it shows that line. */
  async shows(wanted: string): Promise<void> {
    await this.#process.stdout.find((line) => line.replace(/\r+$/, "") === wanted);
  }

  /** Gives it another size, as a window that is pulled does: whoever runs in it is told. */
  async resize(size: Size): Promise<void> {
    await output([...stty(size), `--file=${this.#device}`]);
  }

  /** Waits for the end of the command. @returns Its exit code. */
  async ended(): Promise<number> {
    return await this.#process.ended();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
  }
}

function stty({ rows, columns }: Size): string[] {
  return ["stty", "rows", String(rows), "columns", String(columns)];
}

/** Quotes a word for a shell. */
function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
