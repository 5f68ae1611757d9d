/** What the resolver remembers and shares, and what the system answers it: as getaddrinfo does elsewhere. */
import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { Resolver } from "../../lib/proxy/resolver.ts";
import { run } from "../harness/child_process.ts";
import { DnsServer, type Zone } from "../harness/dns_server.ts";
import { testInNetwork } from "../harness/network.ts";
import { eventually, test } from "../harness/test.ts";

const FILE = import.meta.url;
const NAME = "api.example.net";

/** A resolver with a clock and a name server that do what a test says. */
class TestResolver {
  nowMs = 0;
  /** The lookups that have begun and not ended. */
  readonly lookups: { name: string; end: PromiseWithResolvers<readonly string[]> }[] = [];
  readonly resolver = new Resolver(
    (name) => {
      const end = Promise.withResolvers<readonly string[]>();
      this.lookups.push({ name, end });
      return end.promise;
    },
    () => this.nowMs,
  );

  /** Ends the oldest lookup that is under way. */
  async answer(addresses: readonly string[] | Error): Promise<void> {
    await eventually("a lookup has begun", () => this.lookups.length > 0, true);
    const { end } = this.lookups.shift()!;
    if (addresses instanceof Error) end.reject(addresses);
    else end.resolve(addresses);
  }

  async resolve(name = NAME): Promise<readonly string[]> {
    return await this.resolver.resolve(name);
  }

  /** Has it remember these addresses of the name. */
  async remember(...addresses: string[]): Promise<void> {
    const answer = this.resolve();
    await this.answer(addresses);
    assertEquals(await answer, addresses);
  }
}

for (const address of ["10.0.0.1", "fd00::1", "::1"]) {
  test(`resolve() takes ${address} as it is, at once`, () => {
    const { resolver, lookups } = new TestResolver();
    assertEquals(resolver.resolve(address), [address]);
    assertEquals(lookups, []);
  });
}

test("resolve() shares one lookup between all who wait for a name", async () => {
  const test = new TestResolver();
  const answers = Array.from({ length: 50 }, () => test.resolve());
  assertEquals(test.lookups.length, 1);
  await test.answer(["10.0.0.1"]);
  for (const answer of answers) assertEquals(await answer, ["10.0.0.1"]);
  assertEquals(test.lookups.length, 0);
});

test("resolve() remembers an answer for 5 s", async () => {
  const test = new TestResolver();
  await test.remember("10.0.0.1");
  test.nowMs = 4_999;
  assertEquals(test.resolver.resolve(NAME), ["10.0.0.1"]);
  test.nowMs = 5_000;
  assertInstanceOf(test.resolver.resolve(NAME), Promise);
  await test.remember("10.0.0.2");
});

test("resolve() rejects when a lookup fails and nothing is remembered, for all who wait", async () => {
  const test = new TestResolver();
  const answers = [test.resolve(), test.resolve()];
  await test.answer(new RangeError("no"));
  for (const answer of answers) await assertRejects(() => answer, RangeError, "no");
  await test.remember("10.0.0.1");
});

test("resolve() goes on with the last good answer for a minute while lookups fail", async () => {
  const test = new TestResolver();
  await test.remember("10.0.0.1");
  for (test.nowMs = 5_000; test.nowMs < 60_000; test.nowMs += 5_000) {
    const answer = test.resolve();
    await test.answer(new Error("no"));
    assertEquals(await answer, ["10.0.0.1"]);
    // Those that come next do not wait for the next failure.
    assertEquals(test.resolver.resolve(NAME), ["10.0.0.1"]);
  }
  const answer = test.resolve();
  await test.answer(new Error("no"));
  await assertRejects(() => answer, Error, "no");
});

test("resolve() goes on with the last good answer while a lookup hangs", async () => {
  const test = new TestResolver();
  await test.remember("10.0.0.1");
  test.nowMs = 5_000;
  assertEquals(await test.resolve(), ["10.0.0.1"]);
  test.nowMs = 5_500;
  assertEquals(test.resolver.resolve(NAME), ["10.0.0.1"]);
  assertEquals(test.lookups.length, 1);
  await test.answer(["10.0.0.2"]);
  await eventually("the new answer serves", () => test.resolve(), ["10.0.0.2"]);
});

test("resolve() looks up four names at a time at most, and the others after them", async () => {
  const test = new TestResolver();
  const names = ["a", "b", "c", "d", "e", "f"];
  const answers = names.map((name) => test.resolve(name));
  const underWay = () => test.lookups.map(({ name }) => name);
  assertEquals(underWay(), ["a", "b", "c", "d"]);
  await test.answer(["10.0.0.1"]);
  await eventually("the next one", underWay, ["b", "c", "d", "e"]);
  await test.answer(new Error("no"));
  await assertRejects(() => answers[1]!, Error, "no");
  await eventually("the last one", underWay, ["c", "d", "e", "f"]);
  for (let left = 4; left > 0; left--) await test.answer(["10.0.0.1"]);
  await Promise.allSettled(answers);
  void test.resolve("a");
  for (const name of ["g", "h", "i", "j"]) void test.resolve(name);
  assertEquals(underWay().length, 4);
});

const ORDERS: readonly (readonly [readonly string[], readonly string[]])[] = [
  [["fd00::1", "fd00::2", "10.0.0.1", "10.0.0.2"], ["fd00::1", "10.0.0.1", "fd00::2", "10.0.0.2"]],
  [["10.0.0.1", "10.0.0.2", "fd00::1"], ["10.0.0.1", "fd00::1", "10.0.0.2"]],
  [["10.0.0.1", "fd00::1", "fd00::2"], ["10.0.0.1", "fd00::1", "fd00::2"]],
  [["10.0.0.2", "10.0.0.1", "10.0.0.2"], ["10.0.0.2", "10.0.0.1"]],
];
for (const [given, expected] of ORDERS) {
  test(`resolve() puts the families in turn (RFC 8305 §4): ${given}`, async () => {
    const test = new TestResolver();
    const answer = test.resolve();
    await test.answer(given);
    assertEquals(await answer, expected);
  });
}

/** What getaddrinfo answers a program that is not ours. */
async function getaddrinfo(name: string): Promise<readonly string[]> {
  const script = "import socket, sys\n" +
    "for answer in socket.getaddrinfo(sys.argv[1], 1, type=socket.SOCK_STREAM):\n" +
    "    print(answer[4][0])";
  const { code, stdout } = await run(["python3", "-c", script, name]);
  return code === 0 ? stdout.trim().split("\n") : [];
}

const SEARCH = "nameserver 127.0.0.1\nsearch ns.svc.test svc.test example.test\n";
const POD = `${SEARCH}options ndots:5\n`;
const HASTY = "options timeout:1 attempts:1\n";
const ZONES: Readonly<Record<string, Zone>> = {
  "kubernetes.default.svc.test": { A: ["10.96.0.1"] },
  "api.example.net.example.test": { A: ["10.0.9.9"], AAAA: ["fd00::99"] },
  "*.example.test": { A: ["10.0.9.9"], AAAA: ["fd00::99"] },
  "api.example.net": { A: ["10.0.0.1", "10.0.0.2"], AAAA: ["fd00::1"] },
  "alias.example.net": { CNAME: "api.example.net" },
  "six.example.net": { AAAA: ["fd00::6"] },
  "long.example.net": { A: ["10.0.0.3"], how: "truncated" },
  "broken.example.net": { how: "SERVFAIL" },
  "half.example.net": { A: ["10.0.0.4"], how: "SERVFAIL", only: "AAAA" },
  "silent.example.net": { how: "silence" },
};

const CASES: readonly [name: string, resolvConf: string, addresses: readonly string[]][] = [
  // Its IPv6 address would be that of the wildcard, three domains further on.
  ["kubernetes.default", POD, ["10.96.0.1"]],
  ["api.example.net", SEARCH, ["10.0.0.1", "10.0.0.2", "fd00::1"]],
  // Five dots are wanted: the search list comes first, and has the name.
  ["api.example.net", POD, ["10.0.9.9", "fd00::99"]],
  ["api.example.net.", POD, ["10.0.0.1", "10.0.0.2", "fd00::1"]],
  ["alias.example.net", SEARCH, ["10.0.0.1", "10.0.0.2", "fd00::1"]],
  ["six.example.net", SEARCH, ["fd00::6"]],
  ["long.example.net", SEARCH, ["10.0.0.3"]],
  ["broken.example.net.", SEARCH + HASTY, []],
  ["half.example.net.", SEARCH + HASTY, ["10.0.0.4"]],
  ["silent.example.net.", SEARCH + HASTY, []],
  ["nothing.example.net.", SEARCH, []],
  ["here", SEARCH, ["127.0.0.7", "::7"]],
];
for (const [name, resolvConf, addresses] of CASES) {
  const options = resolvConf.slice(resolvConf.indexOf("test\n") + 5).trim() || "no options";
  testInNetwork(
    `a lookup answers what getaddrinfo does: ${name} with ${options}`,
    FILE,
    async () => {
      await using _dns = new DnsServer(ZONES);
      const answered = await Promise.resolve(new Resolver().resolve(name)).catch(() => []);
      assertEquals(answered.toSorted(), addresses.toSorted());
      assertEquals(answered.toSorted(), (await getaddrinfo(name)).toSorted());
    },
    { resolvConf, hosts: "127.0.0.1 localhost\n127.0.0.7 here\n::7 here\n" },
  );
}
