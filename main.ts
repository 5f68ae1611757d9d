/** Arguments, environment, signals and exit codes. */
import project from "./deno.json" with { type: "json" };
import { type Config, parseConfig } from "./lib/config/config.ts";
import { runtimeMistake } from "./lib/runtime.ts";
import {
  CannotGoOn,
  type Command,
  EXIT_FAILURE,
  EXIT_SUCCESS,
  EXIT_USAGE,
  type Io,
} from "./lib/commands/command.ts";
import { awakeDelay } from "./lib/telemetry/delay.ts";
import { createSink, writeStderr } from "./lib/telemetry/log.ts";
import { credentials } from "./lib/commands/credentials.ts";
import { ready } from "./lib/commands/ready.ts";
import { remap } from "./lib/commands/remap.ts";
import { tunnels } from "./lib/commands/tunnels.ts";
import { ListenError, serve, type Server } from "./lib/serve.ts";
import { usage } from "./lib/config/usage.ts";

/** What begins an orderly end; the second one ends the process at once. */
const END_SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
/** How long the end waits for the last log lines to be read. */
const FLUSH_MS = 1_000;
/** The process ends this long after its deadline, even if a connection or the runtime hangs. */
const LATE_MS = 1_000;

/** `deno task compile` puts the commit in front of the program's own arguments. */
const STAMP = "--stamp=";
const isStamped = Deno.args[0]?.startsWith(STAMP) ?? false;
const commit = isStamped ? Deno.args[0]!.slice(STAMP.length) : "from source";
const programArgs = isStamped ? Deno.args.slice(1) : Deno.args;

/** What the first argument may name; without one of them the program is the proxy. */
const COMMANDS = new Map<string, Command>([
  ["credentials", credentials],
  // Loaded on demand: a proxy needs nothing of it.
  ["diagnose", async (args, io) => (await import("./lib/commands/diagnose.ts")).diagnose(args, io)],
  ["ready", ready],
  ["remap", remap],
  ["tunnels", tunnels],
]);

const IO: Io = {
  env(name) {
    try {
      return Deno.env.get(name);
    } catch (error) {
      if (!(error instanceof Deno.errors.InvalidData)) throw error;
      // Not its value: that may be a secret.
      throw new CannotGoOn(`${name}: takes text in UTF-8`, EXIT_USAGE);
    }
  },
  readStdin: async () =>
    Deno.stdin.isTerminal() ? "" : await new Response(Deno.stdin.readable).text(),
  print(line) {
    try {
      console.log(line);
    } catch (error) {
      // Whoever reads may have seen enough.
      const isEnough = error instanceof Deno.errors.BrokenPipe;
      const reason = `cannot write to standard output: ${(error as Error).message}`;
      throw new CannotGoOn(isEnough ? "" : reason, EXIT_FAILURE);
    }
  },
  printError(line) {
    try {
      console.error(line);
    } catch {
      // There is nowhere else to say it; the exit code still does.
    }
  },
};

/** Runs what the arguments ask for and resolves to the exit code. */
async function main(args: readonly string[]): Promise<number> {
  const mistake = runtimeMistake(Deno.version.deno);
  if (mistake !== undefined) {
    IO.printError(mistake);
    return EXIT_USAGE;
  }
  const [name = ""] = args;
  // diagnose has a help text of its own.
  const asksForHelp = name === "help" ||
    (name !== "diagnose" && (args.includes("--help") || args.includes("-h")));
  const command = asksForHelp ? undefined : COMMANDS.get(name);
  if (command !== undefined) return await command(args.slice(1), IO);
  const invocation = parseConfig(asksForHelp ? ["--help"] : args, IO.env);
  switch (invocation.kind) {
    case "help":
      IO.print(usage().trimEnd());
      return EXIT_SUCCESS;
    case "version":
      IO.print(`api-server-proxy ${project.version} (${commit}, Deno ${Deno.version.deno})`);
      return EXIT_SUCCESS;
    case "mistakes":
      for (const problem of invocation.problems) IO.printError(problem);
      IO.printError("see api-server-proxy --help for all flags");
      return EXIT_USAGE;
    case "check": {
      const { check } = await import("./lib/commands/check.ts");
      return await check(invocation.config, IO);
    }
    case "run":
      return await run(invocation.config);
  }
}

/** Serves until a signal has ended it. */
async function run(config: Config): Promise<number> {
  let server: Server | undefined;
  let firstSignal: Deno.Signal | undefined;
  let exitCode = EXIT_SUCCESS;
  // Before anything else: a signal that comes while the proxy starts must not be lost.
  for (const signal of END_SIGNALS) {
    Deno.addSignalListener(signal, () => {
      if (firstSignal === undefined) {
        firstSignal = signal;
        if (server !== undefined) shutDown(server);
      } else {
        exitCode = EXIT_FAILURE;
        void exitAfter(FLUSH_MS, EXIT_FAILURE);
        server?.cut();
      }
    });
  }
  const shutDown = (server: Server) => {
    server.shutDown(firstSignal);
    const { shutdownDelayMs, drainTimeoutMs } = config;
    if (drainTimeoutMs > 0) {
      void exitAfter(shutdownDelayMs + drainTimeoutMs + LATE_MS, EXIT_SUCCESS);
    }
  };
  const sink = createSink(writeStderr);
  const isTerminal = Deno.stderr.isTerminal();
  const logFormat = config.logFormat ?? (isTerminal ? "text" : "json");
  const logColor = isTerminal && !Deno.noColor;
  try {
    server = await serve({ ...config, logFormat, logColor }, project.version, sink.write);
    if (firstSignal !== undefined) shutDown(server);
    await server.finished;
  } catch (error) {
    if (!(error instanceof ListenError)) IO.printError((error as Error).message);
    exitCode = EXIT_FAILURE;
  }
  // A log that is no longer read must not keep the process.
  await Promise.race([sink.flush(), awakeDelay(FLUSH_MS)]);
  return exitCode;
}

/** Ends the process after that time, even if something still holds it. */
async function exitAfter(ms: number, code: number): Promise<void> {
  await awakeDelay(ms);
  Deno.exit(code);
}

if (import.meta.main) {
  // `deno task start -- --port 1` passes the dashes on.
  const args = programArgs[0] === "--" ? programArgs.slice(1) : programArgs;
  try {
    Deno.exit(await main(args));
  } catch (error) {
    if (!(error instanceof CannotGoOn)) throw error;
    if (error.message !== "") IO.printError(error.message);
    Deno.exit(error.exitCode);
  }
}
