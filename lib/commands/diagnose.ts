/** `diagnose`: tries each link of the path from this machine to an API server, and reports which is broken. */
import { parseArgs } from "@std/cli/parse-args";
import { joinValues } from "../config/config.ts";
import { type Cidr, parseCidr } from "../protocol/address.ts";
import { EXIT_FAILURE, EXIT_SUCCESS, EXIT_USAGE, type Io } from "./command.ts";
import { readArguments, readKubeconfig } from "./diagnose/reading.ts";
import { conclusion, firstBroken, jsonOf, linesOf, title } from "./diagnose/report.ts";
import { diagnose as runSteps } from "./diagnose/steps.ts";
import { InputError, KUBECONFIG_COMMAND, type Reading } from "./diagnose/target.ts";

/** How long one step may take. */
const STEP_TIMEOUT_MS = 5_000;
/** After this long without input, a person may not know what is waited for. */
const HINT_AFTER_MS = 2_000;
const DEFAULT_SERVER = "https://kubernetes.default.svc";

const USAGE = `Usage:
  ${KUBECONFIG_COMMAND} | api-server-proxy diagnose [flags] [PROXY_URL]
  api-server-proxy diagnose [flags] PROXY_URL [SERVER_URL] < ca.crt

Tries each link of the path from this machine to a Kubernetes API server that is
reached through an HTTP proxy, and reports the first one that is broken. The
kubeconfig, in JSON, comes on standard input; PROXY_URL takes the place of its
proxy-url. Without a kubeconfig, standard input is the certificate authority of
the API server; SERVER_URL is ${DEFAULT_SERVER} by default.

Flags:
      --cidr CIDR
          address block in which the proxy's address should lie
      --noproxy LIST
          value of NO_PROXY, to check that it does not match the API server
      --upstream-ca PEM
          certificate authority of the API server, instead of standard input
      --output text|json
          json prints one JSON document (default: text)
  -h, --help
          print this help

Exits with 0 if no step failed, with 1 if one did (the last line names the first),
and with 2 if flags, arguments or input are wrong.`;

interface Flags {
  readonly urls: readonly string[];
  readonly cidr: Cidr | undefined;
  readonly noProxy: string | undefined;
  readonly authorities: string | undefined;
  readonly isJson: boolean;
}

/** `diagnose [PROXY_URL [SERVER_URL]]`: prints what each step found. */
export async function diagnose(args: readonly string[], io: Io): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    io.print(USAGE);
    return EXIT_SUCCESS;
  }
  let flags, reading: Reading;
  try {
    flags = readFlags(args, io.env);
    reading = await readTarget(flags, io);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    io.printError(error.message);
    io.printError("run api-server-proxy diagnose --help for the arguments it takes");
    return EXIT_USAGE;
  }
  const { isJson, cidr } = flags;
  if (!isJson) {
    io.print(title(reading.target));
    io.print("");
  }
  const steps = await runSteps(reading, {
    cidr,
    stepTimeoutMs: STEP_TIMEOUT_MS,
    onStep: (step) => {
      if (!isJson) { for (const line of linesOf(step)) io.print(line); }
    },
  });
  if (!isJson) io.print("");
  for (const line of isJson ? [jsonOf(reading.target, steps)] : conclusion(steps)) io.print(line);
  return firstBroken(steps) === undefined ? EXIT_SUCCESS : EXIT_FAILURE;
}

function readFlags(args: readonly string[], env: Io["env"]): Flags {
  const problems: string[] = [];
  const names = ["cidr", "noproxy", "upstream-ca", "output"] as const;
  const given = parseArgs(joinValues(args, names), {
    string: [...names, "_"],
    unknown: (arg) => {
      if (!arg.startsWith("-")) return true;
      problems.push(`${arg.replace(/=.*$/s, "")}: no such flag`);
      return false;
    },
  });
  for (const arg of given._.slice(2)) {
    problems.push(`${JSON.stringify(arg)}: takes PROXY_URL and SERVER_URL, and no more`);
  }
  const cidr = given.cidr === undefined ? undefined : parseCidr(given.cidr);
  if (given.cidr !== undefined && cidr === undefined) {
    problems.push(`--cidr ${JSON.stringify(given.cidr)}: takes a block such as 10.81.0.0/16`);
  }
  const { output = "text" } = given;
  if (output !== "text" && output !== "json") {
    problems.push(`--output ${JSON.stringify(output)}: takes text or json`);
  }
  if (problems.length > 0) throw new InputError(problems.join("\n"));
  return {
    urls: given._.map(String),
    cidr,
    noProxy: given.noproxy,
    authorities: given["upstream-ca"] || env("API_SERVER_PROXY_UPSTREAM_CA") || undefined,
    isJson: output === "json",
  };
}

async function readTarget({ urls, noProxy, authorities }: Flags, io: Io): Promise<Reading> {
  const [proxyUrl, serverUrl] = urls;
  if (proxyUrl !== undefined && authorities !== undefined) {
    return readArguments(proxyUrl, serverUrl ?? DEFAULT_SERVER, authorities, noProxy);
  }
  const input = await readInput(io);
  if (proxyUrl === undefined) {
    if (input === "") {
      throw new InputError(
        `no kubeconfig on standard input: ${KUBECONFIG_COMMAND} | api-server-proxy diagnose`,
      );
    }
    return readKubeconfig(input);
  }
  if (serverUrl === undefined && input.startsWith("{")) {
    return readKubeconfig(input, proxyUrl, noProxy);
  }
  return readArguments(proxyUrl, serverUrl ?? DEFAULT_SERVER, input || undefined, noProxy);
}

async function readInput({ readStdin, printError }: Io): Promise<string> {
  const hint = setTimeout(() => {
    printError("reading standard input; </dev/null gives none");
  }, HINT_AFTER_MS);
  try {
    return (await readStdin()).trim();
  } finally {
    clearTimeout(hint);
  }
}
