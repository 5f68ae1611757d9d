/** Command line and environment in; one frozen value, or every mistake, out. */
import { parseArgs } from "@std/cli/parse-args";
import { type Authority, formatAuthority, parseAuthority } from "../protocol/authority.ts";
import type { Credential } from "../protocol/credentials.ts";
import type { SourceBlock } from "../protocol/policy.ts";
import { envName, type Flag, type FlagName, FLAGS } from "./flags.ts";

/** What the proxy runs with. Times are in milliseconds; 0 means no limit. */
export interface Config {
  /** Tried in this order; empty: the client's own authority is dialled. */
  readonly upstreams: readonly Authority[];
  readonly allowedAuthorities: readonly Authority[];
  readonly allowFrom: readonly SourceBlock[];
  /** Empty: clients need no secret. */
  readonly credentials: readonly Credential[];
  /** `undefined`: every address. */
  readonly host: string | undefined;
  readonly port: number;
  /** `undefined`: as `host`. */
  readonly adminHost: string | undefined;
  readonly adminPort: number | "off";
  readonly workers: number | "auto";
  readonly maxConnections: number;
  readonly maxConnectionsPerSource: number;
  readonly headerTimeoutMs: number;
  readonly connectTimeoutMs: number;
  /** How upstreams are looked at in the background. */
  readonly probe: "readyz" | "tcp" | "off";
  /** The CA of the API servers in PEM, for probes alone. */
  readonly upstreamCa: string | undefined;
  /** No flag: often enough for an operator, seldom enough for the API server. */
  readonly probeIntervalMs: number;
  readonly idleTimeoutMs: number;
  readonly halfCloseTimeoutMs: number;
  readonly maxTunnelAgeMs: number;
  readonly shutdownDelayMs: number;
  readonly drainTimeoutMs: number;
  readonly logOpenAfterMs: number;
  readonly logLevel: "debug" | "info" | "warn" | "error";
  /** `undefined`: by where the log goes. */
  readonly logFormat: "json" | "text" | undefined;
  /** Whether text may be coloured: no flag, known where standard error is. */
  readonly logColor?: boolean;
}

/** Reads one environment variable. May throw an error that names it and says what it takes. */
export type Env = (name: string) => string | undefined;

/** What the command line asks for. */
export type Invocation =
  | { readonly kind: "run" | "check"; readonly config: Config }
  | { readonly kind: "help" | "version" }
  | { readonly kind: "mistakes"; readonly problems: readonly string[] };

/**
 * Reads flags and environment; the flag wins. It reads everything before it
 * reports, so that one run shows every mistake.
 */
export function parseConfig(args: readonly string[], env: Env): Invocation {
  const problems = new Set<string>();
  const variable: Env = (name) => {
    try {
      return env(name);
    } catch (error) {
      problems.add((error as Error).message);
      return undefined;
    }
  };
  const names = Object.keys(FLAGS) as FlagName[];
  const given = parseArgs(joinValues(args, names), {
    string: names,
    collect: names,
    boolean: ["check", "help", "version"],
    unknown: (arg) => {
      problems.add(unknownArgument(arg));
      return false;
    },
  });
  // Not an alias: then the h of -host would ask for help.
  if (given.help || args.includes("-h")) return { kind: "help" };
  if (given.version) return { kind: "version" };
  for (const arg of given._) problems.add(unknownArgument(String(arg)));

  /** What was given for a flag, and where. */
  const texts = (name: FlagName): { label: string; given: string[] } => {
    const { mayBeEmpty }: Flag = FLAGS[name];
    const fromArgs = (given[name] as string[]).filter((text) => text !== "" || !mayBeEmpty);
    if (fromArgs.length > 0) return { label: `--${name}`, given: fromArgs };
    const text = variable(envName(name)) ?? "";
    // For a Service of that name the kubelet sets …_PORT to a URL in each pod.
    const isServiceLink = name.endsWith("port") && text.startsWith("tcp://");
    return { label: envName(name), given: text === "" || isServiceLink ? [] : [text] };
  };
  const values = <N extends FlagName>(name: N): FlagValue<N>[] => {
    const { list, read, takes, isSecret }: Flag = FLAGS[name];
    const { label, given } = texts(name);
    return given
      .flatMap((text) => list ? text.split(",").map((item) => item.trim()) : [text])
      .flatMap((text) => {
        const value = read(text);
        const shown = isSecret ? withoutSecret(text) : text;
        if (value === undefined) problems.add(`${label} ${JSON.stringify(shown)}: takes ${takes}`);
        return value === undefined ? [] : [value as FlagValue<N>];
      });
  };
  // Given twice, the last one counts, as with Liqo's proxy.
  const value = <N extends FlagName>(name: N) =>
    values(name).at(-1) ?? FLAGS[name].read(FLAGS[name].fallback) as FlagValue<N>;

  const allowedAuthorities = values("allowed-hosts");
  const upstreamNames = ["upstream", "force-host"] as const;
  const onCommandLine = upstreamNames.filter((name) => texts(name).label === `--${name}`);
  const upstreamsGiven = (onCommandLine.length > 0 ? onCommandLine : upstreamNames).flatMap(values);
  // The same one twice is one: it would be tried twice, and have two series of each metric.
  const upstreams = [...new Map(upstreamsGiven.map((one) => [formatAuthority(one), one])).values()];
  if (upstreams.length === 0 && allowedAuthorities.length === 0) {
    const destinations = [...upstreamNames, "allowed-hosts"] as const;
    const nothingGiven = destinations.every((name) => texts(name).given.length === 0);
    const inPod = nothingGiven ? ownApiServer(variable) : undefined;
    if (typeof inPod === "string") problems.add(inPod);
    else if (inPod !== undefined) upstreams.push(inPod);
    // Without a destination it would be an open proxy. A wrong destination is reported already.
    else if (nothingGiven || problems.size === 0) problems.add(NO_UPSTREAM);
  }
  const allowFrom = values("allow-from"), credentials = values("credentials");
  for (const problem of [...sharedSecrets(credentials), ...twoNamed(allowFrom)]) {
    problems.add(problem);
  }
  const mistakesBefore = problems.size;
  const port = value("port"), adminPort = value("admin-port");
  const areRead = problems.size === mistakesBefore;
  const host = values("host").at(-1), adminHost = values("admin-host").at(-1);
  if (areRead && port === adminPort && port !== 0 && overlap(host, adminHost ?? host)) {
    problems.add(`--admin-port "${adminPort}": takes another port than --port, or off`);
  }
  const config: Config = Object.freeze({
    upstreams,
    allowedAuthorities,
    allowFrom,
    credentials,
    host,
    port,
    adminHost,
    adminPort,
    workers: value("workers"),
    maxConnections: value("max-connections"),
    maxConnectionsPerSource: value("max-connections-per-source"),
    headerTimeoutMs: value("header-timeout"),
    connectTimeoutMs: value("connect-timeout"),
    probe: value("probe"),
    upstreamCa: values("upstream-ca").at(-1),
    probeIntervalMs: 10_000,
    idleTimeoutMs: value("idle-timeout"),
    halfCloseTimeoutMs: value("half-close-timeout"),
    maxTunnelAgeMs: value("max-tunnel-age"),
    shutdownDelayMs: value("shutdown-delay"),
    drainTimeoutMs: value("drain-timeout"),
    logOpenAfterMs: value("log-open-after"),
    logLevel: value("log-level"),
    logFormat: values("log-format").at(-1),
  });
  return problems.size === 0
    ? { kind: given.check ? "check" : "run", config }
    : { kind: "mistakes", problems: [...problems] };
}

type FlagValue<N extends FlagName> = NonNullable<
  ReturnType<(typeof FLAGS)[N]["read"]>
>;

const NO_UPSTREAM = "no upstream: give --upstream HOST:PORT (the API server), or --allowed-hosts " +
  "HOST:PORT,… (hosts that clients may reach); only in a pod is the API server known";

/** The names that peers can have: a closed set, for the metrics. */
export function peerNames(
  { credentials, allowFrom }: Pick<Config, "credentials" | "allowFrom">,
): readonly string[] {
  const names = [...credentials.map(({ name }) => name), ...allowFrom.map(({ peer }) => peer)];
  return [...new Set(names.filter((name) => name !== undefined))];
}

/** Somebody may have given the secret in place of its hash. */
function withoutSecret(text: string): string {
  if (text === "") return text;
  return text.includes(":") ? `${text.slice(0, text.indexOf(":"))}:…` : "…";
}

/** Whether two addresses to listen on have one in common; `undefined` is every address. */
function overlap(one: string | undefined, other: string | undefined): boolean {
  const isEvery = (host: string | undefined) =>
    host === undefined || /^(?:::|0\.0\.0\.0)$/.test(host);
  return one === other || isEvery(one) || isEvery(other);
}

/** A secret that comes without a name must prove one. */
function sharedSecrets(credentials: readonly Credential[]): string[] {
  const names = new Map<string, string>();
  return credentials.flatMap(({ name, sha256 }) => {
    const other = names.get(sha256) ?? name;
    names.set(sha256, other);
    return other === name ? [] : [`--credentials: ${other} and ${name} have the same secret`];
  });
}

function twoNamed(blocks: readonly SourceBlock[]): string[] {
  const names = new Map<string, string>();
  return blocks.flatMap(({ address, prefixBits, peer }) => {
    if (peer === undefined) return [];
    const block = `${address}/${prefixBits}`;
    const other = names.get(block) ?? peer;
    names.set(block, other);
    return other === peer ? [] : [`--allow-from: ${block} has two names, ${other} and ${peer}`];
  });
}

/** The API server of the cluster in whose pod this runs, or what is wrong with how it is given. */
function ownApiServer(env: Env): Authority | string | undefined {
  const host = env("KUBERNETES_SERVICE_HOST") ?? "";
  const port = env("KUBERNETES_SERVICE_PORT") ?? "443";
  if (host === "") return undefined;
  const [shownHost, shownPort] = [host, port].map((text) => JSON.stringify(text));
  return parseAuthority(host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`) ??
    `KUBERNETES_SERVICE_HOST ${shownHost}, KUBERNETES_SERVICE_PORT ${shownPort}: take host and port ` +
      "of the API server, as Kubernetes sets them in a pod";
}

/**
 * Joins flags with the values behind them that `parseArgs` takes for none: an empty one, and a
 * certificate, which begins with dashes.
 *
 * @param names Of the flags that take a value.
 */
export function joinValues(args: readonly string[], names: readonly string[]): string[] {
  const isValue = (arg: string | undefined) => arg === "" || arg?.startsWith("-----BEGIN ");
  const takesOne = (arg = "") => arg.startsWith("--") && names.includes(arg.slice(2));
  return args.flatMap((arg, index) => {
    if (isValue(arg) && takesOne(args[index - 1])) return [];
    return takesOne(arg) && isValue(args[index + 1]) ? [`${arg}=${args[index + 1]}`] : [arg];
  });
}

function unknownArgument(arg: string): string {
  if (!arg.startsWith("-")) return `${JSON.stringify(arg)}: no such command; flags begin with --`;
  const name = arg.replace(/^-+/, "").replace(/=.*$/s, "");
  const nearest = [...Object.keys(FLAGS), "check", "help", "version"]
    .map((flag) => ({ flag, distance: editDistance(name, flag) }))
    .reduce((best, next) => next.distance < best.distance ? next : best);
  const isAlike = nearest.distance < nearest.flag.length;
  return `${arg.replace(/=.*$/s, "")}: no such flag` +
    (isAlike ? `; did you mean --${nearest.flag}?` : "");
}

/** How many letters to add, drop, change or swap with the next to get from one word to the other. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, i) => i);
  let rowBefore: number[] = [];
  for (const [i, letter] of [...from].entries()) {
    const next = [i + 1];
    for (let j = 0; j < to.length; j++) {
      const change = row[j]! + (letter === to[j] ? 0 : 1);
      const isSwap = i > 0 && j > 0 && letter === to[j - 1] && from[i - 1] === to[j];
      const swap = isSwap ? rowBefore[j - 1]! + 1 : Infinity;
      next.push(Math.min(change, swap, row[j + 1]! + 1, next[j]! + 1));
    }
    [rowBefore, row] = [row, next];
  }
  return row.at(-1)!;
}
