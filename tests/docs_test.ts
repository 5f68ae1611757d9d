/** What the documents say of flags, answers, log lines, metrics and files is what the code has. */
import { assert, assertEquals, assertGreater, assertLessOrEqual } from "@std/assert";
import { type Flag, FLAGS } from "../lib/config/flags.ts";
import { REFUSALS } from "../lib/protocol/refusal.ts";
import { TestUpstream } from "./harness/peers.ts";
import { TestServer } from "./harness/server.ts";
import { test } from "./harness/test.ts";
import { exists, filesIn, readSource } from "./sources.ts";

const REFERENCE = readSource("docs/reference.md");
const DOCUMENTS = [
  "README.md",
  "CHANGELOG.md",
  "CONTRIBUTING.md",
  "SECURITY.md",
  ...["docs", "bench", "deploy"].flatMap(filesIn).filter((path) => path.endsWith(".md")),
];

/** The text below a heading of docs/reference.md, up to the next one of its level or above. */
function section(heading: string): string {
  const [before, rest] = REFERENCE.split(`\n${heading}\n`);
  assert(before !== undefined && rest !== undefined, `docs/reference.md has no "${heading}"`);
  return rest.split(new RegExp(`^#{2,${heading.indexOf(" ")}} `, "m"))[0]!;
}

/** The rows of all tables, their headings too: cells without padding and code marks. */
function rowsOf(text: string): string[][] {
  return text.split("\n").filter((line) => line.startsWith("|")).map((line) =>
    line.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim().replace(/`|\\(?=\|)/g, ""))
  );
}

/** The rows of the table that begins with this heading. */
function tableOf(text: string, heading: string): string[][] {
  const table = text.split("\n\n").find((part) => part.trimStart().startsWith(`| ${heading} |`));
  assert(table !== undefined, `docs/reference.md has no table "${heading}"`);
  return rowsOf(table).slice(2);
}

test("reference: every flag with its value, default and meaning under its group, and no other", () => {
  const documented = rowsOf(section("## Flags")).filter(([first]) => /^--[a-z-]+ /.test(first!));
  const flags = Object.entries<Flag>(FLAGS).map(([name, flag]) => [
    `--${name} ${flag.value}`,
    flag.fallbackHelp ?? (flag.fallback || "none"),
    flag.help.replaceAll("`", ""),
  ]);
  assertEquals(documented, flags);
  for (const [name, { group }] of Object.entries<Flag>(FLAGS)) {
    assert(
      section(`### ${group}`).includes(`| \`--${name} `),
      `--${name} does not stand under "${group}"`,
    );
  }
});

test("reference: every flag with a sentence on why", () => {
  for (const [name, { group }] of Object.entries<Flag>(FLAGS)) {
    const reasons = section(`### ${group}`).split("\n").filter((line) => line.startsWith("- "));
    assert(
      reasons.some((line) => line.includes(`\`--${name}\``)),
      `docs/reference.md, "${group}": add what --${name} is for to the list below the table`,
    );
  }
});

test("reference: every command, and no other", () => {
  const [, table = ""] = /const COMMANDS = [^;]*\(\[([^;]*)\]\);/.exec(readSource("main.ts")) ?? [];
  const commands = [...table.matchAll(/\["([^"]+)"/g)].map(([, name]) => name!);
  const documented = tableOf(section("## Commands"), "command")
    .map(([command]) => command!.split(" ")[1]!)
    .filter((word) => /^[a-z]/.test(word));
  assertEquals(documented.toSorted(), commands.toSorted());
});

test("reference: every answer with its status and phrase, and no other", () => {
  const documented = rowsOf(section("## Answers")).filter(([status]) => /^\d+$/.test(status!))
    .map(([status, phrase]) => `${status} ${phrase}`);
  const answers = Object.values(REFUSALS).map(({ status, phrase }) => `${status} ${phrase}`);
  assertEquals(documented.toSorted(), answers.toSorted());
});

test("reference: every log line, and no other", () => {
  const sources = filesIn("lib").map(readSource).join("\n");
  const logged = [...sources.matchAll(/\blog\(\s*(?:"\w+"|\w+), "([^"]+)"/gi)].map(([, msg]) =>
    msg!
  );
  assertGreater(logged.length, 10);
  const documented = tableOf(section("## Log"), "msg").map(([msg]) => msg!);
  for (const msg of logged) {
    assert(documented.includes(msg), `docs/reference.md, "Log": add ${msg}`);
  }
  for (const msg of documented) assert(sources.includes(`"${msg}"`), `no code logs "${msg}"`);
});

/** `name type labels` of each metric that a running server reports. */
async function metricsOfServer(): Promise<string[]> {
  using upstream = new TestUpstream();
  await using server = await TestServer.start([
    `--upstream=127.0.0.1:${upstream.authority.port}`,
    "--allow-from=cl01=127.0.0.0/8",
  ]);
  const { body } = await server.get("/metrics");
  return [...body.matchAll(/^# TYPE (\w+) (\w+)\n(.+)/gm)].map(([, name, type, sample]) => {
    const labels = [...sample!.matchAll(/[{,](\w+)="/g)].map(([, label]) => label);
    return [name, type, ...labels.filter((label) => label !== "le")].join(" ");
  });
}

test("reference: every metric with its type and labels, and no other", async () => {
  const documented = tableOf(section("## Metrics"), "name")
    .map(([name, type, labels]) => `${name} ${type} ${labels!.replaceAll(",", "")}`.trim());
  assertEquals(documented.toSorted(), (await metricsOfServer()).toSorted());
});

test("every metric is counted or read somewhere", async () => {
  const code = filesIn("lib").filter((path) => !path.endsWith("/metrics.ts")).map(readSource)
    .join("\n").replace(/^\s*(?:\/\*[^]*?\*\/|\/\/.*)$/gm, "");
  for (const metric of await metricsOfServer()) {
    const name = metric.split(" ")[0]!.replace(/^api_server_proxy_/, "");
    assert(
      new RegExp(`\\b(?:api_server_proxy_)?${name}\\b`).test(code),
      `${name} is reported, but nothing outside of metrics.ts names it: count it, or remove it`,
    );
  }
});

const CONTRIBUTING = readSource("CONTRIBUTING.md");

/** The paths that an indented tree names; a folder ends in a slash. */
function pathsOf(tree: string): string[] {
  const folders: string[] = [];
  return [...tree.matchAll(/^( *)([\w.]+(?:\.ts|\/))(?: |$)/gm)].map(([, indent, name]) => {
    folders.length = indent!.length / 2;
    const path = folders.join("") + name;
    folders.push(name!);
    return path;
  });
}

test("CONTRIBUTING: every file of lib/ with its job, and no other", () => {
  const [tree = ""] = /^main\.ts [^]*?(?=^tests\/)/m.exec(CONTRIBUTING) ?? [];
  const listed = pathsOf(tree).filter((path) => path.startsWith("lib/") && !path.endsWith("/"));
  const files = filesIn("lib");
  for (const file of files) {
    assert(listed.includes(file), `CONTRIBUTING.md, "Where things are": add a line for ${file}`);
  }
  assertEquals(listed.toSorted(), files, `CONTRIBUTING.md, "Where things are"`);
});

test("CONTRIBUTING: the diagram has the transitions that a connection may take", () => {
  const [, table = ""] =
    /const NEXT[^=]*= \{([^}]*)\}/.exec(readSource("lib/proxy/connection.ts")) ??
      [];
  const allowed = [...table.matchAll(/(\w+): \[([^\]]*)\]/g)].flatMap(([, from, to]) =>
    [...to!.matchAll(/"(\w+)"/g)].map(([, phase]) => `${from} --> ${phase}`)
  );
  assertGreater(allowed.length, 5);
  const drawn = CONTRIBUTING.match(/^ {2}\w+ --> \w+(?=:)/gm)?.map((line) => line.trim());
  assertEquals(drawn?.toSorted(), allowed.toSorted());
});

/** The anchor that a heading has on the common forge. */
function anchorOf(heading: string): string {
  return heading.toLowerCase().replace(/[^\w\- ]/g, "").replaceAll(" ", "-");
}

/** What is linked to, without what stands in code. */
function* linksOf(path: string): Generator<string> {
  const prose = readSource(path).replace(/```[^]*?```/g, "");
  for (const [, target = ""] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
    if (!/^[a-z]+:/.test(target)) yield target;
  }
}

test("every link in the documents leads to a file, and its anchor to a heading", () => {
  for (const path of DOCUMENTS) {
    for (const link of linksOf(path)) {
      const { pathname, hash } = new URL(link, `file:///${path}`);
      assert(exists(pathname.slice(1)), `${path} links to ${link}: no such file`);
      if (hash === "") continue;
      const headings = readSource(pathname.slice(1)).matchAll(/^#+ (.+)$/gm);
      const anchors = [...headings].map(([, heading]) => `#${anchorOf(heading!)}`);
      assert(anchors.includes(hash), `${path} links to ${link}: no such heading`);
    }
  }
});

test("every page of docs/ is linked from the README", () => {
  const linked = new Set(linksOf("README.md"));
  for (const path of filesIn("docs").filter((path) => path.endsWith(".md"))) {
    assert(linked.has(path), `README.md does not link to ${path}`);
  }
});

test("README stays a page to begin with: at most 8 KiB", () => {
  assertLessOrEqual(
    new TextEncoder().encode(readSource("README.md")).length,
    8_192,
    "move details to docs/",
  );
});

test("every task that the documents name is in deno.json", () => {
  const { tasks } = JSON.parse(readSource("deno.json"));
  for (const path of DOCUMENTS) {
    for (
      const [, task = ""] of readSource(path).matchAll(/\b(?:deno(?:@[\d.]+)?) task ([\w:]+)/g)
    ) {
      assert(task in tasks, `${path} names the task ${task}`);
    }
  }
});
