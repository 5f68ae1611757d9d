/** Each limit of time as it is unset and as it is 0: the clock of the test jumps, nobody waits. */
import { assertEquals, assertMatch } from "@std/assert";
import { type Config, parseConfig } from "../../lib/config/config.ts";
import { CONNECT, neverAccepts, type Peer, TestUpstream, type Tunnel } from "../harness/peers.ts";
import { TestProxy } from "../harness/proxy.ts";
import { eventually, test } from "../harness/test.ts";

const SECOND = 1_000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;

/** The proxy's clock, put forward. */
class Clock implements Disposable {
  readonly #now = performance.now;
  #aheadMs = 0;

  constructor() {
    performance.now = () => this.#now.call(performance) + this.#aheadMs;
  }

  /** Goes on at once, and waits until the proxy has looked at all its connections since. */
  async pass(ms: number, { proxy, shared }: TestProxy): Promise<void> {
    let isOver = false;
    void proxy.finished.then(() => isOver = true);
    this.#aheadMs += ms;
    // The first tick comes late and judges nobody; at the third what came of the second is logged.
    const wanted = shared.ticks[0]! + 3;
    const looked = () => isOver || shared.ticks[0]! >= wanted;
    await eventually("the proxy has seen the time", looked, true);
  }

  [Symbol.dispose](): void {
    performance.now = this.#now;
  }
}

/** All limits of time as given in the command line. */
function configOf(...flags: string[]): Config {
  const invocation = parseConfig(["--upstream=a:1", ...flags], () => undefined);
  if (invocation.kind !== "run") throw new Error("the test's own flags are wrong");
  return invocation.config;
}

interface Limit {
  readonly flag: string;
  readonly key: keyof Config;
  /** What it is when it is unset; `undefined`: no limit. */
  readonly unsetMs: number | undefined;
  /** Brings the proxy to where the limit holds. */
  readonly begin: (stage: Stage) => Promise<void>;
  /** It ends quiet tunnels early: for its whole time only those that are busy go on. */
  readonly sparesBusy?: true;
  /** The message and the end that the limit leads to. */
  readonly line: Readonly<Record<string, unknown>>;
}

interface Stage {
  readonly proxy: TestProxy;
  readonly half: Peer;
  readonly tunnel: Tunnel;
}

const LIMITS: readonly Limit[] = [
  {
    flag: "--header-timeout",
    key: "headerTimeoutMs",
    unsetMs: 10 * SECOND,
    begin: async () => {},
    line: { msg: "refused", status: 408 },
  },
  {
    flag: "--idle-timeout",
    key: "idleTimeoutMs",
    unsetMs: 4 * HOUR,
    begin: async () => {},
    line: { msg: "tunnel", end: "idle" },
  },
  {
    flag: "--half-close-timeout",
    key: "halfCloseTimeoutMs",
    unsetMs: MINUTE,
    async begin({ tunnel }) {
      await tunnel.client.closeWrite();
      assertEquals(await tunnel.upstream.readText(), "");
    },
    line: { msg: "tunnel", end: "half_close_timeout" },
  },
  {
    flag: "--max-tunnel-age",
    key: "maxTunnelAgeMs",
    unsetMs: undefined,
    begin: async () => {},
    line: { msg: "tunnel", end: "age" },
  },
  {
    flag: "--drain-timeout",
    key: "drainTimeoutMs",
    unsetMs: 25 * SECOND,
    sparesBusy: true,
    async begin({ proxy, half }) {
      // With no shutdown delay, unset or 0, the drain begins at once.
      void proxy.proxy.shutDown();
      assertMatch(await half.readText(), /^HTTP\/1.1 503 /);
    },
    line: { msg: "tunnel", end: "drain" },
  },
];

/** Every limit of time off but that one, which is as the flags say. */
async function onStage(
  { key, begin }: Limit,
  flags: string[],
  fn: (stage: Stage, clock: Clock, linesOf: (line: Limit["line"]) => number) => Promise<void>,
): Promise<void> {
  const off = Object.fromEntries(LIMITS.map(({ key }) => [key, 0]));
  using clock = new Clock();
  using upstream = new TestUpstream();
  await using proxy = new TestProxy({
    ...off,
    [key]: configOf(...flags)[key],
    shutdownDelayMs: configOf().shutdownDelayMs,
    upstreams: [upstream.authority],
  });
  using tunnel = await proxy.tunnel(upstream);
  using half = await proxy.connect("CONNECT api:4");
  await begin({ proxy, half, tunnel });
  await clock.pass(0, proxy);
  await fn(
    { proxy, half, tunnel },
    clock,
    (line) =>
      proxy.lines.filter((logged) =>
        Object.entries(line).every(([name, value]) => logged[name] === value)
      ).length,
  );
}

/** Keeps a tunnel busy until it is cut. */
async function talk({ client, upstream }: Tunnel): Promise<void> {
  do await client.write("?").catch(() => {}); while (await upstream.readText(1) === "?");
}

for (const limit of LIMITS) {
  const { flag, unsetMs, line } = limit;
  if (unsetMs !== undefined) {
    test(`${flag} unset ends at ${unsetMs / SECOND} s, not before`, async () => {
      await onStage(limit, [], async ({ proxy, tunnel }, clock, linesOf) => {
        const talking = limit.sparesBusy && talk(tunnel);
        await clock.pass(unsetMs * 0.8, proxy);
        assertEquals(linesOf(line), 0);
        await clock.pass(unsetMs * 0.2, proxy);
        assertEquals(linesOf(line), 1);
        await talking;
      });
    });
  }

  for (const flags of unsetMs === undefined ? [[], [`${flag}=0`]] : [[`${flag}=0`]]) {
    test(`${flags[0] ?? `${flag} unset`} is no limit: nothing ends in 30 days`, async () => {
      await onStage(limit, flags, async ({ proxy, tunnel }, clock, linesOf) => {
        await clock.pass(30 * DAY, proxy);
        assertEquals(linesOf(line), 0);
        await tunnel.upstream.write("still here");
        assertEquals(await tunnel.client.readText(10), "still here");
      });
    });
  }
}

test("--connect-timeout unset ends a dial after 4 s, and 0 does not", async () => {
  using silent = await neverAccepts();
  const upstreams = [silent.authority];
  const { connectTimeoutMs } = configOf("--connect-timeout=0");
  await using unlimited = new TestProxy({ upstreams, connectTimeoutMs });
  await using proxy = new TestProxy({ upstreams });
  using patient = await unlimited.connect(CONNECT);
  await unlimited.logged("dialling");
  using client = await proxy.connect(CONNECT);
  assertMatch(await client.readText(), /^HTTP\/1.1 504 /);
  const { durationMs } = await proxy.logged("refused");
  assertEquals(Math.floor(durationMs as number / 100) >= 39, true, `${durationMs} ms`);
  assertEquals(unlimited.lines.filter(({ msg }) => msg === "refused"), []);
  patient.close();
});
