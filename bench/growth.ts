/** How cost grows with tunnels, with the size of messages, and with workers. */
import { freePort } from "../tests/harness/peers.ts";
import { oursArguments, oursCommand, type Running, startProxy } from "./contenders.ts";
import { type Curve, drawGrowth } from "./growth_chart.ts";
import type { Load } from "./load.ts";
import { spread } from "./statistics.ts";
import { cpuMicroseconds } from "./workloads.ts";

const ROUNDS = 3;
const TUNNELS = [1, 10, 100, 1_000, 5_000];
const MESSAGE_BYTES = [1, 64, 4_096, 65_536, 1_048_576];
const WORKERS = [1, 2, 3];

interface GrowthOptions {
  readonly binary: string | undefined;
  readonly seconds: number;
  readonly out: string;
}

/** Measures, prints, writes growth.json and draws growth.svg. */
export async function measureGrowth(load: Load, options: GrowthOptions): Promise<void> {
  const busy = (tunnels: number) =>
    withProxy(load, options, 1, (proxy) => roundTrips(load, proxy, tunnels, 512, options));
  const messages = (bytes: number) =>
    withProxy(load, options, 1, (proxy) => roundTrips(load, proxy, 8, bytes, options));
  const workers = (count: number) =>
    withProxy(load, options, count, (proxy) => roundTrips(load, proxy, 64, 512, options));
  const curves = [
    await curve("busy tunnels", "tunnels", TUNNELS, busy),
    await curve(
      "idle tunnels beside 16 busy ones",
      "idle tunnels",
      TUNNELS,
      (tunnels) =>
        withProxy(load, options, 1, (proxy) => besideIdle(load, proxy, tunnels, options)),
    ),
    await curve("message size, 8 tunnels", "bytes", MESSAGE_BYTES, messages),
    await curve("workers, 64 tunnels", "workers", WORKERS, workers),
  ];
  for (const { title, x, points } of curves) {
    console.log(`CPU time of a round trip, by ${title}:`);
    for (const { at, cost } of points) {
      console.log(`  ${at} ${x}: ${(cost / points[0]!.cost).toFixed(2)} × (${cost.toFixed(1)} µs)`);
    }
  }
  await Deno.writeTextFile(`${options.out}/growth.json`, JSON.stringify(curves, undefined, 1));
  await Deno.writeTextFile(`${options.out}/growth.svg`, drawGrowth(curves));
}

async function curve(
  title: string,
  x: string,
  places: readonly number[],
  cost: (place: number) => Promise<number>,
): Promise<Curve> {
  const costs = new Map<number, number[]>(places.map((at) => [at, []]));
  for (let round = 0; round < ROUNDS; round++) {
    console.error(`${title}: round ${round + 1} of ${ROUNDS}`);
    for (const at of places) costs.get(at)!.push(await cost(at));
  }
  const points = places.map((at) => ({ at, cost: spread(costs.get(at)!).median }));
  return { title, x, points };
}

async function withProxy<T>(
  load: Load,
  { binary }: GrowthOptions,
  workers: number,
  use: (proxy: Running) => Promise<T>,
): Promise<T> {
  const port = freePort();
  const command = [...oursCommand(binary), ...oursArguments(port, load.upstream, workers)];
  const address = `127.0.0.1:${port}`;
  await using proxy = startProxy(command, { name: "ours", address, connect: true });
  await load.run({ workload: "first", address, connect: true, seconds: 15 });
  const warmUp = { parallel: 16, messageBytes: 512, seconds: 0.5 };
  await load.run({ workload: "round-trips", address, connect: true, ...warmUp });
  return await use(proxy);
}

/** CPU microseconds of one round trip, the opening of the tunnels left out. */
async function roundTrips(
  load: Load,
  { address, connect, process }: Running,
  parallel: number,
  messageBytes: number,
  { seconds }: GrowthOptions,
): Promise<number> {
  const job = { address, connect, parallel, messageBytes, seconds };
  await load.run({ ...job, workload: "hold" });
  const before = await cpuMicroseconds(process);
  const { operations } = await load.run({ ...job, workload: "held-trips" });
  const cpu = await cpuMicroseconds(process) - before;
  await load.run({ ...job, workload: "release" });
  return cpu / operations;
}

/** The same for few tunnels while others do nothing. */
async function besideIdle(
  load: Load,
  { address, connect, process }: Running,
  idle: number,
  { seconds }: GrowthOptions,
): Promise<number> {
  await load.run({ workload: "hold", address, connect, parallel: idle });
  const before = await cpuMicroseconds(process);
  const job = { address, connect, parallel: 16, messageBytes: 512, seconds };
  const { operations } = await load.run({ ...job, workload: "round-trips" });
  const cpu = await cpuMicroseconds(process) - before;
  await load.run({ workload: "release", address, connect });
  return cpu / operations;
}
