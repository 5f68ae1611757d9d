/** What the workflows promise; `tests/deploy/workflows_test.ts` has their linter. */
import { assert, assertEquals, assertGreater, assertMatch } from "@std/assert";
import project from "../../deno.json" with { type: "json" };
import { filesIn, readSource } from "../sources.ts";

const WORKFLOWS = filesIn(".github/workflows").map((path) => ({ path, text: readSource(path) }));

Deno.test("workflows have every action pinned by its commit, with the version beside it", () => {
  const used = WORKFLOWS.flatMap(({ path, text }) =>
    [...text.matchAll(/\buses: (.*)$/gm)].map(([, action]) => ({ path, action: action! }))
  );
  assertGreater(used.length, 5);
  for (const { path, action } of used) {
    if (action.startsWith("./")) continue;
    assertMatch(action, /^[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/, path);
  }
  const commits = new Set(used.map(({ action }) => action.split(" ")[0]));
  const actions = new Set(used.map(({ action }) => action.split("@")[0]));
  assertEquals(commits.size, actions.size, "one action in two versions");
});

Deno.test("workflows have no permission but those that a job names", () => {
  for (const { path, text } of WORKFLOWS) {
    assertMatch(text, /^permissions: \{\}$/m, path);
    const jobs = text.slice(text.indexOf("\njobs:")).split(/^ {2}(?=[\w-]+:$)/m).slice(1);
    assertGreater(jobs.length, 0);
    for (const job of jobs) {
      assertMatch(job, /^ {4}permissions:\n( {6}[\w-]+: (read|write).*\n)+/m, `${path}: ${job}`);
    }
  }
});

Deno.test("workflows call tasks and files that are there", () => {
  const text = WORKFLOWS.map((workflow) => workflow.text).join("\n");
  const tasks = [...text.matchAll(/\bdeno task ([\w:]+)/g)].map(([, task]) => task!);
  for (const task of tasks) assert(task in project.tasks, task);
  for (const task of ["ok", "release"]) assert(tasks.includes(task), task);
  assertMatch(text, / \.ci\/run$/m);
  readSource(".ci/run");
  for (const [, path] of text.matchAll(/-file: ([\w./-]+)$/gm)) readSource(path!);
});

Deno.test("release workflow's image is the chart's", () => {
  const [, image] = /^ {2}IMAGE: (.*)$/m.exec(readSource(".github/workflows/release.yml"))!;
  const values = readSource("deploy/helm/api-server-proxy/values.yaml");
  assertMatch(values, new RegExp(`^ +name: ${image!.replaceAll(".", "\\.")}$`, "m"));
});
