/** A limit of memory that the kernel holds, as a pod has one: a process beyond it is killed. */
import { output } from "./child_process.ts";

/** Both versions of control groups: where they are, and what their files are called. */
const VERSIONS = [
  { root: "/sys/fs/cgroup", limit: "memory.max", peak: "memory.peak" },
  {
    root: "/sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    peak: "memory.max_usage_in_bytes",
  },
] as const;

/** A group is there when the kernel has put its files into the folder. */
const CREATE = 'mkdir "$1" && { test -w "$1/$2" && echo "$3" >"$1/$2" || { rmdir "$1"; false; }; }';
/** The kernel may take a moment after the last process has ended. */
const REMOVE = 'until rmdir "$1"; do sleep 0.05; done';

/** A limit for all processes that are started in it together, with what the kernel holds for them. */
export class MemoryLimit implements AsyncDisposable {
  /** What to put before a command so that it runs within the limit. */
  readonly prefix: readonly string[];
  readonly #folder: string;
  readonly #peak: string;

  private constructor(folder: string, peak: string) {
    this.prefix = ["sh", "-c", `echo $$ >"${folder}/cgroup.procs" && exec "$@"`, "sh"];
    this.#folder = folder;
    this.#peak = peak;
  }

  /** @throws {Error} Where the kernel lets nobody, or not this user, set one. */
  static async create(bytes: number): Promise<MemoryLimit> {
    const failures: unknown[] = [];
    for (const { root, limit, peak } of VERSIONS) {
      const folder = `${root}/test-${crypto.randomUUID()}`;
      try {
        await output(["sh", "-c", CREATE, "sh", folder, limit, String(bytes)]);
        return new MemoryLimit(folder, `${folder}/${peak}`);
      } catch (error) {
        failures.push(error);
      }
    }
    throw new AggregateError(failures, "this machine gives no limit of memory");
  }

  /** The most that was in use at a time, with what the kernel held for them. */
  async peakBytes(): Promise<number> {
    return Number(await output(["cat", this.#peak]));
  }

  /** Once the last process has ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    await output(["sh", "-c", REMOVE, "sh", this.#folder]);
  }
}

/** Why there is no limit of memory on this machine, if so. For the skips of tests. */
export async function whyNoMemoryLimit(): Promise<string | undefined> {
  try {
    await using _limit = await MemoryLimit.create(64 * 1024 * 1024);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
