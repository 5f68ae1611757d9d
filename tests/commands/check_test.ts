import { assertEquals } from "@std/assert";
import { check } from "../../lib/commands/check.ts";
import { parseConfig } from "../../lib/config/config.ts";
import { run } from "../harness/child_process.ts";
import { PROXY_START, proxyCommand } from "../harness/process.ts";
import { test } from "../harness/test.ts";

/** What `--check` prints beside those flags, and its exit code. */
async function checkOf(...flags: string[]) {
  const invocation = parseConfig([...flags, "--check"], () => undefined);
  if (invocation.kind !== "check") throw new Error(`${invocation.kind}`);
  const stdout: string[] = [], stderr: string[] = [];
  const code = await check(invocation.config, {
    env: () => undefined,
    readStdin: () => Promise.resolve(""),
    print: (line) => void stdout.push(line),
    printError: (line) => void stderr.push(line),
  });
  return { code, stdout, stderr };
}

test("--check prints what the proxy would do, and exits with 0", async () => {
  assertEquals(await checkOf("--upstream=10.0.0.10:6443,[2001:db8::1]:443"), {
    code: 0,
    stdout: [
      "listen: every address, port 8118",
      "health and metrics: every address, port 8119",
      "connect tunnels to: 10.0.0.10:6443, [2001:db8::1]:443",
      "probe them by: readyz, any certificate",
      "serve requests for: any host",
      "serve clients from: every address",
    ],
    stderr: [],
  });
  const { stdout } = await checkOf(
    ...["--allowed-hosts=a:1,b:2", "--allow-from=10.0.0.0/8", "--host=127.0.0.1"],
    ...["--port=9", "--admin-port=off"],
  );
  assertEquals(stdout, [
    "listen: 127.0.0.1, port 9",
    "health and metrics: off",
    "connect tunnels to: the host that the client asks for",
    "serve requests for: a:1, b:2",
    "serve clients from: 10.0.0.0/8",
  ]);
});

test("--check prints the addresses of a name", async () => {
  const { code, stdout } = await checkOf("--upstream=localhost:6443");
  assertEquals(code, 0);
  assertEquals(/^connect tunnels to: localhost:6443 \(.*127\.0\.0\.1.*\)$/.test(stdout[2]!), true);
});

test("--check exits with 2 for each name that is not found", async () => {
  const { code, stdout, stderr } = await checkOf("--upstream=a.invalid:443,b.invalid:443");
  assertEquals({ code, stdout }, { code: 2, stdout: [] });
  assertEquals(stderr.map((line) => line.split("; ")[0]), [
    '--upstream "a.invalid:443": the name a.invalid was not found',
    '--upstream "b.invalid:443": the name b.invalid was not found',
  ]);
});

test("--check reads wrong flags as the proxy does", () => {
  assertEquals(parseConfig(["--check", "--port=x"], () => undefined).kind, "mistakes");
});

test("--check does not start the proxy", async () => {
  const command = proxyCommand("--upstream=10.0.0.10:6443", "--check");
  const { code, stdout, stderr } = await run(command, PROXY_START);
  assertEquals([code, stderr], [0, ""]);
  assertEquals(stdout.split("\n")[0], "listen: every address, port 8118");
});
