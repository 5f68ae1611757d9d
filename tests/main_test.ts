/** The program as an operator starts it: arguments, environment, signals, exit codes. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import project from "../deno.json" with { type: "json" };
import {
  CONNECT,
  connectResettable,
  establish,
  ESTABLISHED,
  TestUpstream,
} from "./harness/peers.ts";
import { run } from "./harness/child_process.ts";
import { PROXY_START, proxyCommand, ProxyProcess } from "./harness/process.ts";
import { test } from "./harness/test.ts";

/** Runs to the end. */
async function finish(args: string[], env: Record<string, string> = {}) {
  return await run(proxyCommand(...args), { ...PROXY_START, env: { ...PROXY_START.env, ...env } });
}

/** A running program, whose log has every line. */
async function start(flags: string[], env: Record<string, string> = {}): Promise<ProxyProcess> {
  return await ProxyProcess.start({ flags: ["--log-level=debug", ...flags], env });
}

test("the program prints its version and ends with 0", async () => {
  const { code, stdout } = await finish(["--version"]);
  assertEquals(code, 0);
  assertStringIncludes(stdout, `api-server-proxy ${project.version}`);
});

test("the program prints its help and ends with 0", async () => {
  const { code, stdout } = await finish(["-h"]);
  assertEquals(code, 0);
  assertMatch(stdout, /^api-server-proxy: [^]*--connect-timeout DURATION/);
});

test("the program reports a variable that is no text in one line, and ends with 2", async () => {
  for (
    const [name, args] of [["LOG_LEVEL", ["--upstream=a:1"]], ["ADMIN_PORT", ["ready"]]] as const
  ) {
    // No program of Deno can set such a value: a shell does.
    const script = `export API_SERVER_PROXY_${name}=$(printf '\\377'); exec "$@"`;
    const command = ["sh", "-c", script, "sh", ...proxyCommand(...args)];
    const { code, stderr } = await run(command, PROXY_START);
    const [line, ...rest] = stderr.trimEnd().split("\n");
    assertEquals([code, line], [2, `API_SERVER_PROXY_${name}: takes text in UTF-8`]);
    assert(rest.length <= 1, stderr);
  }
});

for (
  const args of [["--version"], ["--help"], ["credentials", "a"], [
    "--check",
    "--upstream=127.0.0.1:1",
  ]]
) {
  test(`the program says in one line that it cannot print: ${args[0]}`, async () => {
    const command = ["sh", "-c", 'exec "$@" >/dev/full', "sh", ...proxyCommand(...args)];
    const { code, stderr } = await run(command, PROXY_START);
    assertEquals([code, stderr.trimEnd().split("\n").length], [1, 1], stderr);
  });
}

test("the program tells every mistake in one run and ends with 2", async () => {
  const args = ["--port=x", "--conect-timeout=1s", "--upstream=api", "--idle-timeout", "10"];
  const { code, stdout, stderr } = await finish(args, { API_SERVER_PROXY_LOG_LEVEL: "loud" });
  assertEquals({ code, stdout }, { code: 2, stdout: "" });
  for (const told of ['--port "x"', "--connect-timeout?", '--upstream "api"', '"10"', '"loud"']) {
    assertStringIncludes(stderr, told);
  }
});

test("the program is never an open proxy: with no place to go it ends with 2", async () => {
  const { code, stderr } = await finish([]);
  assertEquals(code, 2);
  assertMatch(stderr, /^no upstream: give --upstream HOST:PORT/);
});

test("the program tells the address that it cannot listen on and ends with 1", async () => {
  using taken = new TestUpstream();
  const { host, port } = taken.authority;
  const args = [`--host=${host}`, `--port=${port}`, "--admin-port=0", "--upstream=127.0.0.1:1"];
  const { code, stderr } = await finish(args);
  assertEquals(code, 1);
  assertStringIncludes(stderr, `${host}:${port}`);
});

test("the program passes over the dashes that come from `deno task start --`", async () => {
  assertEquals((await finish(["--", "--version"])).code, 0);
});

test("remap prints the address that the peer cluster uses", async () => {
  const { code, stdout } = await finish(["remap", "10.70.0.3", "10.81.0.0/16"]);
  assertEquals({ code, stdout }, { code: 0, stdout: "10.81.0.3\n" });
});

for (const args of [[], ["10.70.0.3"], ["10.70.0.3", "10.81.0.1/16"], ["::1", "10.81.0.0/16"]]) {
  test(`remap ends with 2 and says what it takes: ${JSON.stringify(args)}`, async () => {
    const { code, stdout, stderr } = await finish(["remap", ...args]);
    assertEquals({ code, stdout }, { code: 2, stdout: "" });
    assertMatch(stderr, /(takes an IPv4|usage: )[^]*10\./);
  });
}

test("the program takes flags from the environment, and serves", async () => {
  using upstream = new TestUpstream();
  const { host, port } = upstream.authority;
  await using running = await start([], { API_SERVER_PROXY_UPSTREAM: `${host}:${port}` });
  using client = await running.connect(CONNECT);
  using _accepted = await upstream.accept();
  assertEquals(await client.readText(ESTABLISHED.length), ESTABLISHED);
});

test("the program drains on SIGTERM and ends with 0", async () => {
  using upstream = new TestUpstream();
  const { host, port } = upstream.authority;
  await using running = await start([`--upstream=${host}:${port}`, "--probe=off"]);
  using client = await running.connect(CONNECT);
  const { upstream: accepted } = await establish(client, upstream);
  running.signal("SIGTERM");
  await running.logged("shutting down");
  await client.write("still served");
  assertEquals(await accepted.readText(12), "still served");
  client.close();
  accepted.close();
  assertEquals(await running.ended(), 0);
  assertEquals(running.log.at(-1)?.msg, "drained");
});

test("the program ends at once with 1 on a second signal, and logs what it cut", async () => {
  using upstream = new TestUpstream();
  const { host, port } = upstream.authority;
  await using running = await start([
    `--upstream=${host}:${port}`,
    "--probe=off",
    "--drain-timeout=1h",
  ]);
  using client = await running.connect(CONNECT);
  await establish(client, upstream);
  running.signal("SIGINT");
  await running.logged("shutting down");
  running.signal("SIGTERM");
  assertEquals(await running.ended(), 1);
  assert(running.log.some((line) => line.msg === "tunnel" && line.end === "drain"));
});

test(
  "the program serves at once behind clients that have reset before they were accepted",
  async () => {
    using upstream = new TestUpstream();
    const { host, port } = upstream.authority;
    await using running = await start([`--upstream=${host}:${port}`]);
    running.signal("SIGSTOP");
    for (let i = 0; i < 100; i++) (await connectResettable(running.authority)).resetAndDestroy();
    using client = await running.connect(CONNECT);
    running.signal("SIGCONT");
    assertEquals(await client.readText(ESTABLISHED.length), ESTABLISHED);
    assertEquals(running.log.filter((line) => line.level === "warn"), []);
    running.signal("SIGINT");
    running.signal("SIGTERM");
    await running.ended();
    assertEquals(running.log.filter((line) => line.level === "warn"), []);
  },
);
