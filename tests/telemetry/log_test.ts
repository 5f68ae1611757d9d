import { assert, assertEquals, assertLess, assertMatch } from "@std/assert";
import { createLog, createSink } from "../../lib/telemetry/log.ts";
import { test } from "../harness/test.ts";

function lines(format: "json" | "text", log: (to: ReturnType<typeof createLog>) => void): string[] {
  const written: string[] = [];
  log(createLog({ level: "info", format, write: (line) => void written.push(line) }));
  return written;
}

test("createLog() writes one JSON object a line: time, level and message first", () => {
  const [line = ""] = lines("json", (log) => log("info", "tunnel", { id: 7, upstream: undefined }));
  assertMatch(line, /^\{"time":"\d{4}-.*Z","level":"info","msg":"tunnel","id":7\}\n$/);
});

test("createLog() writes JSON whatever the message, with fields or without", () => {
  const written = lines("json", (log) => {
    log("warn", 'say "no"\n');
    log("warn", "known to nobody", { upstream: undefined });
  });
  assertEquals(written.map((line) => JSON.parse(line).msg), [
    'say "no"\n',
    "known to nobody",
  ]);
});

test("createLog() writes the time at which each line was made", async () => {
  const log = createLog({ level: "info", format: "json", write: (line) => written.push(line) });
  const written: string[] = [];
  const betweenMs: number[] = [];
  for (let line = 0; line < 3; line++) {
    betweenMs.push(Date.now());
    log("info", "now");
    while (Date.now() === betweenMs.at(-1)) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  betweenMs.push(Date.now());
  written.forEach((line, at) => {
    const ms = Date.parse(JSON.parse(line).time);
    assert(betweenMs[at]! <= ms && ms <= betweenMs[at + 1]!, `${ms} of ${betweenMs}`);
  });
});

test("createLog() leaves out what is below its level", () => {
  const written = lines("json", (log) => {
    log("debug", "no");
    log("warn", "yes");
  });
  assertEquals(written.length, 1);
});

for (const format of ["json", "text"] as const) {
  test(`createLog() lets no value begin a line of its own or send escapes: ${format}`, () => {
    const forged = 'x"\r\n{"level":"error"}\n\u001b[2J\u009b1m\u2028';
    const [line = ""] = lines(format, (log) => log("info", "tunnel", { authority: forged }));
    // deno-fmt-ignore
    assertMatch(line, /^[^\p{Cc}\u2028\u2029]*\n$/u);
  });
}

function textLines(color: boolean): string[] {
  const written: string[] = [];
  const write = (line: string) => void written.push(line);
  const log = createLog({ level: "debug", format: "text", color, write });
  log("warn", "refused", { status: 403, reason: "not here" });
  log("info", "listening", { address: "[::]:8118" });
  log("error", "accept failed");
  return written;
}

test("createLog() prints text in columns: time of day, level, message, pairs", () => {
  const withoutTime = textLines(false).map((line) => {
    assertMatch(line, /^\d\d:\d\d:\d\d\.\d{3}Z /);
    return line.slice("00:00:00.000Z ".length);
  });
  assertEquals(withoutTime, [
    'WARN  refused       status=403 reason="not here"\n',
    "INFO  listening     address=[::]:8118\n",
    "ERROR accept failed\n",
  ]);
});

test("createLog() colours text where it may, and changes nothing else", () => {
  const colored = textLines(true);
  // deno-lint-ignore no-control-regex
  const escapes = /\x1b\[\d+m/g;
  assertMatch(colored[0]!, escapes);
  assertEquals(
    colored.map((line) => line.replace(escapes, "").slice(13)),
    textLines(false).map((line) => line.slice(13)),
  );
});

test("createLog() lets no value colour or steer a terminal when it colours itself", () => {
  let line = "";
  const write = (text: string) => void (line = text);
  const log = createLog({ level: "info", format: "text", color: true, write });
  log("info", "tunnel", { authority: "\x1b[2J\x9b31m" });
  // deno-lint-ignore no-control-regex
  assertEquals(line.replace(/\x1b\[\d+m/g, "").match(/[\x1b\x9b]/), null);
});

test("createSink() sends lines in batches, in order", async () => {
  const batches: string[] = [];
  const sink = createSink((lines) => {
    batches.push(lines);
    return Promise.resolve();
  });
  for (let i = 0; i < 100; i++) sink.write(`${i}\n`);
  await sink.flush();
  assertEquals(batches.join(""), Array.from({ length: 100 }, (_, i) => `${i}\n`).join(""));
  assertLess(batches.length, 10);
});

test("createSink() drops lines that nobody reads, within bounds, and says how many", async () => {
  const reader = Promise.withResolvers<void>();
  let received = "";
  const sink = createSink(async (lines) => {
    await reader.promise;
    received += lines;
  });
  const line = "x".repeat(1023) + "\n";
  for (let i = 0; i < 20_000; i++) sink.write(line);
  reader.resolve();
  await sink.flush();
  const kept = received.split(line).length - 1;
  assertLess(kept, 5_000);
  assertMatch(received, new RegExp(`"droppedLines":${20_000 - kept}\\}`));
});

test("createSink() goes on when nobody can read the log", async () => {
  const sink = createSink(() => Promise.reject(new Deno.errors.BrokenPipe()));
  sink.write("lost\n");
  await sink.flush();
  sink.write("lost too\n");
  await sink.flush();
});

test("createSink() counts every line that was dropped, also those before a write that failed", async () => {
  const sent: string[] = [];
  let isFull = true;
  const sink = createSink((lines) => {
    if (isFull) return Promise.reject(new Error("no space left"));
    return Promise.resolve(void sent.push(lines));
  });
  sink.write(`${"x".repeat(5 * 1024 * 1024)}\n`);
  for (const line of ["a\n", "b\n", "c\n"]) sink.write(line);
  await sink.flush();
  isFull = false;
  sink.write("d\n");
  await sink.flush();
  assertMatch(sent.join(""), /^d\n.*"droppedLines":4\}\n$/);
});
