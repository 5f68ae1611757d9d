/** What is measured on a fresh process: start, and memory at rest. */
import type { Contender } from "./contenders.ts";
import type { Load } from "./load.ts";

/** What a fresh process has shown. */
export interface AtRest {
  /** From start to the first byte that came back through a tunnel. */
  readonly startMs: number;
  readonly idleBytes: number;
  /** Memory that each idle tunnel adds. */
  readonly tunnelBytes: number;
}

/** After that, allocations and the garbage of opening have settled. */
const SETTLE_MS = 500;
const settle = () => new Promise((resolve) => setTimeout(resolve, SETTLE_MS));

/** Starts a proxy, opens tunnels and leaves them alone. */
export async function measureAtRest(
  load: Load,
  contender: Contender,
  tunnels: number,
): Promise<AtRest | undefined> {
  const startedMs = performance.now();
  await using proxy = contender.start(load.upstream);
  const { address, connect, process } = proxy;
  if (process === undefined) return undefined;
  await load.run({ workload: "first", address, connect, seconds: 10 });
  const startMs = performance.now() - startedMs;
  await settle();
  const { residentBytes: idleBytes } = await process.usage();
  await load.run({ workload: "hold", address, connect, parallel: tunnels });
  await settle();
  const tunnelBytes = ((await process.usage()).residentBytes - idleBytes) / tunnels;
  await load.run({ workload: "release", address, connect });
  return { startMs, idleBytes, tunnelBytes };
}
