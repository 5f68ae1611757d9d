/** The real program under load, while everything around it breaks. */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { formatAuthority } from "../../lib/protocol/authority.ts";
import type { LogLine } from "../harness/proxy.ts";
import { eventually, test } from "../harness/test.ts";
import { ProxyProcess } from "../harness/process.ts";
import { load, type Outcome } from "./load.ts";
import { randomFrom } from "../harness/random.ts";
import { Upstreams } from "./unrest.ts";

const SEED = 20_261_124;
const CLIENTS = 16;

for (
  const { workers, durationMs } of [
    { workers: 1, durationMs: 20_000 },
    { workers: 2, durationMs: 10_000 },
  ]
) {
  test(`chaos for ${durationMs / 1_000} s with --workers=${workers}: nothing wrong, nothing left, all in the log`, async () => {
    await using upstreams = await Upstreams.start(2);
    await using program = await ProxyProcess.start({
      flags: [
        `--upstream=${upstreams.authorities.map(formatAuthority).join(",")}`,
        `--workers=${workers}`,
        "--log-level=debug",
      ],
    });
    // What is loaded at the first request is there to stay.
    const calm = await load(program.authority, SEED, CLIENTS, 500);
    const before = await quiet(program);

    const [outcomes] = await Promise.all([
      load(program.authority, SEED + 100, CLIENTS, durationMs),
      upstreams.torment(randomFrom(SEED + workers), durationMs * 0.9),
    ]);
    const after = await load(program.authority, SEED + 200, CLIENTS, 500);
    await program.settled(before);

    for (const outcome of [...calm, ...after]) assertIsWell(outcome);
    for (const outcome of outcomes) assertMayBe(outcome, upstreams);
    await accountsFor([...calm, ...outcomes, ...after], program);

    program.signal("SIGTERM");
    assertEquals(await program.ended(), 0);
    assertEquals((await program.logged("drained")).cut, 0);
    const ends = Object.groupBy(outcomes, ({ end }) => end);
    for (const end of ["complete", "cut", "vanished"] as const) {
      assertGreater(ends[end]?.length ?? 0, 0, `no client was ${end}`);
    }
  });
}

/** What the program uses when nobody is there. */
async function quiet(program: ProxyProcess) {
  const gauges = async () => {
    const metrics = await program.metrics();
    return ["connections_active", "tunnels_active"].map((name) =>
      metrics.get(`api_server_proxy_${name}`)
    );
  };
  await eventually("all connections are gone", gauges, [0, 0]);
  return await program.usage();
}

function assertIsWell(outcome: Outcome): void {
  assert(outcome.end === "complete" || outcome.end === "vanished", JSON.stringify(outcome));
}

/** A tunnel may end early when its upstream was out of order, a dial may fail when both were. */
function assertMayBe(outcome: Outcome, upstreams: Upstreams): void {
  const { end, fromMs, toMs, upstream } = outcome;
  const cut = (index?: number) => upstreams.mayHaveCut(fromMs, toMs, index);
  if (end === "cut") assert(cut(upstream), JSON.stringify(outcome));
  if (end === "refused") assert(cut(0) && cut(1), JSON.stringify(outcome));
}

/** Each client has one line, each line one client, and the numbers are those of the metrics. */
async function accountsFor(outcomes: readonly Outcome[], program: ProxyProcess): Promise<void> {
  const metrics = await program.metrics();
  const metric = (name: string) => metrics.get(`api_server_proxy_${name}`) ?? NaN;
  const accepted = metric("connections_total");
  assertEquals(accepted + metric("accept_errors_total"), outcomes.length);

  const lines = () => ["tunnel", "refused", "no tunnel"].flatMap((msg) => program.lines(msg));
  await eventually("there is a line for each client", () => lines().length, accepted);
  const ids = new Set(lines().map(({ id }) => id));
  assertEquals(ids, new Set(Array.from({ length: accepted }, (_, index) => index + 1)));

  const tunnels = program.lines("tunnel");
  const sum = (field: string) => tunnels.reduce((all, line) => all + Number(line[field]), 0);
  assertEquals(sum("bytesUp"), metric('tunnel_bytes_total{direction="up"}'));
  assertEquals(sum("bytesDown"), metric('tunnel_bytes_total{direction="down"}'));
  assertEquals(tunnels.length, metric('requests_total{code="200"}'));

  const complete = countBy(
    tunnels.filter(({ end }) => end === "eof"),
    ({ bytesUp, bytesDown }: LogLine) => `${bytesUp} up, ${bytesDown} down`,
  );
  for (const { end, bytes } of outcomes) {
    if (end !== "complete") continue;
    // With the upstream's greeting.
    const key = `${bytes} up, ${bytes + 1} down`;
    const left = complete.get(key) ?? 0;
    assertGreater(left, 0, `no line for ${key}`);
    complete.set(key, left - 1);
  }
  for (const status of [502, 504]) {
    const seen = outcomes.filter((outcome) => outcome.status === status).length;
    const logged = program.lines("refused").filter((line) => line.status === status).length;
    assert(seen <= logged, `${seen} clients were told ${status}, ${logged} are in the log`);
  }
}

function countBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(keyOf(item), (counts.get(keyOf(item)) ?? 0) + 1);
  return counts;
}
