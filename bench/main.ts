/** Several proxies in turn, round by round, in one run. See README.md. */
import { parseArgs } from "@std/cli/parse-args";
import { drawChart } from "./chart.ts";
import { type Contender, findContenders, isKnown } from "./contenders.ts";
import { countAllocations, type Counts, countSystemCalls } from "./counts.ts";
import { measureGrowth } from "./growth.ts";
import { Load } from "./load.ts";
import type { Running } from "./contenders.ts";
import {
  type Figure,
  formatCounts,
  formatHeadroom,
  formatTable,
  type Report,
  restRows,
  type Row,
} from "./report.ts";
import { type AtRest, measureAtRest } from "./rest.ts";
import { measureUsers } from "./users.ts";
import { shuffled } from "./statistics.ts";
import { type Workload, WORKLOADS } from "./workloads.ts";

const IDLE_TUNNELS = 3_000;
const REST_ROUNDS = 3;
const WARM_UP_SECONDS = 1.5;

const HELP = `deno task bench [options]
  --peer NAME='COMMAND with {port} {upstream}'   another proxy; may repeat
  --base NAME        what ratios are to: liqo if it takes part, else direct
  --rounds N         how often everything is measured: 7
  --seconds S        how long each time: 0.6
  --workers N,…      ours with so many workers: 1,2
  --only ID,…        ${WORKLOADS.map(({ id }) => id).join(", ")}, rest, counts
  --out DIR          for bench.json and chart.svg: dist
  --growth           how cost grows, instead: growth.json and growth.svg
  --users            kubectl on a real API server, instead: users.json; needs what tests/e2e needs
PROXY_BIN names a compiled binary of ours to use instead of the source.`;

const args = parseArgs(Deno.args[0] === "--" ? Deno.args.slice(1) : Deno.args, {
  string: ["peer", "base", "rounds", "seconds", "workers", "only", "out"],
  collect: ["peer"],
  boolean: ["growth", "users", "help"],
  default: { rounds: "7", seconds: "0.6", workers: "1,2", out: "dist" },
});
const rounds = Number(args.rounds), seconds = Number(args.seconds);
const only = args.only?.split(",");
const isWanted = (id: string) => only?.includes(id) ?? true;
const workers = args.workers.split(",").map(Number);
const binary = Deno.env.get("PROXY_BIN");

if (args.help) console.log(HELP);
else await main();

async function main(): Promise<void> {
  await Deno.mkdir(args.out, { recursive: true });
  const directory = await Deno.makeTempDir({ prefix: "bench-" });
  try {
    if (args.users) return await compareUsers(directory);
    const load = await Load.start(directory);
    try {
      if (args.growth) await measureGrowth(load, { binary, seconds, out: args.out });
      else await compare(load, directory);
    } finally {
      await load.stop();
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

function baseOf(names: readonly string[]): string {
  const base = args.base ?? (names.includes("liqo") ? "liqo" : "direct");
  if (!names.includes(base)) throw new Error(`--base ${base}: takes ${names.join(" or ")}`);
  return base;
}

async function compareUsers(directory: string): Promise<void> {
  const contenders = (await findContenders({ peers: args.peer, workers, binary, directory }))
    .filter(({ name }) => !isKnown(name));
  const names = contenders.map(({ name }) => name);
  const report = { base: baseOf(names), contenders: names, rounds };
  const rows = await measureUsers(contenders, rounds);
  console.log(formatTable({ ...report, rows }));
  await Deno.writeTextFile(
    `${args.out}/users.json`,
    JSON.stringify({ ...report, rows }, undefined, 1),
  );
}

async function compare(load: Load, directory: string): Promise<void> {
  const contenders = await findContenders({ peers: args.peer, workers, binary, directory });
  const names = contenders.map(({ name }) => name);
  const base = baseOf(names);
  const workloads = WORKLOADS.filter(({ id }) => isWanted(id));
  const rows = workloads.length === 0 ? [] : await measureLoaded(load, contenders, workloads);
  if (isWanted("rest")) rows.push(...await measureRest(load, contenders));
  let systemCalls: Counts | undefined, allocations: Counts | undefined;
  if (isWanted("counts")) {
    systemCalls = await countSystemCalls(load, binary, directory);
    allocations = await countAllocations(load);
  }
  const report: Report = {
    ...{ base, contenders: names, rounds, seconds, rows },
    ...{ systemCalls, allocations },
  };
  console.log([formatTable(report), formatHeadroom(report), formatCounts(report)].join("\n\n"));
  await Deno.writeTextFile(`${args.out}/bench.json`, JSON.stringify(report, undefined, 1));
  await Deno.writeTextFile(`${args.out}/chart.svg`, drawChart(report));
}

async function measureLoaded(
  load: Load,
  contenders: readonly Contender[],
  workloads: readonly Workload[],
): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const running: Running[] = [];
  for (const contender of contenders) {
    const proxy = stack.use(contender.start(load.upstream));
    const { address, connect } = proxy;
    await load.run({ workload: "first", address, connect, seconds: 15 });
    for (const workload of workloads) await workload.measure(load, proxy, WARM_UP_SECONDS);
    running.push(proxy);
  }
  const rows = new Map(
    workloads.map((workload) => [workload, workload.figures.map(emptyRow)]),
  );
  for (let round = 0; round < rounds; round++) {
    note(`round ${round + 1} of ${rounds}`);
    for (const workload of workloads) {
      // What one leaves behind costs the next one: it is another one each time.
      for (const proxy of shuffled(running)) {
        const values = await workload.measure(load, proxy, seconds * (workload.factor ?? 1));
        rows.get(workload)!.forEach((row, at) => add(row, proxy.name, values[at]));
      }
    }
  }
  return [...rows.values()].flat();
}

type GrowingRow = Figure & { readonly values: Record<string, number[]> };

function emptyRow(figure: Figure): GrowingRow {
  return { ...figure, values: {} };
}

function add({ values }: GrowingRow, name: string, value: number | undefined): void {
  if (value !== undefined) (values[name] ??= []).push(value);
}

async function measureRest(load: Load, contenders: readonly Contender[]): Promise<Row[]> {
  const found: Record<string, AtRest[]> = {};
  for (let round = 0; round < Math.min(rounds, REST_ROUNDS); round++) {
    note(`at rest, round ${round + 1}`);
    for (const contender of contenders) {
      const rest = await measureAtRest(load, contender, IDLE_TUNNELS);
      if (rest !== undefined) (found[contender.name] ??= []).push(rest);
    }
  }
  return restRows(found);
}

function note(text: string): void {
  console.error(text);
}
