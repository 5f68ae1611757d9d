/** Who takes part, and how each is started. */
import { Process, whyItFails } from "../tests/harness/child_process.ts";
import { freePort } from "../tests/harness/peers.ts";
import { PROXY_START, sourceCommand } from "../tests/harness/process.ts";

/** A proxy that runs, or the upstream itself. */
export interface Running extends AsyncDisposable {
  readonly name: string;
  readonly address: string;
  /** Where it answers `/livez` and `/metrics`, if it does. */
  readonly admin?: string;
  /** Whether clients ask it for a tunnel by CONNECT. */
  readonly connect: boolean;
  /** `undefined` where no process stands between client and upstream. */
  readonly process: Process | undefined;
}

/** Starts a proxy's process, which is killed at the end: squid would take its time over SIGTERM. */
export function startProxy(
  command: readonly string[],
  proxy: Omit<Running, "process" | typeof Symbol.asyncDispose>,
  stdout: "null" | "piped" = "null",
): Running & { readonly process: Process } {
  const process = new Process(command, { ...PROXY_START, stdout, stderr: "null" });
  return { ...proxy, process, [Symbol.asyncDispose]: () => process[Symbol.asyncDispose]() };
}

/** Whether a program of that name can be run. */
export async function isOnPath(program: string): Promise<boolean> {
  return await whyItFails(["sh", "-c", `command -v ${program}`]) === undefined;
}

/** One way from client to upstream. */
export interface Contender {
  readonly name: string;
  /** Starts it afresh in front of that upstream. */
  start(upstream: string): Running;
}

/** What the command line says of the contenders. */
export interface ContenderOptions {
  /** Each `name=command with {port} and {upstream}`. */
  readonly peers: readonly string[];
  /** How many workers ours runs with, once each. */
  readonly workers: readonly number[];
  /** Ours as one binary; else the source runs with this Deno. */
  readonly binary: string | undefined;
  /** For configuration files. */
  readonly directory: string;
}

const NOTHING_BETWEEN: Contender = {
  name: "direct",
  start: (upstream) => ({
    name: "direct",
    address: upstream,
    connect: false,
    process: undefined,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }),
};

/** All contenders; first the limit, then ours, then the others. */
export async function findContenders(options: ContenderOptions): Promise<Contender[]> {
  const others = [];
  for (const [name, configure] of Object.entries(KNOWN)) {
    if (await isOnPath(name)) others.push(known(name, configure, options.directory));
  }
  return [
    NOTHING_BETWEEN,
    ...options.workers.map((workers) => ours(workers, options.binary)),
    ...options.peers.map(peer),
    ...others,
  ];
}

/** The command that runs ours, without its arguments. */
export function oursCommand(binary: string | undefined, v8Flags?: readonly string[]): string[] {
  return binary === undefined ? sourceCommand(v8Flags) : [binary];
}

/** The arguments of ours. */
export function oursArguments(
  port: number,
  upstream: string,
  workers: number,
  adminPort: number | "off" = "off",
): string[] {
  return [
    `--port=${port}`,
    `--upstream=${upstream}`,
    `--workers=${workers}`,
    "--host=127.0.0.1",
    `--admin-port=${adminPort}`,
    "--max-connections=0",
  ];
}

function ours(workers: number, binary: string | undefined): Contender {
  const name = `ours, ${workers} worker${workers === 1 ? "" : "s"}`;
  return contender(name, (port, upstream, adminPort) => [
    ...oursCommand(binary),
    ...oursArguments(port, upstream, workers, adminPort()),
  ]);
}

function peer(text: string): Contender {
  const [, name, command] = /^([^=]+)=(.+)$/s.exec(text) ?? [];
  if (name === undefined || command === undefined) {
    throw new Error(`--peer "${text}": takes name='command with {port} {upstream}'`);
  }
  return contender(
    name,
    (port, upstream, adminPort) =>
      command.trim().split(/\s+/).map((word) =>
        word.replaceAll("{port}", String(port)).replaceAll("{upstream}", upstream)
          .replaceAll("{admin}", () => String(adminPort()))
      ),
  );
}

/** @param command Calls `adminPort` if it has one, for a port that is free. */
function contender(
  name: string,
  command: (port: number, upstream: string, adminPort: () => number) => string[],
  connect = true,
): Contender {
  return {
    name,
    start(upstream) {
      const port = freePort();
      const address = `127.0.0.1:${port}`;
      let adminPort: number | undefined;
      const words = command(port, upstream, () => adminPort ??= freePort());
      const admin = adminPort === undefined ? {} : { admin: `127.0.0.1:${adminPort}` };
      return startProxy(words, { name, address, connect, ...admin });
    },
  };
}

interface Configuration {
  readonly text: (port: number, upstream: string, directory: string) => string;
  readonly args: (file: string) => string[];
  /** HAProxy 2 speaks no CONNECT: it forwards bytes. */
  readonly connect: boolean;
}

const KNOWN: Readonly<Record<string, Configuration>> = {
  haproxy: {
    text: (port, upstream) =>
      `global
  maxconn 6000
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen bench
  bind 127.0.0.1:${port}
  server upstream ${upstream}
`,
    args: (file) => ["-db", "-f", file],
    connect: false,
  },
  squid: {
    text: (port, upstream, directory) =>
      `http_port 127.0.0.1:${port}
acl loopback_client src 127.0.0.1
acl upstream_port port ${upstream.split(":")[1]}
acl to_upstream dst 127.0.0.1
http_access allow loopback_client to_upstream upstream_port
http_access deny all
cache deny all
access_log none
cache_log /dev/null
cache_store_log none
pid_filename none
coredump_dir ${directory}
max_filedescriptors 16384
shutdown_lifetime 0 seconds
`,
    args: (file) => ["-N", "-f", file],
    connect: true,
  },
  tinyproxy: {
    text: (port, upstream) =>
      `Port ${port}
Listen 127.0.0.1
Allow 127.0.0.1
ConnectPort ${upstream.split(":")[1]}
MaxClients 6000
Timeout 3600
LogLevel Critical
`,
    args: (file) => ["-d", "-c", file],
    connect: true,
  },
};

/** Whether a contender is one of those that are taken from the PATH, with a configuration from here. */
export function isKnown(name: string): boolean {
  return name in KNOWN;
}

function known(name: string, { text, args, connect }: Configuration, directory: string): Contender {
  return contender(name, (port, upstream) => {
    const file = `${directory}/${name}-${port}.conf`;
    Deno.writeTextFileSync(file, text(port, upstream, directory));
    return [name, ...args(file)];
  }, connect);
}
