import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { tableOf, tunnels } from "../../lib/commands/tunnels.ts";
import { connectTo, TestUpstream } from "../harness/peers.ts";
import { TestServer } from "../harness/server.ts";
import { test } from "../harness/test.ts";

const NOW_MS = Date.parse("2026-01-02T03:04:05Z");

function tunnel(id: number, more: Record<string, unknown> = {}) {
  const since = new Date(NOW_MS - 70_000).toISOString();
  const fields = { source: "10.0.0.1", sourcePort: 40_000, upstream: "10.96.0.1:443", since };
  return { id, ...fields, idleMs: 900, bytesUp: 512, bytesDown: 1_536, ...more };
}

test("tableOf() aligns columns, and gives ages and sizes as people read them", () => {
  const old = new Date(NOW_MS - (3 * 24 + 4) * 3_600_000).toISOString();
  const table = tableOf([
    tunnel(1, { since: old, peer: "cl01", idleMs: 3_600_000, bytesDown: 20 * 1_024 ** 2 }),
    tunnel(12, { source: "fd00::1" }),
  ], NOW_MS);
  assertEquals(
    table,
    "ID   SOURCE            PEER     UPSTREAM        AGE     IDLE   UP     DOWN\n" +
      "1    10.0.0.1:40000    cl01     10.96.0.1:443   3d4h    1h     512B   20Mi\n" +
      "12   [fd00::1]:40000   <none>   10.96.0.1:443   1m10s   0s     512B   1.5Ki",
  );
});

test("tableOf() says that there are none", () => {
  assertEquals(tableOf([], NOW_MS), "No tunnels are open.");
});

/** Runs the command, and gives what it has printed. */
function run(...args: string[]) {
  return runWith({}, ...args);
}

async function runWith(env: Record<string, string>, ...args: string[]) {
  const printed: string[] = [], errors: string[] = [];
  const code = await tunnels(args, {
    env: (name) => env[name],
    readStdin: () => Promise.resolve(""),
    print: (line) => void printed.push(line),
    printError: (line) => void errors.push(line),
  });
  return { code, printed: printed.join("\n"), errors };
}

test("tunnels lists the live tunnels of all workers, the oldest first", async () => {
  using upstream = new TestUpstream();
  const { host, port } = upstream.authority;
  await using server = await TestServer.start([`--upstream=${host}:${port}`, "--workers=2"]);
  const open = new DisposableStack();
  for (let i = 0; i < 8; i++) open.use(await server.tunnel(upstream));
  const url = `http://127.0.0.1:${server.server.adminAddress!.port}/tunnels`;
  const { code, printed } = await run("--output=json", url);
  assertEquals(code, 0);
  const listed = JSON.parse(printed);
  assertEquals(listed.length, 8);
  const times = listed.map(({ since }: { since: string }) => since);
  assertEquals(times, times.toSorted());
  const upstreams = new Set(listed.map(({ upstream }: { upstream: string }) => upstream));
  assertEquals(upstreams, new Set([`${host}:${port}`]));
  const table = await run(url);
  assertEquals(table.printed.split("\n").length, 9);
  assertMatch(table.printed, /^ID +SOURCE +PEER +UPSTREAM +AGE +IDLE +UP +DOWN\n/);
  open.dispose();
});

test("tunnels names our address towards the upstream, and counts the bytes of a live tunnel", async () => {
  using upstream = new TestUpstream();
  const { host, port } = upstream.authority;
  await using server = await TestServer.start([`--upstream=${host}:${port}`]);
  using tunnel = await server.tunnel(upstream);
  await tunnel.client.write("ping");
  await tunnel.upstream.readText(4);
  const { body } = await server.get("/tunnels");
  const [line] = JSON.parse(body);
  const local = tunnel.upstream.conn.remoteAddr as Deno.NetAddr;
  assertEquals(line.local, `127.0.0.1:${local.port}`);
  assertEquals(line.sourcePort, (tunnel.client.conn.localAddr as Deno.NetAddr).port);
  assertEquals([line.bytesUp, line.bytesDown, line.worker], [4, 0, 0]);
});

for (const args of [["--output=yaml"], ["a", "b"], ["https://127.0.0.1:1/"], ["--outptu=json"]]) {
  test(`tunnels ${args.join(" ")} is a mistake of usage`, async () => {
    const { code, errors } = await run(...args);
    assertEquals(code, 2);
    assertMatch(errors[0]!, /takes|no such flag|at most/);
    assertStringIncludes(errors.at(-2)!, "usage: api-server-proxy tunnels");
  });
}

for (const body of ["ok", "null", "{}", "[1]", "[null]"]) {
  test(`tunnels says that what answers is no list of tunnels: ${body}`, async () => {
    using server = new TestUpstream();
    void server.serve(async (peer) => {
      await peer.readText(4);
      await peer.write(`HTTP/1.1 200 OK\r\n\r\n${body}`);
    });
    const url = `http://127.0.0.1:${server.authority.port}/tunnels`;
    const { code, errors } = await run(url);
    assertEquals([code, errors], [1, [`${url}: what answers is no list of tunnels`]]);
    // The server has had its last request.
    (await connectTo(server.authority)).close();
  });
}

test("tunnels says where the environment gives no admin port", async () => {
  const { code, errors } = await runWith({ API_SERVER_PROXY_ADMIN_PORT: "off" });
  assertEquals(code, 2);
  assertMatch(errors[0]!, /^API_SERVER_PROXY_ADMIN_PORT "off": this proxy has no admin port; /);
});

test("tunnels says what has answered instead", async () => {
  using server = new TestUpstream();
  const url = `http://127.0.0.1:${server.authority.port}/tunnels`;
  void server.serve(async (peer) => {
    await peer.readText(4);
    await peer.write("HTTP/1.1 403 Forbidden\r\n\r\nonly for clients on this machine\n");
  });
  const { code, errors } = await run(url);
  assertEquals(code, 1);
  assertEquals(errors, [`${url}: 403 only for clients on this machine`]);
  // The server has had its last request.
  (await connectTo(server.authority)).close();
});
