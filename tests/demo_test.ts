/** The demo as a newcomer meets it, and its API server as a client of Kubernetes does. */
import { assertEquals, assertLess, assertMatch, assertRejects } from "@std/assert";
import { type ApiServer, startApiServer } from "../demo/api_server.ts";
import { test } from "./harness/test.ts";
import { inRoot } from "./sources.ts";

const TOKEN = "secret";
/** As the task `demo` starts it. */
const DEMO = ["run", "--quiet", "--no-prompt", "-P=demo", "demo/main.ts"];
const AS_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

function startDemo(...args: string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: [...DEMO, ...args],
    cwd: inRoot(""),
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
}

/** What the demo has printed once it says that it stays up. */
async function untilReady(output: ReadableStreamDefaultReader<string>): Promise<string> {
  let text = "";
  while (!text.includes("Ctrl-C ends the demo")) {
    const { done, value } = await output.read();
    if (done) throw new Error(`the demo has ended: ${text}`);
    text += value;
  }
  return text;
}

/** Whether a program can be run here. */
async function isInstalled(program: string): Promise<boolean> {
  try {
    return (await new Deno.Command(program, { args: ["--version"] }).output()).success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

type Get = (path: string, headers?: Record<string, string>) => Promise<Response>;

/** Calls `use` with a way to ask a running API server, as who has the token and the CA. */
async function withApiServer(use: (get: Get, server: ApiServer) => Promise<void>): Promise<void> {
  const server = await startApiServer(TOKEN);
  const client = Deno.createHttpClient({ caCerts: [server.certificateAuthority] });
  try {
    await use((path, headers) =>
      fetch(`https://127.0.0.1:${server.address.port}${path}`, {
        client,
        headers: { authorization: `Bearer ${TOKEN}`, ...headers },
      }), server);
  } finally {
    client.close();
    await server.close();
  }
}

test("demo --once shows the reply that came through the tunnel and exits 0", async () => {
  const { code, stdout } = await startDemo("--once").output();
  const text = new TextDecoder().decode(stdout);
  assertMatch(text, /< HTTP\/1\.1 200 Connection established/);
  assertMatch(text, /< HTTP\/1\.1 200 OK\n.*"gitVersion"/);
  assertMatch(text, /INFO {2}tunnel .*status=200/);
  assertEquals(code, 0);
});

test("demo refuses an argument that it does not know with exit 2", async () => {
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: [...DEMO, "--twice"],
    cwd: inRoot(""),
  }).output();
  assertEquals(code, 2);
});

test("demo stays up until Ctrl-C, then exits 0 at once", async () => {
  await using demo = startDemo();
  const output = demo.stdout.pipeThrough(new TextDecoderStream()).getReader();
  await untilReady(output);
  const interruptedMs = performance.now();
  demo.kill("SIGINT");
  while (!(await output.read()).done);
  assertEquals((await demo.status).code, 0);
  assertLess(performance.now() - interruptedMs, 2_000);
});

const hasCurl = await isInstalled("curl");
test(
  `demo prints a curl line that works${hasCurl ? "" : " (skipped: no curl here)"}`,
  async () => {
    await using demo = startDemo();
    const output = demo.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const [, line = ""] = /^ +curl (.*)$/m.exec(await untilReady(output)) ?? [];
    const { stdout } = await new Deno.Command("curl", {
      args: ["--silent", "--show-error", "--max-time", "10", ...line.split(" ")],
      env: { NO_PROXY: "", no_proxy: "" },
      stderr: "inherit",
    }).output();
    assertEquals(JSON.parse(new TextDecoder().decode(stdout)).gitVersion, "v1.33.0-demo");
    demo.kill("SIGINT");
    while (!(await output.read()).done);
  },
  { skip: !hasCurl },
);

test("demo API server has a certificate that only its own CA makes good", async () => {
  await withApiServer(async (get, { address }) => {
    assertEquals(await (await get("/readyz")).text(), "ok");
    using conn = await Deno.connectTls({ hostname: "127.0.0.1", port: address.port });
    await assertRejects(() => conn.handshake(), Deno.errors.InvalidData, "UnknownIssuer");
  });
});

test("demo API server answers 401 and 404 with a Status", async () => {
  await withApiServer(async (get) => {
    for (
      const { path, headers, code, reason } of [
        {
          path: "/version",
          headers: { authorization: "Bearer x" },
          code: 401,
          reason: "Unauthorized",
        },
        { path: "/api/v1/pods", headers: {}, code: 404, reason: "NotFound" },
      ]
    ) {
      const response = await get(path, headers);
      assertEquals(response.status, code, path);
      const { kind, code: codeInBody, reason: reasonInBody } = await response.json();
      assertEquals([kind, codeInBody, reasonInBody], ["Status", code, reason], path);
    }
  });
});

test("demo API server lists namespaces, as objects and as kubectl's Table", async () => {
  await withApiServer(async (get) => {
    const list = await (await get("/api/v1/namespaces")).json();
    assertEquals(list.kind, "NamespaceList");
    assertEquals(list.items[0].metadata.name, "default");
    const table = await (await get("/api/v1/namespaces", { accept: AS_TABLE })).json();
    assertEquals(table.kind, "Table");
    assertEquals(table.rows[0].cells.slice(0, 2), ["default", "Active"]);
  });
});

test("demo API server ends a watch that is open when it closes", async () => {
  const server = await startApiServer(TOKEN);
  const client = Deno.createHttpClient({ caCerts: [server.certificateAuthority] });
  const response = await fetch(
    `https://127.0.0.1:${server.address.port}/api/v1/namespaces?watch=1`,
    { client, headers: { authorization: `Bearer ${TOKEN}` } },
  );
  const events = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  const { type, object } = JSON.parse((await events.read()).value!.split("\n")[0]!);
  assertEquals([type, object.metadata.name], ["ADDED", "default"]);
  const ended = (async () => {
    while (!(await events.read()).done);
  })().catch(() => {}); // an error is an end, too
  await Promise.all([server.close(), ended]);
  client.close();
});
