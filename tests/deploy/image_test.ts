/** The image, as built from the Dockerfile. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import project from "../../deno.json" with { type: "json" };
import { output } from "../harness/child_process.ts";
import { test } from "../harness/test.ts";
import { FakeApiServer, TOKEN } from "../commands/api_server.ts";
import { architectureOf } from "../../release/elf.ts";
import {
  baseSize,
  buildArm64Binary,
  buildImage,
  COMMIT,
  Container,
  inspectImage,
  runImage,
  WANTS,
  WANTS_ARM64,
} from "./containers.ts";
import { LIQO_ARGS, tunnelsInside } from "./liqo.ts";
import { inRoot, readSource } from "../sources.ts";
import { missing } from "./tools.ts";
import { echo, openTunnel, startEcho, useTunnels } from "./tunnels.ts";

const skip = missing(WANTS);
const skipArm64 = skip ?? missing(WANTS_ARM64);
if (!skip) Deno.test.beforeAll(buildImage);

const ANY_PORT = ["--port=0", "--admin-port=off"];

test("image says who it is, runs as nobody and tells its ports", async () => {
  const { Config } = await inspectImage();
  assertEquals(Config.User, "65532:65532");
  assertEquals(Config.Entrypoint, ["/usr/bin/api-server-proxy"]);
  assertEquals(Config.Cmd, undefined);
  assertEquals(Object.keys(Config.ExposedPorts), ["8118/tcp", "8119/tcp"]);
  const label = (name: string) => Config.Labels[`org.opencontainers.image.${name}`];
  assertEquals(label("title"), "api-server-proxy");
  assertEquals(label("version"), project.version);
  assertEquals(label("revision"), COMMIT);
  assertEquals(label("licenses"), project.license);
}, { skip });

test("image tells its version and commit under both names", async () => {
  for (const entrypoint of ["/usr/bin/api-server-proxy", "/usr/bin/proxy"]) {
    const { code, stdout } = await runImage(["--version"], { entrypoint });
    assertEquals(code, 0);
    assertMatch(stdout, new RegExp(`^api-server-proxy ${project.version} .*${COMMIT}`));
  }
}, { skip });

test("image holds one program and no shell", async () => {
  const { Size } = await inspectImage();
  const MIB = 1024 * 1024;
  const added = Size - await baseSize();
  // The second name costs nothing.
  assert(added < 85 * MIB, `${Math.round(added / MIB)} MiB on top of the base image`);
  const { code } = await runImage(["-c", "true"], { entrypoint: "/bin/sh" });
  assertEquals(code, 127);
}, { skip });

for (const user of ["65532:65532", "1000:1000", "1000680000:0"]) {
  test(`image serves as ${user}, read-only and with no capability`, async () => {
    using upstream = startEcho({ hostname: "127.0.0.1", port: 0 });
    const args = [...ANY_PORT, `--upstream=127.0.0.1:${upstream.port}`];
    await using container = await Container.start(args, { user });
    await useTunnels({ hostname: "127.0.0.1", port: container.port }, 10);
    const pid = await container.inspect("{{.State.Pid}}");
    const status = await output(["cat", `/proc/${pid}/status`]);
    assertMatch(status, new RegExp(`^Uid:\\s+${user.split(":")[0]}\\s`, "m"));
    assertMatch(status, /^CapEff:\s+0+$/m);
    assertMatch(status, /^NoNewPrivs:\s+1$/m);
  }, { skip });
}

test("image starts with exactly Liqo's command, arguments and user", async () => {
  await using container = await Container.start(LIQO_ARGS, {
    entrypoint: "/usr/bin/proxy",
    user: "1000:1000",
    network: "none",
    hosts: { "kubernetes.default.svc": "127.0.0.1" },
  });
  assertEquals(container.port, 8118);
  await tunnelsInside(await container.inspect("{{.State.Pid}}"));
}, { skip });

test("image's process 1 drains on SIGTERM and exits with 0", async () => {
  using upstream = startEcho({ hostname: "127.0.0.1", port: 0 });
  const args = [...ANY_PORT, `--upstream=127.0.0.1:${upstream.port}`, "--drain-timeout=1m"];
  await using container = await Container.start(args);
  using tunnel = await openTunnel({ hostname: "127.0.0.1", port: container.port });
  await echo(tunnel, "before");
  await container.kill("SIGTERM");
  await echo(tunnel, "while draining");
  tunnel.close();
  assertEquals(await container.ended(), 0);
}, { skip });

test("image serves 1,000 tunnels in the memory that the chart requests", async () => {
  const values = readSource("deploy/helm/api-server-proxy/values.yaml");
  const memory = /requests:\n(?: +cpu: .*\n)? +memory: (\d+)Mi\n/.exec(values)![1]!;
  using upstream = startEcho({ hostname: "127.0.0.1", port: 0 });
  const args = [...ANY_PORT, `--upstream=127.0.0.1:${upstream.port}`];
  await using container = await Container.start(args, { memory: `${memory}m` });
  await useTunnels({ hostname: "127.0.0.1", port: container.port }, 1_000);
  assertEquals(await container.inspect("{{.State.Status}}"), "running");
}, { skip });

test("image answers whether it is ready, with no curl inside", async () => {
  const args = ["--port=8118", "--upstream=127.0.0.1:1"];
  await using container = await Container.start(args, { network: "none" });
  const { code, stderr } = await container.exec("/usr/bin/api-server-proxy", "ready");
  assertEquals(code, 0, stderr);
  const nowhere = ["ready", "http://127.0.0.1:1/readyz"];
  assertEquals((await container.exec("/usr/bin/api-server-proxy", ...nowhere)).code, 1);
}, { skip });

test("image diagnoses a path from a kubeconfig on its standard input", async () => {
  await using api = await FakeApiServer.start();
  const { host, port } = api.authority;
  await using container = await Container.start([...ANY_PORT, `--upstream=${host}:${port}`]);
  const kubeconfig = (proxyPort: number) =>
    JSON.stringify({
      "current-context": "cl02",
      contexts: [{ name: "cl02", context: { cluster: "provider", user: "me" } }],
      clusters: [{
        name: "provider",
        cluster: {
          server: "https://kubernetes.default.svc",
          "proxy-url": `http://127.0.0.1:${proxyPort}`,
          "certificate-authority-data": btoa(api.certificate.authority),
        },
      }],
      users: [{ name: "me", user: { token: TOKEN } }],
    });
  const good = await runImage(["diagnose"], { stdin: kubeconfig(container.port) });
  assertEquals([good.code, good.stderr], [0, ""]);
  assertMatch(good.stdout, /^user +ok .* authenticated as me;[^]*\nEvery step succeeded: /m);
  const broken = await runImage(["diagnose"], { stdin: kubeconfig(1) });
  assertEquals(broken.code, 1);
  assertMatch(broken.stdout, /\nFirst broken step: tcp\n$/);
}, { skip });

test("image for arm64 is built on this processor, with a program for the other", async () => {
  assertEquals(architectureOf(await buildArm64Binary()), "arm64");
}, { skip: skipArm64 });

test("image is built from what the build reads and nothing else", () => {
  const ignored = readSource(".dockerignore").split("\n").filter((line) => /^[^#]/.test(line));
  assertEquals(ignored[0], "*");
  const kept = ignored.filter((line) => line.startsWith("!")).map((line) => line.slice(1));
  const copied = [...readSource("Dockerfile").matchAll(/^COPY (?!--from)(.*) \S+$/gm)]
    .flatMap(([, sources]) => sources!.split(" "));
  assertEquals(kept.toSorted(), copied.toSorted());
  for (const path of kept) Deno.statSync(inRoot(path));
});
