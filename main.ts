/** Arguments, environment, signals and exit codes. */
import project from "./deno.json" with { type: "json" };
import { formatAuthority } from "./lib/authority.ts";
import { type Config, parseConfig } from "./lib/config.ts";
import { createLog, createStderrSink } from "./lib/log.ts";
import { Proxy } from "./lib/proxy.ts";
import { remapAddress } from "./lib/remap.ts";
import { usage } from "./lib/usage.ts";

const EXIT_FAILURE = 1, EXIT_USAGE = 2;
const FLUSH_MS = 1_000;

/** Runs what the arguments ask for and resolves to the exit code. */
async function main(args: readonly string[]): Promise<number> {
  if (args[0] === "remap") return remap(args.slice(1));
  const invocation = parseConfig(args, (name) => Deno.env.get(name));
  switch (invocation.kind) {
    case "help":
      console.log(usage().trimEnd());
      return 0;
    case "version":
      console.log(`api-server-proxy ${project.version} (Deno ${Deno.version.deno})`);
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

/** Serves until a signal has ended it. */
async function run(config: Config): Promise<number> {
  const sink = createStderrSink();
  const format = config.logFormat ?? (Deno.stderr.isTerminal() ? "text" : "json");
  const log = createLog({ level: config.logLevel, format, write: sink.write });
  const { host = "::", port } = config;
  let proxy: Proxy;
  try {
    proxy = new Proxy(config, log);
  } catch (error) {
    const address = formatAuthority({ host, port });
    console.error(`cannot listen on ${address}: ${(error as Error).message}`);
    return EXIT_FAILURE;
  }
  let exitCode = 0;
  const onSignal = () => {
    if (!proxy.isShuttingDown) return void proxy.shutDown();
    exitCode = EXIT_FAILURE;
    proxy.cut();
  };
  Deno.addSignalListener("SIGTERM", onSignal);
  Deno.addSignalListener("SIGINT", onSignal);
  log("info", "listening", {
    address: formatAuthority({ host: proxy.address.hostname, port: proxy.address.port }),
    upstreams: config.upstreams.map(formatAuthority),
    version: project.version,
  });
  await proxy.finished;
  // Whoever has stopped reading the log must not keep the process.
  await Promise.race([sink.flush(), new Promise((resolve) => setTimeout(resolve, FLUSH_MS))]);
  return exitCode;
}

if (import.meta.main) {
  // `deno task start -- --port 1` passes the dashes on.
  const args = Deno.args[0] === "--" ? Deno.args.slice(1) : Deno.args;
  Deno.exit(await main(args));
}
