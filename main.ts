/** Arguments, environment, signals and exit codes. */
import project from "./deno.json" with { type: "json" };
import { type Config, parseConfig } from "./lib/config/config.ts";
import { runtimeMistake } from "./lib/runtime.ts";
import { type Command, EXIT_FAILURE, EXIT_USAGE, type Io } from "./lib/commands/command.ts";
import { createSink, writeStderr } from "./lib/telemetry/log.ts";
import { ready } from "./lib/commands/ready.ts";
import { remap } from "./lib/commands/remap.ts";
import { serve } from "./lib/serve.ts";
import { usage } from "./lib/config/usage.ts";

/** How long the end waits for somebody to take the last log lines. */
const FLUSH_MS = 1_000;

/** `deno task compile` puts the commit in front of the program's own arguments. */
const STAMP = "--stamp=";
const isStamped = Deno.args[0]?.startsWith(STAMP) ?? false;
const commit = isStamped ? Deno.args[0]!.slice(STAMP.length) : "from source";
const programArgs = isStamped ? Deno.args.slice(1) : Deno.args;

/** What the first argument may name; without one of them the program is the proxy. */
const COMMANDS = new Map<string, Command>([
  ["ready", ready],
  ["remap", remap],
]);

const IO: Io = {
  env: (name) => Deno.env.get(name),
  readStdin: async () =>
    Deno.stdin.isTerminal() ? "" : await new Response(Deno.stdin.readable).text(),
  print: (line) => console.log(line),
  printError: (line) => console.error(line),
};

/** Runs what the arguments ask for and resolves to the exit code. */
async function main(args: readonly string[]): Promise<number> {
  const mistake = runtimeMistake(Deno.version.deno);
  if (mistake !== undefined) {
    console.error(mistake);
    return EXIT_USAGE;
  }
  const command = COMMANDS.get(args[0] ?? "");
  if (command !== undefined) return await command(args.slice(1), IO);
  const invocation = parseConfig(args, IO.env);
  switch (invocation.kind) {
    case "help":
      console.log(usage().trimEnd());
      return 0;
    case "version":
      console.log(`api-server-proxy ${project.version} (${commit}, Deno ${Deno.version.deno})`);
      return 0;
    case "mistakes":
      for (const problem of invocation.problems) console.error(problem);
      console.error("api-server-proxy --help tells all flags");
      return EXIT_USAGE;
    case "run":
      return await run(invocation.config);
  }
}

/** Serves until a signal has ended it. */
async function run(config: Config): Promise<number> {
  const sink = createSink(writeStderr);
  const isTerminal = Deno.stderr.isTerminal();
  const logFormat = config.logFormat ?? (isTerminal ? "text" : "json");
  const logColor = isTerminal && !Deno.noColor;
  let server;
  try {
    server = await serve({ ...config, logFormat, logColor }, project.version, sink.write);
  } catch (error) {
    await sink.flush();
    console.error((error as Error).message);
    return EXIT_FAILURE;
  }
  let exitCode = 0;
  const onSignal = () => {
    if (!server.isShuttingDown) return void server.shutDown();
    exitCode = EXIT_FAILURE;
    server.cut();
  };
  Deno.addSignalListener("SIGTERM", onSignal);
  Deno.addSignalListener("SIGINT", onSignal);
  await server.finished;
  // Whoever has stopped reading the log must not keep the process.
  await Promise.race([sink.flush(), new Promise((resolve) => setTimeout(resolve, FLUSH_MS))]);
  return exitCode;
}

if (import.meta.main) {
  // `deno task start -- --port 1` passes the dashes on.
  const args = programArgs[0] === "--" ? programArgs.slice(1) : programArgs;
  Deno.exit(await main(args));
}
