/** Arguments, environment, signals and exit codes. */
import project from "./deno.json" with { type: "json" };
import { type Config, parseConfig } from "./lib/config/config.ts";
import { envName } from "./lib/config/flags.ts";
import { createSink, writeStderr } from "./lib/telemetry/log.ts";
import { checkReady } from "./lib/commands/ready.ts";
import { remapAddress } from "./lib/commands/remap.ts";
import { serve } from "./lib/serve.ts";
import { usage } from "./lib/config/usage.ts";

const EXIT_FAILURE = 1, EXIT_USAGE = 2;
/** How long the end waits for somebody to take the last log lines. */
const FLUSH_MS = 1_000;

/** `deno task compile` puts the commit in front of the program's own arguments. */
const STAMP = "--stamp=";
const isStamped = Deno.args[0]?.startsWith(STAMP) ?? false;
const commit = isStamped ? Deno.args[0]!.slice(STAMP.length) : "from source";
const programArgs = isStamped ? Deno.args.slice(1) : Deno.args;

/** Runs what the arguments ask for and resolves to the exit code. */
async function main(args: readonly string[]): Promise<number> {
  const env = (name: string) => Deno.env.get(name);
  if (args[0] === "remap") return remap(args.slice(1));
  if (args[0] === "ready") return await ready(args.slice(1), env(envName("admin-port")) ?? "");
  const invocation = parseConfig(args, env);
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

function remap(args: readonly string[]): number {
  const [remappedIp, remappedExtCidr, ...rest] = args;
  if (remappedIp === undefined || remappedExtCidr === undefined || rest.length > 0) {
    console.error("usage: api-server-proxy remap REMAPPED_IP REMAPPED_EXT_CIDR");
    console.error("e.g.   api-server-proxy remap 10.70.0.3 10.81.0.0/16");
    return EXIT_USAGE;
  }
  try {
    console.log(remapAddress(remappedIp, remappedExtCidr));
    return 0;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    console.error(error.message);
    return EXIT_USAGE;
  }
}

async function ready(args: readonly string[], adminPort: string): Promise<number> {
  // Nothing, or what the kubelet sets for a Service of that name, counts as not given.
  const port = /^\d+$/.test(adminPort) ? adminPort : "8119";
  const [url = `http://127.0.0.1:${port}/readyz`, ...rest] = args;
  if (rest.length > 0 || !URL.canParse(url) || new URL(url).protocol !== "http:") {
    console.error("usage: api-server-proxy ready [URL]");
    console.error("e.g.   api-server-proxy ready http://127.0.0.1:8119/readyz");
    return EXIT_USAGE;
  }
  const failure = await checkReady(url);
  if (failure === undefined) return 0;
  console.error(`${url}: ${failure}`);
  return EXIT_FAILURE;
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
