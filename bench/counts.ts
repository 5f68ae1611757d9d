/** What ours does for one connection and one round trip, counted: no clock has a part in it. */
import { freePort } from "../tests/harness/peers.ts";
import { isOnPath, oursArguments, oursCommand, startProxy } from "./contenders.ts";
import type { Load } from "./load.ts";

/** Counts for one operation. */
export interface Counts {
  readonly connection: Readonly<Record<string, number>>;
  readonly roundTrip: Readonly<Record<string, number>>;
}

const OPERATIONS = { connections: 2_000, "round-trips": 20_000 } as const;
const WARM_UP_OPERATIONS = 1_000;
/** What is done less often than once in twenty operations is not of the operation. */
const LEAST_COUNT = 0.05;
type Counted = keyof typeof OPERATIONS;

/** System calls, by name. `undefined` without strace. */
export async function countSystemCalls(
  load: Load,
  binary: string | undefined,
  directory: string,
): Promise<Counts | undefined> {
  if (!await isOnPath("strace")) return undefined;
  const count = async (workload: Counted) => {
    await using proxy = startOurs(load, binary, undefined);
    const job = { workload, address: proxy.address, connect: true, messageBytes: 512 } as const;
    const work = { ...job, parallel: 16, seconds: 60 };
    await load.run({ ...job, workload: "first", seconds: 10 });
    await load.run({ ...work, operations: WARM_UP_OPERATIONS });
    const file = `${directory}/strace-${workload}`;
    const strace = new Deno.Command("strace", {
      args: ["-c", "-f", "-o", file, "-p", String(proxy.process.pid)],
      stderr: "null",
    }).spawn();
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const { operations } = await load.run({ ...work, operations: OPERATIONS[workload] });
    strace.kill("SIGINT");
    await strace.status;
    return perOperation(await Deno.readTextFile(file), operations);
  };
  return { connection: await count("connections"), roundTrip: await count("round-trips") };
}

function perOperation(summary: string, operations: number): Record<string, number> {
  const counts = summary.split("\n").map((line) => line.trim().split(/\s+/))
    .filter(([share]) => /^\d+\.\d+$/.test(share ?? ""))
    .map((fields): [string, number] => [fields.at(-1)!, Number(fields[3]) / operations])
    .filter(([name, count]) => name !== "total" && count >= LEAST_COUNT);
  return Object.fromEntries(counts);
}

/** A small young generation fills often, so that what fills it is known precisely. */
const ALLOCATION_FLAGS = ["--trace-gc", "--min-semi-space-size=1", "--max-semi-space-size=1"];

/** Bytes allocated on the JavaScript heap for one operation. Always of the source. */
export async function countAllocations(load: Load): Promise<Counts> {
  const count = async (workload: Counted) => {
    await using proxy = startOurs(load, undefined, ALLOCATION_FLAGS, "piped");
    const job = { workload, address: proxy.address, connect: true, messageBytes: 512 } as const;
    const work = { ...job, parallel: 16, seconds: 60 };
    await load.run({ ...job, workload: "first", seconds: 10 });
    await load.run({ ...work, operations: WARM_UP_OPERATIONS });
    const before = allocatedBytes(proxy.process.stdout.all);
    const { operations } = await load.run({ ...work, operations: OPERATIONS[workload] });
    return { bytes: (allocatedBytes(proxy.process.stdout.all) - before) / operations };
  };
  return { connection: await count("connections"), roundTrip: await count("round-trips") };
}

/** From `[1:0x5f:0] … Scavenge 5.1 (7.0) -> 4.3 (7.3) MB …`: what came in between, in each isolate. */
function allocatedBytes(trace: readonly string[]): number {
  const collections = trace.flatMap((line) => {
    const [, isolate, before, after] =
      /\[\d+:(0x\w+).* (\d+\.\d+) \(\d+\.\d+\) -> (\d+\.\d+) \(/.exec(line) ?? [];
    return isolate ? [{ isolate, before: Number(before), after: Number(after) }] : [];
  });
  const megabytes = [...Map.groupBy(collections, ({ isolate }) => isolate).values()]
    .flatMap((own) => own.slice(1).map(({ before }, i) => Math.max(0, before - own[i]!.after)))
    .reduce((sum, grown) => sum + grown, 0);
  return megabytes * 1024 * 1024;
}

function startOurs(
  load: Load,
  binary: string | undefined,
  v8Flags: readonly string[] | undefined,
  stdout: "null" | "piped" = "null",
) {
  const port = freePort();
  const command = [...oursCommand(binary, v8Flags), ...oursArguments(port, load.upstream, 1)];
  const proxy = { name: "ours", address: `127.0.0.1:${port}`, connect: true };
  return startProxy(command, proxy, stdout);
}
