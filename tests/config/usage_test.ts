import { assert, assertEquals, assertLessOrEqual, assertMatch } from "@std/assert";
import { FLAGS } from "../../lib/config/flags.ts";
import { usage } from "../../lib/config/usage.ts";

/** Section 1 of the design: what `--help` says that each flag is without being given. */
const DEFAULTS: Readonly<Record<keyof typeof FLAGS, string>> = {
  "upstream": "in a pod: the API server of its cluster",
  "force-host": "none",
  "allowed-hosts": "any",
  "probe": "readyz",
  "upstream-ca": "probes accept any certificate",
  "allow-from": "all sources",
  "credentials": "none: clients need no secret",
  "host": "every address, IPv6 and IPv4",
  "port": "8118",
  "admin-host": "as --host",
  "admin-port": "8119",
  "workers": "1",
  "max-connections": "4096",
  "max-connections-per-source": "0",
  "header-timeout": "10s",
  "connect-timeout": "4s",
  "idle-timeout": "4h",
  "half-close-timeout": "1m",
  "max-tunnel-age": "0",
  "shutdown-delay": "0",
  "drain-timeout": "25s",
  "log-open-after": "10s",
  "log-level": "info",
  "log-format": "json; text on a terminal",
};

Deno.test("usage() tells every flag, what it takes, what it is for and its default", () => {
  const lines = usage().split("\n");
  assertEquals(Object.keys(DEFAULTS).toSorted(), Object.keys(FLAGS).toSorted());
  for (const [name, fallback] of Object.entries(DEFAULTS)) {
    const at = lines.findIndex((line) => new RegExp(`^ +--${name} [A-Za-z[]\\S* `).test(line));
    assert(at > 0, `--${name} is missing`);
    assert(lines[at]!.endsWith(`  (default: ${fallback})`), lines[at]);
    assertMatch(lines[at + 1]!, /^ {10}\S.{9,}$/);
  }
});

Deno.test("usage() lists flags under their group, each group once", () => {
  const headings = usage().split("\n").filter((line) => /^[A-Z][A-Za-z ]+:$/.test(line));
  const groups = ["Destinations", "Clients", "Listening", "Limits", "Shutdown", "Log"];
  assertEquals(headings, [
    ...["Usage:", "Examples:"],
    ...groups.map((group) => `${group}:`),
    "Other:",
  ]);
});

Deno.test("usage() tells the commands, --help, --version and the environment", () => {
  for (
    const text of [
      "api-server-proxy [options]",
      "api-server-proxy remap REMAPPED_IP REMAPPED_EXT_CIDR",
      "-h, --help",
      "--version",
      "--connect-timeout is API_SERVER_PROXY_CONNECT_TIMEOUT",
    ]
  ) assert(usage().includes(text), text);
});

Deno.test("usage() has two examples with flags that exist", () => {
  const examples = usage().split("Examples:")[1]?.split("\n\nDestinations:")[0] ?? "";
  assertEquals(examples.match(/^ {2}api-server-proxy /gm)?.length, 2);
  const flags = [...examples.matchAll(/--([a-z-]+)/g)].map(([, name = ""]) => name);
  assert(flags.length > 0);
  for (const flag of flags) assert(flag in FLAGS, flag);
});

Deno.test("usage() fits a terminal of 100 columns and ends with one line break", () => {
  for (const line of usage().split("\n")) assertLessOrEqual(line.length, 100, line);
  assertMatch(usage(), /\S\n$/);
  assertEquals(/[ \t]$|\t/m.exec(usage()), null);
});
