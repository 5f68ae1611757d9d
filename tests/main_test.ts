/** The program as an operator starts it: arguments, environment, signals, exit codes. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import project from "../deno.json" with { type: "json" };
import {
  CAN_RESET,
  CONNECT,
  connectResettable,
  ESTABLISHED,
  Peer,
  TestUpstream,
} from "./harness/peers.ts";
import { test } from "./harness/test.ts";

const START = [
  "run",
  "--quiet",
  "--no-prompt",
  "-P=start",
  "main.ts",
];

function program(args: string[], env: Record<string, string> = {}): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: [...START, ...args],
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

/** Runs to the end. */
async function finish(args: string[], env?: Record<string, string>) {
  const { code, stdout, stderr } = await program(args, env).output();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

/** A running program, its port once it listens, and its log. */
class Running implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly log: Record<string, unknown>[] = [];

  constructor(args: string[], env?: Record<string, string>) {
    const common = ["--host=127.0.0.1", "--port=0", "--admin-port=0", "--log-level=debug"];
    this.#child = program([...common, ...args], env).spawn();
    this.#lines = splitLines(this.#child.stderr);
  }

  /** The next line with that message. */
  async logged(msg: string): Promise<Record<string, unknown>> {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error(`ended before "${msg}": ${JSON.stringify(this.log)}`);
      const line = JSON.parse(value);
      this.log.push(line);
      if (line.msg === msg) return line;
    }
  }

  async connect(text = ""): Promise<Peer> {
    const address = String((await this.logged("listening")).address);
    const [hostname = "", port] = address.split(":");
    const peer = new Peer(await Deno.connect({ hostname, port: Number(port) }));
    await peer.write(text);
    return peer;
  }

  signal(name: Deno.Signal): void {
    this.#child.kill(name);
  }

  /** Waits for the end, reads what is left of the log, and gives the exit code. */
  async exitCode(): Promise<number> {
    for (let next; !(next = await this.#lines.next()).done;) this.log.push(JSON.parse(next.value));
    await this.#child.stdout.cancel();
    return (await this.#child.status).code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await this.#lines.return?.();
    await this.#child.stdout.cancel().catch(() => {});
    await this.#child.status;
  }
}

async function* splitLines(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
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
  const args = [`--host=${host}`, `--port=${port}`, "--upstream=127.0.0.1:1"];
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
  await using running = new Running([], { API_SERVER_PROXY_UPSTREAM: `${host}:${port}` });
  using client = await running.connect(CONNECT);
  using _accepted = await upstream.accept();
  assertEquals(await client.readText(ESTABLISHED.length), ESTABLISHED);
});

test("the program drains on SIGTERM and ends with 0", async () => {
  using upstream = new TestUpstream();
  const { host, port } = upstream.authority;
  await using running = new Running([`--upstream=${host}:${port}`]);
  using client = await running.connect(CONNECT);
  const accepted = await acceptTunnel(upstream, client);
  running.signal("SIGTERM");
  await running.logged("shutting down");
  await client.write("still served");
  assertEquals(await accepted.readText(12), "still served");
  client.close();
  accepted.close();
  assertEquals(await running.exitCode(), 0);
  assertEquals(running.log.at(-1)?.msg, "drained");
});

test("the program ends at once with 1 on a second signal, and logs what it cut", async () => {
  using upstream = new TestUpstream();
  const { host, port } = upstream.authority;
  await using running = new Running([`--upstream=${host}:${port}`, "--drain-timeout=1h"]);
  using client = await running.connect(CONNECT);
  await acceptTunnel(upstream, client);
  running.signal("SIGINT");
  await running.logged("shutting down");
  running.signal("SIGTERM");
  assertEquals(await running.exitCode(), 1);
  assert(running.log.some((line) => line.msg === "tunnel" && line.end === "drain"));
});

/** The upstream's end of the client's tunnel; the probe at the start comes first. */
async function acceptTunnel(upstream: TestUpstream, client: Peer): Promise<Peer> {
  const peers = [await upstream.accept(), await upstream.accept()];
  assertEquals(await client.readText(ESTABLISHED.length), ESTABLISHED);
  await client.write("?");
  for (const peer of peers) {
    if (await peer.readText(1) === "?") return peer;
  }
  throw new Error("the tunnel ends nowhere");
}

test(
  "the program serves at once behind clients that have reset before they were accepted",
  async () => {
    using upstream = new TestUpstream();
    const { host, port } = upstream.authority;
    await using running = new Running([`--upstream=${host}:${port}`]);
    const address = String((await running.logged("listening")).address).split(":");
    const proxy = { host: address[0]!, port: Number(address[1]) };
    running.signal("SIGSTOP");
    for (let i = 0; i < 100; i++) (await connectResettable(proxy)).resetAndDestroy();
    using client = new Peer(await Deno.connect({ hostname: proxy.host, port: proxy.port }));
    await client.write(CONNECT);
    running.signal("SIGCONT");
    assertEquals(await client.readText(ESTABLISHED.length), ESTABLISHED);
    assertEquals(running.log.filter((line) => line.level === "warn"), []);
    running.signal("SIGINT");
    running.signal("SIGTERM");
    await running.exitCode();
    assertEquals(running.log.filter((line) => line.level === "warn"), []);
  },
  { skip: !CAN_RESET },
);
