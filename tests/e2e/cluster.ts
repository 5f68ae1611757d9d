/** The real API server that the suite runs against: built once, then started in seconds. */
import { inRoot } from "../sources.ts";
import { CACHE, fillCache } from "../harness/cache.ts";
import { Process } from "../harness/child_process.ts";

/** The kubectl of the API server's own release. */
export const KUBECTL = `${CACHE}/kubectl`;
/** Lists and watches with many client-go clients: see tests/apiserver/informers. */
export const INFORMERS = `${CACHE}/informers`;
/** What every client takes the API server to be; no name server knows it. */
export const SERVER = "https://kubernetes.default.svc:443";

/** What the API server's ready line tells: see tests/apiserver/main.go. */
interface Ready {
  readonly address: string;
  readonly kubelet: string;
  readonly ca: string;
  readonly kubeconfig: string;
  readonly pod: string;
  readonly pid: number;
}

/** How to start it. */
export interface ClusterOptions {
  /** What to put before the command, such as `ip netns exec NAME`. */
  readonly prefix?: readonly string[];
  readonly kubeletPort?: number;
  /** The proxy through which the API server reaches its kubelet, `host:port`. */
  readonly egressProxy?: string;
  /** Has the certificates and users of that one, as API servers of one cluster do. */
  readonly peer?: Cluster;
}

/** The users of the kubeconfig: one may do everything, one nothing. */
export type User = "admin" | "guest";

/** A running API server with etcd, one node and one pod. */
export class Cluster implements AsyncDisposable {
  readonly #directory: string;
  readonly #options: ClusterOptions;
  #process: Process;
  #ready: Ready;

  private constructor(directory: string, options: ClusterOptions, process: Process, ready: Ready) {
    this.#directory = directory;
    this.#options = options;
    this.#process = process;
    this.#ready = ready;
  }

  /** Builds it if need be and starts it with no data. */
  static async start(options: ClusterOptions = {}): Promise<Cluster> {
    await build();
    const directory = await Deno.makeTempDir({ prefix: "apiserver-" });
    if (options.peer !== undefined) await copyFiles(options.peer.#directory, directory);
    const process = launch(directory, options);
    return new Cluster(directory, options, process, await readyLine(process));
  }

  /** Where the API server listens, `host:port`. */
  get address(): string {
    return this.#ready.address;
  }

  /** Where the kubelet listens, `host:port`. */
  get kubelet(): string {
    return this.#ready.kubelet;
  }

  /** The running pod, in the namespace `default`. */
  get pod(): string {
    return this.#ready.pod;
  }

  /** The file with the certificate authority's certificate. */
  get ca(): string {
    return this.#ready.ca;
  }

  /** Has it hang: the kernel goes on accepting connections for it, but nobody answers. */
  freeze(): void {
    Deno.kill(this.#ready.pid, "SIGSTOP");
  }

  /** Lets it go on. */
  thaw(): void {
    Deno.kill(this.#ready.pid, "SIGCONT");
  }

  /** Kills it, as a crash would. */
  async kill(): Promise<void> {
    await this.#process.stop("SIGKILL");
  }

  /** Asks it to end in order and waits until it has. @returns Its exit code. */
  async terminate(): Promise<number> {
    return await this.#process.stop("SIGTERM");
  }

  /** Starts it again, on the same port and with the same data. */
  async restart(): Promise<void> {
    const port = Number(this.address.split(":").at(-1));
    this.#process = launch(this.#directory, this.#options, port);
    this.#ready = await readyLine(this.#process);
  }

  /** Writes a kubeconfig that goes through that proxy. @returns The file. */
  async kubeconfig(
    proxyUrl: string | undefined,
    { user = "admin", token }: { user?: User; token?: string } = {},
  ): Promise<string> {
    const config = JSON.parse(await Deno.readTextFile(this.#ready.kubeconfig));
    config["current-context"] = user;
    if (proxyUrl !== undefined) config.clusters[0].cluster["proxy-url"] = proxyUrl;
    if (token !== undefined) { for (const { user } of config.users) user.token = token; }
    const file = await Deno.makeTempFile({ dir: this.#directory, suffix: ".json" });
    await Deno.writeTextFile(file, JSON.stringify(config));
    return file;
  }

  /** The token of a user. */
  async token(user: User): Promise<string> {
    const config = JSON.parse(await Deno.readTextFile(this.#ready.kubeconfig));
    return config.users.find(({ name }: { name: string }) => name === user).user.token;
  }

  /** A directory that is removed with the cluster. */
  async scratch(): Promise<string> {
    return await Deno.makeTempDir({ dir: this.#directory });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await Deno.remove(this.#directory, { recursive: true });
  }
}

/** Builds the API server, the informers and kubectl; Go knows what is up to date. */
async function build(): Promise<void> {
  const packages = [".", "./informers", "k8s.io/kubernetes/cmd/kubectl"];
  await fillCache(["go", "build", "-ldflags=-s -w", "-o", `${CACHE}/`, ...packages], {
    cwd: inRoot("tests/apiserver"),
    env: { CGO_ENABLED: "0" },
  });
}

/** Copies what is directly in a directory, but no directory. */
async function copyFiles(from: string, to: string): Promise<void> {
  for await (const { name, isFile } of Deno.readDir(from)) {
    if (isFile) await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
  }
}

function launch(directory: string, options: ClusterOptions, port = 0): Process {
  const { prefix = [], kubeletPort = 0, egressProxy = "" } = options;
  return new Process([
    ...prefix,
    `${CACHE}/apiserver`,
    `-dir=${directory}`,
    `-port=${port}`,
    `-kubelet-port=${kubeletPort}`,
    `-egress-proxy=${egressProxy}`,
  ]);
}

async function readyLine(process: Process): Promise<Ready> {
  return JSON.parse(await process.stdout.find((line) => line.startsWith("{")));
}
