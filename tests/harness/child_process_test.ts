/** What a test starts ends with its test run, however that ends. */
import { assertEquals } from "@std/assert";
import { test } from "./test.ts";
import { output, Process, run } from "./child_process.ts";

const MODULE = JSON.stringify(import.meta.resolve("./child_process.ts"));
/** Longer than the test waits, but not for ever. */
const SLEEP_S = 300;

test("a process that a test talks to does not outlive a killed test run", async () => {
  const directory = (await output(["mktemp", "-d"])).trim();
  try {
    const pipe = `${directory}/pipe`;
    await output(["mkfifo", pipe]);
    // It holds one end of the pipe for as long as it lives.
    const sleeper = ["sh", "-c", `exec 3>"$0"; echo started; exec sleep ${SLEEP_S}`, pipe];
    const program = `
      const { Process } = await import(${MODULE});
      const sleeper = new Process(${JSON.stringify(sleeper)});
      console.log(await sleeper.stdout.find(() => true));`;
    await using testRun = new Process([Deno.execPath(), "eval", program]);
    const held = run(["cat", pipe]);
    await testRun.stdout.find((line) => line === "started");
    await testRun.stop("SIGKILL");
    assertEquals((await held).code, 0);
  } finally {
    await output(["rm", "-r", directory]);
  }
});
