/** Prometheus' own parser and linter read what /metrics answers. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { inRoot } from "../sources.ts";
import { find, missing } from "../deploy/tools.ts";
import { output, run } from "../harness/child_process.ts";
import { CONNECT, TestUpstream } from "../harness/peers.ts";
import { test } from "../harness/test.ts";
import { TestServer } from "../harness/server.ts";
import { WRONG_REPORTS } from "./wrong_reports.ts";

const PROMLINT = inRoot(".cache/promlint");

const skip = missing({ "Go": find("go") !== undefined });
if (!skip) {
  Deno.test.beforeAll(async () => {
    const cwd = inRoot("tests/monitoring/promlint");
    await output(["go", "build", "-o", PROMLINT, "."], { cwd, limitMs: 600_000 });
  });
}

for (const workers of [1, 2]) {
  test(
    `/metrics under load pleases Prometheus' parser and linter: ${workers} worker(s)`,
    async () => {
      using upstream = new TestUpstream();
      const flags = [`--upstream=127.0.0.1:${upstream.authority.port}`, `--workers=${workers}`];
      await using test = await TestServer.start([...flags, "--allowed-hosts=api:443,else:1"]);
      using tunnels = new DisposableStack();
      let isOver = false;
      async function load(): Promise<void> {
        while (!isOver) {
          const tunnel = await test.tunnel(upstream);
          await tunnel.client.write("x".repeat(1_000));
          await tunnel.upstream.read(1_000);
          if (Math.random() < 0.5) tunnels.use(tunnel);
          else tunnel[Symbol.dispose]();
          using refused = await test.connect(CONNECT.replaceAll("api", "no"));
          await refused.readText();
        }
      }
      async function scrape(): Promise<void> {
        for (let i = 0; i < 10; i++) {
          const { body } = await test.get("/metrics");
          const { code, stdout, stderr } = await run([PROMLINT, "-print"], { stdin: body });
          assertEquals({ code, stderr }, { code: 0, stderr: "" }, body);
          assertStringIncludes(stdout, "api_server_proxy_connect_duration_seconds histogram \n");
          assertStringIncludes(stdout, "api_server_proxy_requests_total counter code\n");
        }
      }
      await Promise.all([load(), scrape().finally(() => isOver = true)]);
    },
    { skip },
  );
}

for (const [what, text] of Object.entries(WRONG_REPORTS)) {
  test(`promlint does find what is wrong: ${what}`, async () => {
    assertEquals((await run([PROMLINT], { stdin: text })).code, 1);
  }, { skip });
}
