/** What deploy/helm/api-server-proxy/monitoring/ asks for is there, and Prometheus understands it. */
import { assert, assertEquals, assertGreater, assertStringIncludes } from "@std/assert";
import dashboard from "../../deploy/helm/api-server-proxy/monitoring/dashboard.json" with {
  type: "json",
};
import { inRoot, readSource } from "../sources.ts";
import { find, missing } from "../deploy/tools.ts";
import { output } from "../harness/child_process.ts";
import { TestUpstream } from "../harness/peers.ts";
import { test } from "../harness/test.ts";
import { TestServer } from "../harness/server.ts";

/** Prometheus' own tool. */
const PROMTOOL = find("promtool");
const skip = missing({ "promtool, of Prometheus": PROMTOOL !== undefined });
const ALERTS = readSource("deploy/helm/api-server-proxy/monitoring/alerts.yaml");

/** All expressions of the dashboard, with the variables as Grafana would fill them in. */
const EXPRESSIONS = dashboard.panels
  .flatMap(({ targets }) => targets.map(({ expr }) => expr))
  .map((expr) => expr.replaceAll("$__rate_interval", "1m").replaceAll("$__range", "3h"));

/** What samples there are of a server that has served, with their labels. */
async function samplesOfServer(): Promise<string> {
  using upstream = new TestUpstream();
  const to = `--upstream=127.0.0.1:${upstream.authority.port}`;
  const flags = [to, "--allow-from=cl01=127.0.0.0/8"];
  await using test = await TestServer.start(flags);
  return (await test.get("/metrics")).body;
}

/** Metric, label and value of each plain matcher on a metric of ours. */
function* matchers(text: string): Generator<[metric: string, label: string, value: string]> {
  for (
    const [, metric = "", inside = ""] of text.matchAll(/\b(api_server_proxy_\w+)\{([^}]*)\}/g)
  ) {
    for (const [, label = "", value = ""] of inside.matchAll(/(\w+)=~?"([^"]*)"/g)) {
      for (const one of value.split("|")) yield [metric, label, one];
    }
  }
}

for (const [what, text] of Object.entries({ dashboard: EXPRESSIONS.join("\n"), alerts: ALERTS })) {
  test(`${what}: every metric is one that /metrics has`, async () => {
    const report = await samplesOfServer();
    const names = new Set(text.match(/\b(api_server_proxy|process)_[a-z_]+\b/g));
    assertGreater(names.size, 5);
    for (const name of names) {
      assert(new RegExp(`^${name}(\\{| )`, "m").test(report), `${what} asks for ${name}`);
    }
  });

  test(`${what}: every label value of ours is one that /metrics has`, async () => {
    const report = await samplesOfServer();
    for (const [metric, label, value] of matchers(text)) {
      if (["cluster", "namespace", "job", "instance"].includes(label)) continue;
      const sample = new RegExp(`^${metric}\\{.*${label}="${value}"`, "m");
      assert(sample.test(report), `${what} asks for ${metric}{${label}="${value}"}`);
    }
  });
}

test("the dashboard shows every metric of ours", async () => {
  const report = await samplesOfServer();
  const unshown = ["process_start_time_seconds"];
  for (const [, name = ""] of report.matchAll(/^# TYPE (\w+)/gm)) {
    const isShown = EXPRESSIONS.some((expr) => expr.includes(name));
    assert(isShown !== unshown.includes(name), `${name} is on no panel`);
  }
});

test("the panels of the dashboard do not overlap", () => {
  const taken = new Set<string>();
  for (const { title, gridPos: { x, y, w, h } } of dashboard.panels) {
    assert(x + w <= 24, title);
    for (let column = x; column < x + w; column++) {
      for (let row = y; row < y + h; row++) {
        assert(!taken.has(`${column} ${row}`), title);
        taken.add(`${column} ${row}`);
      }
    }
  }
  const ids = dashboard.panels.map(({ id }) => id);
  assertEquals(new Set(ids).size, ids.length);
});

test("promtool finds nothing wrong with the alerts", async () => {
  const rules = inRoot("deploy/helm/api-server-proxy/monitoring/alerts.yaml");
  await output([PROMTOOL!, "check", "rules", "--lint=all", "--lint-fatal", rules]);
}, { skip });

test("each alert has its runbook in docs/operate.md, and each runbook an alert", () => {
  const operate = "https://github.com/liqotech/api-server-proxy/blob/main/docs/operate.md";
  const runbooks = ALERTS.split("- alert: ").slice(1).map((rule) => {
    const name = rule.split("\n", 1)[0]!;
    assertStringIncludes(rule, `\n          runbook_url: ${operate}#${name.toLowerCase()}\n`);
    return name;
  });
  const section = readSource("docs/operate.md").split(/^## /m)
    .find((section) => section.startsWith("Alerts\n"))!;
  const headings = [...section.matchAll(/^### (.+)$/gm)].map(([, heading]) => heading);
  assertEquals(headings, runbooks);
});

test("each alert is seen to fire, and not to fire", () => {
  const cases = readSource("tests/monitoring/alerts_test.yaml");
  for (const [, name] of ALERTS.matchAll(/- alert: (\w+)/g)) {
    assertStringIncludes(cases, `alertname: ${name}\n        exp_alerts:\n          - `);
    assertStringIncludes(cases, `alertname: ${name} }`);
  }
});

test("alerts fire when they should, and not else", async () => {
  await output([PROMTOOL!, "test", "rules", inRoot("tests/monitoring/alerts_test.yaml")]);
}, { skip });

test("promtool parses every expression of the dashboard", async () => {
  const rules = EXPRESSIONS.map((expr, i) => ({ record: `panel:${i}`, expr }));
  // JSON is YAML.
  const stdin = JSON.stringify({ groups: [{ name: "dashboard", rules }] });
  const told = await output([PROMTOOL!, "check", "rules", "/dev/stdin"], { stdin });
  assertStringIncludes(told, `${EXPRESSIONS.length} rules found`);
}, { skip });
