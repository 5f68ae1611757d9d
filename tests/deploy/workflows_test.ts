/** Workflows and scripts, judged by their linters. */
import { assertEquals } from "@std/assert";
import { run } from "../harness/child_process.ts";
import { test } from "../harness/test.ts";
import { inRoot } from "../sources.ts";
import { find, missing } from "./tools.ts";

const ACTIONLINT = find("actionlint");
const SHELLCHECK = find("shellcheck");
const CLEAN = { code: 0, stdout: "", stderr: "" };

test("workflows are clean for actionlint", async () => {
  assertEquals(await run([ACTIONLINT!, "-no-color"], { cwd: inRoot("") }), CLEAN);
}, {
  skip: missing({
    "actionlint (go install github.com/rhysd/actionlint/cmd/actionlint)": ACTIONLINT !== undefined,
  }),
});

test(".ci/run is clean for shellcheck", async () => {
  assertEquals(await run([SHELLCHECK!, inRoot(".ci/run")]), CLEAN);
}, { skip: missing({ shellcheck: SHELLCHECK !== undefined }) });
