/** What most tests start from: a cluster, a proxy in front of it and a kubectl that goes through. */
import { Cluster, type ClusterOptions, KUBECTL, SERVER } from "./cluster.ts";
import { type Outcome, output, Process, run } from "../harness/child_process.ts";
import { ProxyProcess } from "../harness/process.ts";
import { type Size, Terminal } from "./terminal.ts";

/** Registers a test whose environment may outlive it: its pipes are read all along. */
export function test(name: string, fn: () => Promise<void>, skip = false): void {
  Deno.test({ name, fn, ignore: skip, sanitizeOps: false, sanitizeResources: false });
}

/** How to call kubectl. */
export interface KubectlOptions {
  readonly kubeconfig?: string;
  readonly env?: Record<string, string>;
  readonly stdin?: string;
}

/** A kubectl with a home of its own, so that no discovery is cached from elsewhere. */
export class Kubectl {
  readonly #prefix: readonly string[];
  readonly #home: string;
  readonly #kubeconfig: string;

  constructor(kubeconfig: string, home: string, prefix: readonly string[] = []) {
    this.#kubeconfig = kubeconfig;
    this.#home = home;
    this.#prefix = prefix;
  }

  /** Runs it. @throws {Error} Unless it succeeds. @returns Its stdout. */
  async output(args: readonly string[], options: KubectlOptions = {}): Promise<string> {
    return await output(this.#command(args, options), this.#options(options));
  }

  /** Runs it, whatever its exit code. */
  async run(args: readonly string[], options: KubectlOptions = {}): Promise<Outcome> {
    return await run(this.#command(args, options), this.#options(options));
  }

  /** Starts one that goes on, such as a watch. */
  start(args: readonly string[], options: KubectlOptions = {}): Process {
    return new Process(this.#command(args, options), this.#options(options));
  }

  /** Starts one in a terminal of that size. */
  async startInTerminal(
    args: readonly string[],
    size: Size,
    options: KubectlOptions = {},
  ): Promise<Terminal> {
    return await Terminal.open(this.#command(args, options), size, this.#options(options));
  }

  #command(args: readonly string[], { kubeconfig = this.#kubeconfig }: KubectlOptions): string[] {
    return [...this.#prefix, KUBECTL, `--kubeconfig=${kubeconfig}`, ...args];
  }

  #options({ env, stdin = "" }: KubectlOptions) {
    return { env: { HOME: this.#home, ...env }, stdin };
  }
}

/** A cluster with one proxy in front of it. */
export class Environment implements AsyncDisposable {
  readonly cluster: Cluster;
  readonly proxy: ProxyProcess;
  /** As the user who may do everything, unless told otherwise. */
  readonly kubectl: Kubectl;
  /** Goes through the proxy, as the user who may do everything. */
  readonly kubeconfig: string;

  private constructor(cluster: Cluster, proxy: ProxyProcess, kubeconfig: string, home: string) {
    this.cluster = cluster;
    this.proxy = proxy;
    this.kubeconfig = kubeconfig;
    this.kubectl = new Kubectl(kubeconfig, home);
  }

  /** Starts both. */
  static async start(options: ClusterOptions = {}): Promise<Environment> {
    await using stack = new AsyncDisposableStack();
    const cluster = stack.use(await Cluster.start(options));
    const proxy = stack.use(await ProxyProcess.start({ flags: ["--upstream", cluster.address] }));
    const kubeconfig = await cluster.kubeconfig(proxy.url);
    const environment = new Environment(cluster, proxy, kubeconfig, await cluster.scratch());
    stack.move();
    return environment;
  }

  /** The command that gets a path of the API with curl, through the proxy. */
  async curl(path: string, ...flags: string[]): Promise<string[]> {
    const token = `Authorization: Bearer ${await this.cluster.token("admin")}`;
    const way = ["--noproxy", "", "--proxy", this.proxy.url, "--cacert", this.cluster.ca];
    const common = ["--silent", "--show-error", "--fail", ...way, "--header", token];
    return ["curl", ...common, ...flags, `${SERVER}${path}`];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.proxy[Symbol.asyncDispose]();
    await this.cluster[Symbol.asyncDispose]();
  }
}
