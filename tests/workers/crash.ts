/**
 * What becomes of a worker that dies by an error past all handlers. A program of its own, which
 * `worker_pool_test.ts` runs: the runtime prints such an error, and a test that passes prints none.
 */
import { assertEquals, assertGreater, assertMatch } from "@std/assert";
import { TestUpstream } from "../harness/peers.ts";
import { TestServer } from "../harness/server.ts";

using upstream = new TestUpstream();
const { host, port } = upstream.authority;
await using test = await TestServer.start([`--upstream=${host}:${port}`, "--workers=2"]);
using tunnels = new DisposableStack();
for (let i = 0; i < 40; i++) tunnels.use(await test.tunnel(upstream));
test.trigger({ worker: 1, how: "crash" });
assertMatch(String((await test.logged("worker died")).failure), /told to crash/);
await test.metricIs("worker_restarts_total", 1);
assertGreater(40, await test.metric("connections_active"));
assertEquals(await test.metric("connections_active"), await test.metric("tunnels_active"));
tunnels.dispose();
await test.metricIs("connections_active", 0);
await test.metricIs("tunnels_active", 0);
assertEquals(test.lines.filter(({ msg }) => msg === "worker died").length, 1);
