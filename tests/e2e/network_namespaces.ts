/** Machines of their own on one machine: Linux network namespaces, joined by virtual cables. */
import { output, run } from "../harness/child_process.ts";

/** In the names of what this file makes: files of tests that run at the same time share their process. */
const OURS = crypto.randomUUID().slice(0, 8);

/** Why this machine cannot have network namespaces with address translation, if it cannot. */
export async function whyNoNamespaces(): Promise<string | undefined> {
  const name = `probe-${OURS}`;
  const attempts = [
    ["ip", "netns", "add", name],
    ["ip", "netns", "exec", name, "iptables", "--table", "nat", "--list-rules"],
  ];
  try {
    for (const command of attempts) {
      const { code, stderr } = await run(command);
      if (code !== 0) return `${command.join(" ")}: ${stderr.trim()}`;
    }
    return undefined;
  } catch (error) {
    return `ip and iptables are needed: ${(error as Error).message}`;
  } finally {
    await run(["ip", "netns", "delete", name]).catch(() => {});
  }
}

/** One namespace; it forwards what is not its own. */
export class Machine implements AsyncDisposable {
  readonly #name: string;

  private constructor(name: string) {
    this.#name = name;
  }

  /** Makes one whose name no other run uses. */
  static async create(role: string): Promise<Machine> {
    const machine = new Machine(`${role}-${OURS}`);
    await output(["ip", "netns", "add", machine.#name]);
    await machine.ip("link", "set", "lo", "up");
    await machine.run("sysctl", "--quiet", "--write", "net.ipv4.ip_forward=1");
    return machine;
  }

  /** What to put before a command so that it runs there. */
  get prefix(): readonly string[] {
    return ["ip", "netns", "exec", this.#name];
  }

  /** Runs a command there that must succeed. @returns Its stdout. */
  async run(...command: string[]): Promise<string> {
    return await output([...this.prefix, ...command]);
  }

  /** Runs `ip` there. */
  async ip(...args: string[]): Promise<string> {
    return await output(["ip", "-netns", this.#name, ...args]);
  }

  /** Lays a cable to another machine: each end has one address of a network of two. */
  async connect(address: string, other: Machine, otherAddress: string): Promise<void> {
    const [end, otherEnd] = [`to-${other.#name}`.slice(0, 15), `to-${this.#name}`.slice(0, 15)];
    const peer = ["peer", "name", otherEnd, "netns", other.#name];
    await this.ip("link", "add", end, "type", "veth", ...peer);
    await this.ip("address", "add", `${address}/31`, "dev", end);
    await other.ip("address", "add", `${otherAddress}/31`, "dev", otherEnd);
    await this.ip("link", "set", end, "up");
    await other.ip("link", "set", otherEnd, "up");
  }

  /** Sends what goes to that network by way of a neighbour. */
  async route(network: string, via: string): Promise<void> {
    await this.ip("route", "add", network, "via", via);
  }

  /** Translates the destination of what comes in, as the iptables target and its options say. */
  async translate(destination: string, ...target: string[]): Promise<void> {
    const rule = ["--append", "PREROUTING", "--destination", destination];
    await this.run("iptables", "--table", "nat", ...rule, "--jump", ...target);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await output(["ip", "netns", "delete", this.#name]);
  }
}
