import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { credentials } from "../../lib/commands/credentials.ts";
import { parseConfig } from "../../lib/config/config.ts";
import { Credentials } from "../../lib/protocol/credentials.ts";

async function run(...args: string[]) {
  const out: string[] = [], errors: string[] = [];
  const code = await credentials(args, {
    env: () => undefined,
    readStdin: () => Promise.resolve(""),
    print: (line) => void out.push(line),
    printError: (line) => void errors.push(line),
  });
  return { code, out, errors };
}

Deno.test("credentials prints a secret that the flag beside it accepts", async () => {
  const { code, out, errors } = await run("cl01");
  assertEquals([code, errors], [0, []]);
  const [, secret = ""] = /^proxy-url: http:\/\/cl01:([\w-]{43})@HOST:8118$/m.exec(out.join("\n"))!;
  const flag = out.find((line) => line.startsWith("--credentials="))!;
  const invocation = parseConfig(["--upstream=a:1", flag], () => undefined);
  if (invocation.kind !== "run") throw new Error(JSON.stringify(invocation));
  const known = new Credentials(invocation.config.credentials);
  const sent = new TextEncoder().encode(`Basic ${btoa(`cl01:${secret}`)}`);
  assertEquals(await known.verify([sent]), "cl01");
  assertNotEquals((await run("cl01")).out, out);
});

Deno.test("credentials reports a name that is none, and wrong usage, with 2", async () => {
  for (const args of [[], [""], ["--help"], ["a", "b"]]) {
    const { code, out, errors } = await run(...args);
    assertEquals([code, out], [2, []]);
    assertMatch(errors[0]!, /^usage: api-server-proxy credentials NAME$/);
  }
  for (const name of ["a:b", "a b", "a=b", "a,b", "ü", "a".repeat(64)]) {
    const { code, out, errors } = await run(name);
    assertEquals([code, out, errors.length], [2, [], 1], name);
    assertMatch(errors[0]!, /^NAME ".*": takes 1 to 63 /);
  }
});
