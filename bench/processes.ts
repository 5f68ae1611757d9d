/** Starting proxies and reading what the kernel knows of them (Linux only). */

/** What `getconf CLK_TCK` says on every Linux there is. */
const TICKS_PER_SECOND = 100;
const PAGE_BYTES = 4096;

/** A proxy that runs, or the upstream itself. */
export interface Running extends AsyncDisposable {
  readonly name: string;
  readonly address: string;
  /** Whether clients ask it for a tunnel by CONNECT. */
  readonly connect: boolean;
  /** `undefined` where no process stands between client and upstream. */
  readonly pid: number | undefined;
}

/** Starts a proxy's process; whoever disposes of it kills it. */
export function startProcess(
  command: readonly string[],
  proxy: Omit<Running, "pid" | typeof Symbol.asyncDispose>,
  stdout: "null" | "piped" = "null",
): Running & { readonly process: Deno.ChildProcess } {
  const [program, ...args] = command;
  const process = new Deno.Command(program!, { args, stdin: "null", stdout, stderr: "null" })
    .spawn();
  return {
    ...proxy,
    pid: process.pid,
    process,
    async [Symbol.asyncDispose]() {
      // squid would take its time over SIGTERM.
      try {
        process.kill("SIGKILL");
      } catch {
        // It has ended by itself.
      }
      await process.status;
    },
  };
}

/** User and system time of all threads. */
export async function cpuSeconds(pid: number | undefined): Promise<number> {
  if (pid === undefined) return 0;
  const stat = await readProc(pid, "stat");
  // The second field, the name in parentheses, may hold spaces; 14 and 15 are the times.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Resident memory. */
export async function residentBytes(pid: number): Promise<number> {
  const statm = await readProc(pid, "statm");
  return Number(statm.split(" ")[1]) * PAGE_BYTES;
}

/** Deno itself reads /proc only with all permissions there are. */
async function readProc(pid: number, file: string): Promise<string> {
  const { stdout } = await new Deno.Command("cat", { args: [`/proc/${pid}/${file}`] }).output();
  return new TextDecoder().decode(stdout);
}

/** A port that was free a moment ago. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return (listener.addr as Deno.NetAddr).port;
}

/** Whether a program of that name can be run. */
export async function isOnPath(program: string): Promise<boolean> {
  const { success } = await new Deno.Command("sh", {
    args: ["-c", `command -v ${program}`],
    stdout: "null",
    stderr: "null",
  }).output();
  return success;
}
