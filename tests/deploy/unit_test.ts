/** The unit for systemd, judged by systemd's own tools and under its own filter. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { output, Process, run } from "../harness/child_process.ts";
import { test } from "../harness/test.ts";
import { inRoot, readSource } from "../sources.ts";
import { find, isFile, missing } from "./tools.ts";
import { startEcho, useTunnels } from "./tunnels.ts";

const UNIT = "deploy/systemd/api-server-proxy.service";
const SYSCTLS = "deploy/systemd/api-server-proxy.sysctl.conf";
const CONFINED = inRoot("tests/deploy/confined.py");
const PYTHON = "/usr/bin/python3";
const BINARY = Deno.env.get("PROXY_BIN") ?? inRoot("dist/api-server-proxy");
/** 0 is nothing to reach, 10 is everything. */
const MOST_EXPOSURE = 1.1;

const skip = missing({ "systemd-analyze": find("systemd-analyze") !== undefined });
const hasSeccomp = isFile(PYTHON) &&
  (await run([PYTHON, "-c", "import seccomp"]).catch(() => ({ code: 1 }))).code === 0;
const skipFilter = skip ?? missing({
  "python3-seccomp": hasSeccomp,
  [`${BINARY} (deno task compile)`]: isFile(BINARY),
});

const skipSysctl = missing({
  "root, for a network of its own": Deno.uid() === 0,
  "unshare and sysctl": ["unshare", "sysctl"].every((tool) => find(tool)),
});

/** The unit with other lines, in a file of its own. */
async function variant(text: string): Promise<string> {
  const file = await Deno.makeTempFile({ suffix: ".service" });
  await Deno.writeTextFile(file, text);
  return file;
}

test("unit is clean for systemd-analyze verify", async () => {
  // It wants the program to be where the unit says.
  const file = await variant(readSource(UNIT).replace("/usr/bin/api-server-proxy", "/bin/true"));
  try {
    assertEquals(await run(["systemd-analyze", "verify", file]), {
      code: 0,
      stdout: "",
      stderr: "",
    });
  } finally {
    await Deno.remove(file);
  }
}, { skip });

test("unit leaves next to nothing to reach", async () => {
  const analyze = ["systemd-analyze", "security", "--offline=true", "--no-pager", inRoot(UNIT)];
  const exposure = /exposure level for \S+: ([\d.]+)/.exec(await output(analyze))?.[1];
  assert(Number(exposure) <= MOST_EXPOSURE, `exposure ${exposure}`);
}, { skip });

test("unit's limits hold the drain and every connection", () => {
  const unit = readSource(UNIT);
  // Flags of their own apart, 25s of drain and two descriptors for each of 4096 connections.
  assert(Number(/^TimeoutStopSec=(\d+)s$/m.exec(unit)![1]) > 25);
  assert(Number(/^LimitNOFILE=(\d+)$/m.exec(unit)![1]) > 2 * 4096);
});

test("sysctl settings are those of the chart's pod, and shorter than a balancer waits", () => {
  const lines = readSource(SYSCTLS).matchAll(/^(\S+) = (\d+)$/gm);
  const settings = [...lines].map(([, name, value]) => ({ name, value }));
  const sysctls = readSource("deploy/helm/api-server-proxy/values.yaml")
    .matchAll(/- name: (net\.\S+)\n +value: "(\d+)"/g);
  assertEquals(settings, [...sysctls].map(([, name, value]) => ({ name, value })));
  assertEquals(settings.length, 3);
  const BALANCER_SECONDS = 350;
  const time = settings.find(({ name }) => name === "net.ipv4.tcp_keepalive_time");
  assert(Number(time?.value) < BALANCER_SECONDS);
});

test("every file of deploy/systemd is installed by the documented steps, and by the unit's own", () => {
  const unit = readSource(UNIT), page = readSource("docs/install.md");
  for (const path of [UNIT, SYSCTLS]) {
    assertStringIncludes(page, `install -m 644 ${path} /etc/`);
    assertStringIncludes(unit, `install -m 644 ${path.slice("deploy/systemd/".length)} /etc/`);
  }
});

test("sysctl takes the settings", async () => {
  // In a network namespace: its keepalive settings are its own.
  const script = 'sysctl -q -p "$0" && sysctl -n net.ipv4.tcp_keepalive_time';
  const seconds = await output(["unshare", "--net", "sh", "-c", script, inRoot(SYSCTLS)]);
  assertEquals(seconds, "240\n");
}, { skip: skipSysctl });

test("binary serves under the unit's filter", async () => {
  using upstream = startEcho({ hostname: "127.0.0.1", port: 0 });
  const flags = [
    "--host=127.0.0.1",
    "--port=0",
    "--admin-port=off",
    `--upstream=localhost:${upstream.port}`,
  ];
  await using proxy = new Process([
    ...["sh", "-c", 'echo $$ && exec "$@"', "sh"],
    ...[PYTHON, CONFINED, inRoot(UNIT), BINARY, ...flags],
  ]);
  const pid = await proxy.stdout.find((line) => /^\d+$/.test(line));
  const line = await proxy.stderr.find((line) => line.includes('"msg":"listening"'));
  const port = Number(/:(\d+)$/.exec(JSON.parse(line).address)![1]);
  await useTunnels({ hostname: "127.0.0.1", port }, 100);
  assertMatch(await output(["cat", `/proc/${pid}/status`]), /^Seccomp:\s+2$/m);
  assertEquals(await proxy.stop("SIGTERM"), 0);
}, { skip: skipFilter });

for (
  const [name, line] of [
    ["may make no memory executable", "MemoryDenyWriteExecute=yes"],
    ["may not open sockets", "SystemCallFilter=~@network-io"],
  ] as const
) {
  test(`binary fails under a filter by which it ${name}`, async () => {
    const unit = await variant(`${readSource(UNIT)}\n${line}\n`);
    try {
      const command = [
        PYTHON,
        CONFINED,
        unit,
        BINARY,
        "--port=0",
        "--admin-port=off",
        "--upstream=127.0.0.1:1",
      ];
      const { code } = await run(command);
      assert(code !== 0, "it should not live with that");
    } finally {
      await Deno.remove(unit);
    }
  }, { skip: skipFilter });
}
