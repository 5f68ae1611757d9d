/** Three API servers that go away one after another under load: what clients and operators see. */
import { assert, assertEquals } from "@std/assert";
import { formatAuthority } from "../../lib/protocol/authority.ts";
import {
  CONNECT,
  ESTABLISHED,
  listenOnceFree,
  neverAccepts,
  type Peer,
  TestUpstream,
} from "../harness/peers.ts";
import { test } from "../harness/test.ts";
import { TestServer } from "../harness/server.ts";

/** How many clients ask at a time. */
const CLIENTS = 4;
/** A tunnel that ended before its first byte: what was on its way to an upstream is lost with it. */
const LOST = "lost";

/** Sends its name into each tunnel and waits for the client to end it. */
function named(name: string, upstream = new TestUpstream()): TestUpstream {
  void upstream.serve(async (peer: Peer) => {
    await peer.write(name);
    await peer.readAll();
  });
  return upstream;
}

/** Who has answered one request: an upstream, by its name, or the proxy, by its status. */
async function ask(server: TestServer): Promise<string> {
  using client = await server.connect(CONNECT);
  try {
    const answer = await client.readText(ESTABLISHED.length);
    return (answer === ESTABLISHED ? await client.readText(1) : answer.split(" ")[1]) || LOST;
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionReset) return LOST;
    throw error;
  }
}

/** Clients that ask again and again, and what they were told since they were last looked at. */
class Load implements AsyncDisposable {
  #answers: string[] = [];
  #more = Promise.withResolvers<void>();
  #isOver = false;
  readonly #clients: Promise<void[]>;

  constructor(server: TestServer) {
    const run = async () => {
      while (!this.#isOver) {
        this.#answers.push(await ask(server));
        this.#more.resolve();
      }
    };
    this.#clients = Promise.all(Array.from({ length: CLIENTS }, run));
  }

  /** What was answered until that answer has come twenty times in a row. */
  async until(wanted: string): Promise<Set<string>> {
    const isSettled = () => {
      const last = this.#answers.slice(-20);
      return last.length === 20 && last.every((answer) => answer === wanted);
    };
    while (!isSettled()) {
      this.#more = Promise.withResolvers();
      await Promise.race([this.#more.promise, this.#clients]);
    }
    return new Set(this.#answers.splice(0));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await this.#clients;
  }
}

/** That nothing else was answered. */
function assertOnly(answers: Set<string>, expected: readonly string[]): void {
  assertEquals(answers.difference(new Set(expected)), new Set());
}

test("upstreams killed one after another: no request is refused as long as one is left", async () => {
  const upstreams = ["a", "b", "c"].map((name) => named(name));
  const [a, b, c] = upstreams as [TestUpstream, TestUpstream, TestUpstream];
  const addresses = upstreams.map(({ authority }) => formatAuthority(authority));
  await using server = await TestServer.start(
    [`--upstream=${addresses}`],
    { probe: "tcp", probeIntervalMs: 20 },
  );
  const isUp = async (index: number, value: number) =>
    await server.metricIs(`upstream_up{upstream="${addresses[index]}"}`, value);
  const ready = async () => [
    (await server.get("/readyz")).status,
    (await server.get("/readyz/upstream")).status,
  ];
  await using load = new Load(server);

  assertOnly(await load.until("a"), ["a"]);
  for (const index of addresses.keys()) await isUp(index, 1);

  a[Symbol.dispose]();
  assertOnly(await load.until("b"), ["a", "b", LOST]);
  await isUp(0, 0);
  assertEquals(await ready(), [200, 200]);

  const authorityB = b.authority;
  b[Symbol.dispose]();
  assertOnly(await load.until("c"), ["b", "c", LOST]);
  await isUp(1, 0);
  assertEquals(await ready(), [200, 200]);

  c[Symbol.dispose]();
  assertOnly(await load.until("502"), ["c", "502", LOST]);
  await isUp(2, 0);
  assertEquals(await ready(), [200, 503]);

  using _back = named("b", await listenOnceFree(authorityB));
  assertOnly(await load.until("b"), ["b", "502"]);
  await isUp(1, 1);
  assertEquals(await ready(), [200, 200]);
});

test("an upstream that is back is used at once: no probe is waited for", async () => {
  const first = named("a");
  const { authority } = first;
  await using server = await TestServer.start([`--upstream=${formatAuthority(authority)}`]);
  assertEquals(await ask(server), "a");
  first[Symbol.dispose]();
  // Deno may close it a little later.
  while (await ask(server) !== "502");
  using _second = named("a", await listenOnceFree(authority));
  assertEquals(await ask(server), "a");
});

test("an upstream that swallows packets costs its first clients time, not their request", async () => {
  using silent = await neverAccepts();
  using other = named("b");
  const addresses = [silent.authority, other.authority].map(formatAuthority);
  await using server = await TestServer.start([`--upstream=${addresses}`, "--connect-timeout=1s"]);
  await using load = new Load(server);
  assertOnly(await load.until("b"), ["b"]);
  // Only those that came before the first of them had found out have waited.
  await server.logged("upstream failed");
  const failed = server.lines.filter(({ msg }) => msg === "upstream failed");
  assert(failed.length <= CLIENTS, `${failed.length} clients waited`);
});
