/** Several workers as one proxy, in source; `tests/deploy/` has the compiled ones. */
import { assert, assertEquals, assertGreater, assertMatch } from "@std/assert";
import { createLog } from "../../lib/telemetry/log.ts";
import { allocateShared, layoutFor } from "../../lib/proxy/shared_memory.ts";
import { WorkerPool } from "../../lib/workers/worker_pool.ts";
import { output } from "../harness/child_process.ts";
import { CONNECT, connectTo, ESTABLISHED, TestUpstream, Tunnel } from "../harness/peers.ts";
import { eventually, test } from "../harness/test.ts";
import { configOf, TestServer } from "../harness/server.ts";

function flagsFor(upstream: TestUpstream, ...more: string[]): string[] {
  const { host, port } = upstream.authority;
  return [`--upstream=${host}:${port}`, ...more];
}

/** Tunnels until every worker has one: the kernel spreads them by a hash. */
async function tunnelsInAll(
  workers: number,
  served: () => readonly number[],
  open: () => Promise<Tunnel>,
): Promise<DisposableStack> {
  const tunnels = new DisposableStack();
  for (let i = 0; i < 200; i++) {
    tunnels.use(await open());
    const counts = served();
    if (counts.length === workers && counts.every((count) => count > 0)) return tunnels;
  }
  tunnels.dispose();
  throw new Error(`not all workers serve: ${served()}`);
}

/** Workers alone, with a look into the memory that they share. */
async function startWorkers(upstream: TestUpstream, count: number) {
  const config = configOf(flagsFor(upstream, "--max-connections=0"));
  const shared = allocateShared(config, count);
  const lines: string[] = [];
  const write = (line: string) => void lines.push(line);
  const log = createLog({ level: "info", format: "json", write });
  const layout = layoutFor(config);
  const workers = await WorkerPool.start({ config, shared, layout, log, write });
  return {
    workers,
    lines,
    served: () => shared.served.map((slots) => slots[0]!),
    async tunnel() {
      const { hostname, port } = workers.address;
      const client = await connectTo({ host: hostname, port }, CONNECT);
      const accepted = await upstream.accept();
      assertEquals(await client.readText(ESTABLISHED.length), ESTABLISHED);
      return new Tunnel(client, accepted);
    },
    async [Symbol.asyncDispose]() {
      workers.cut();
      await workers.finished;
    },
  };
}

for (const count of [2, 3]) {
  test(`${count} workers share one port, and each of them serves`, async () => {
    using upstream = new TestUpstream();
    await using started = await startWorkers(upstream, count);
    using tunnels = await tunnelsInAll(count, started.served, started.tunnel);
    assert(!tunnels.disposed);
  });
}

test("workers: the kernel spreads 1,000 tunnels, and what they count adds up", async () => {
  using upstream = new TestUpstream();
  await using started = await startWorkers(upstream, 2);
  using tunnels = new DisposableStack();
  for (let i = 0; i < 1_000; i++) tunnels.use(await started.tunnel());
  const [first = 0, second = 0] = started.served();
  assertEquals(first + second, 1_000);
  // A fair coin is outside of this once in 10^20 runs.
  assertGreater(Math.min(first, second), 350);
});

test("workers: metrics are one total", async () => {
  using upstream = new TestUpstream();
  await using test = await TestServer.start(flagsFor(upstream, "--workers=2"));
  using tunnels = new DisposableStack();
  for (let i = 0; i < 20; i++) tunnels.use(await test.tunnel(upstream));
  assertEquals(await test.metric("workers"), 2);
  assertEquals(await test.metric("connections_total"), 20);
  assertEquals(await test.metric("tunnels_active"), 20);
  assertEquals(await test.metric('requests_total{code="200"}'), 20);
  assertEquals(await test.metric("connect_duration_seconds_count"), 20);
});

test("workers: --max-connections holds exactly over all of them", async () => {
  using upstream = new TestUpstream();
  await using test = await TestServer.start(
    flagsFor(upstream, "--workers=3", "--max-connections=10"),
  );
  using tunnels = new DisposableStack();
  for (let i = 0; i < 10; i++) tunnels.use(await test.tunnel(upstream));
  for (let i = 0; i < 10; i++) {
    using refused = await test.connect(CONNECT);
    assertMatch(await refused.readText(), /^HTTP\/1\.1 503 Too many connections/);
  }
  assertEquals(await test.metric("connections_active"), 10);
  tunnels.dispose();
  await test.metricIs("connections_active", 0);
  using _again = await test.tunnel(upstream);
});

test("workers: at the signal all drain, and the last to end ends the proxy", async () => {
  using upstream = new TestUpstream();
  await using test = await TestServer.start(flagsFor(upstream, "--workers=2"));
  using tunnels = new DisposableStack();
  const kept: Tunnel[] = [];
  for (let i = 0; i < 20; i++) kept.push(tunnels.use(await test.tunnel(upstream)));
  test.server.shutDown();
  assertEquals((await test.get("/readyz")).status, 503);
  for (const { client, upstream } of kept) {
    await client.write("?");
    assertEquals(await upstream.readText(1), "?");
  }
  tunnels.dispose();
  await test.server.finished;
  const linesOf = (name: string) => test.lines.filter(({ msg }) => msg === name);
  assertEquals(linesOf("tunnel").length, 20);
  assertEquals(linesOf("shutting down").length, 1);
  assertEquals(linesOf("drained").map(({ connections, cut }) => [connections, cut]), [[20, 0]]);
  assertEquals(test.lines.at(-1)?.msg, "drained");
});

test("workers: a second signal cuts the tunnels of all, and each is logged", async () => {
  using upstream = new TestUpstream();
  await using test = await TestServer.start(
    flagsFor(upstream, "--workers=2", "--drain-timeout=1h"),
  );
  using tunnels = new DisposableStack();
  for (let i = 0; i < 20; i++) tunnels.use(await test.tunnel(upstream));
  test.server.shutDown();
  test.server.cut();
  await test.server.finished;
  const ends = test.lines.filter(({ msg }) => msg === "tunnel").map(({ end }) => end);
  assertEquals(ends, Array.from({ length: 20 }, () => "drain"));
});

for (const how of ["throw", "reject"] as const) {
  test(`workers: one that dies (${how}) is started again and forgets nothing`, async () => {
    using upstream = new TestUpstream();
    await using test = await TestServer.start(flagsFor(upstream, "--workers=2"));
    using tunnels = new DisposableStack();
    for (let i = 0; i < 40; i++) tunnels.use(await test.tunnel(upstream));
    test.trigger({ worker: 1, how });

    const died = await test.logged("worker died");
    assertEquals(died.worker, 1);
    assertMatch(String(died.failure), new RegExp(`told to ${how}`));
    const ended = test.lines.filter(({ msg }) => msg === "tunnel");
    assertEquals(new Set(ended.map(({ end }) => end)), new Set(["error"]));
    assertGreater(ended.length, 0);

    await test.metricIs("worker_restarts_total", 1);
    assertEquals(await test.metric("tunnels_active"), 40 - ended.length);
    assertEquals(await test.metric("connections_active"), 40 - ended.length);
    assertEquals(await test.metric("connections_total"), 40);
    for (let i = 0; i < 20; i++) tunnels.use(await test.tunnel(upstream));
    tunnels.dispose();
    await test.metricIs("tunnels_active", 0);
    await test.metricIs("connections_active", 0);
    assertEquals(await test.metric("connections_total"), 60);
  });
}

test("workers: one that dies without a word is started again, and its gauges with it", async () => {
  const program = new URL("crash.ts", import.meta.url).pathname;
  await output([
    Deno.execPath(),
    "run",
    "--no-prompt",
    "--allow-net",
    "--allow-read",
    "--allow-env",
    program,
  ]);
});

test("workers: one that is blocked cannot hold up /metrics, which tells its lag", async () => {
  using upstream = new TestUpstream();
  await using test = await TestServer.start(flagsFor(upstream, "--workers=2"));
  await test.block(1);
  const lags = async () => await test.metric("event_loop_lag_seconds") > 0.5;
  await eventually("the worker lags", lags, true);
  assertEquals((await test.get("/readyz")).status, 200);
  test.goOn();
  await eventually("the worker lags no more", lags, false);
});

test("workers: a second signal ends one that does not answer", async () => {
  using upstream = new TestUpstream();
  await using test = await TestServer.start(
    flagsFor(upstream, "--workers=2", "--drain-timeout=0"),
  );
  await test.block(1);
  test.server.shutDown();
  test.server.cut();
  await test.server.finished;
  assertEquals((await test.logged("worker died")).failure, "did not answer");
});

test("workers: the drain timeout ends one that does not answer", async () => {
  using upstream = new TestUpstream();
  await using test = await TestServer.start(
    flagsFor(upstream, "--workers=2", "--drain-timeout=100ms"),
  );
  await test.block(0);
  test.server.shutDown();
  await test.server.finished;
  assertEquals((await test.logged("worker died")).worker, 0);
});

test("workers: each has an isolate of its own, the only one too", async () => {
  const worker = Object.getOwnPropertyDescriptor(globalThis, "Worker")!;
  const started: unknown[] = [];
  Object.defineProperty(globalThis, "Worker", {
    configurable: true,
    get: () => (started.push(1), worker.value),
  });
  try {
    using upstream = new TestUpstream();
    await using _test = await TestServer.start(flagsFor(upstream, "--workers=1"));
    assertEquals(started.length, 1);
    await using _two = await TestServer.start(flagsFor(upstream, "--workers=2"));
    assertEquals(started.length, 3);
  } finally {
    Object.defineProperty(globalThis, "Worker", worker);
  }
});

/** Starts two workers that run this code instead of a proxy. */
async function startFakes(code: string): Promise<WorkerPool> {
  const config = configOf(["--upstream=127.0.0.1:1"]);
  const write = () => {};
  return await WorkerPool.start({
    config,
    shared: allocateShared(config, 2),
    layout: layoutFor(config),
    log: createLog({ level: "info", format: "json", write }),
    write,
    entry: new URL(`data:text/javascript,${encodeURIComponent(code)}`),
  });
}

test("workers: if one of them cannot listen, none is left", async () => {
  const { terminate } = Worker.prototype;
  const terminated = new Set<Worker>();
  Worker.prototype.terminate = function () {
    terminated.add(this);
    terminate.call(this);
  };
  try {
    const failure = await startFakes(`self.onmessage = ({ data: { worker } }) => {
      if (worker === 1) postMessage({ kind: "cannotListen", reason: "not today" });
      else postMessage({ kind: "listening", address: { hostname: "127.0.0.1", port: 1 } });
    }`).catch((error) => error.message);
    assertEquals([failure, terminated.size], ["not today", 2]);
  } finally {
    Worker.prototype.terminate = terminate;
  }
});

test("workers: a late list of tunnels is not taken for the next one", async () => {
  const pool = await startFakes(`let first;
  self.onmessage = ({ data: { kind, request } }) => {
    if (kind === "start") {
      postMessage({ kind: "listening", address: { hostname: "127.0.0.1", port: 1 } });
    } else if (kind === "cut") postMessage({ kind: "finished", drained: {} }), close();
    else if (first === undefined) first = request;
    else for (const id of [first, request]) {
      postMessage({ kind: "tunnels", tunnels: [{ id }], request: id });
    }
  }`);
  assertEquals(await pool.listTunnels(), []);
  assertEquals((await pool.listTunnels()).map(({ id }) => id), [1, 1]);
  pool.cut();
  await pool.finished;
});

test("workers: a port that is taken is an error that names the address", async () => {
  using upstream = new TestUpstream();
  const { host, port } = upstream.authority;
  let message = "";
  try {
    await TestServer.start(flagsFor(upstream, "--workers=2", `--port=${port}`));
  } catch (error) {
    message = (error as Error).message;
  }
  assertMatch(message, new RegExp(`^cannot listen on ${host}:${port}: `));
});
