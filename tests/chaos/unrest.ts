/** Two upstreams that are killed, restarted, frozen, made slow and made to reset, as a seed says. */
import type { Authority } from "../../lib/protocol/authority.ts";
import { pause, pick, type Random } from "../harness/random.ts";

type Mode = "echo" | "slow" | "reset";

/** A time in which the tunnels of one upstream may be cut. */
interface Outage {
  readonly upstream: number;
  readonly fromMs: number;
  toMs: number;
}

const SCRIPT = new URL("upstream.ts", import.meta.url).pathname;

/** The upstreams, and when which of them was out of order. */
export class Upstreams implements AsyncDisposable {
  readonly authorities: Authority[] = [];
  readonly #children: Deno.ChildProcess[] = [];
  readonly #outages: Outage[] = [];

  static async start(count: number): Promise<Upstreams> {
    const upstreams = new Upstreams();
    for (let index = 0; index < count; index++) {
      upstreams.authorities.push({ host: "127.0.0.1", port: lastingPort() });
      await upstreams.#start(index, "echo");
    }
    return upstreams;
  }

  /** Does one thing after another to them, until the time is up; then all is well again. */
  async torment(random: Random, durationMs: number): Promise<void> {
    const endMs = performance.now() + durationMs;
    const acts: Readonly<Record<string, (index: number) => Promise<void>>> = {
      kill: (index) => this.#replaceFor(index, undefined, random(400)),
      killBoth: async () => {
        await Promise.all([0, 1].map((index) => this.#replaceFor(index, undefined, 300)));
      },
      freeze: (index) => this.#freeze(index, 200 + random(600)),
      slow: (index) => this.#replaceFor(index, "slow", 1_000),
      reset: (index) => this.#replaceFor(index, "reset", 500),
    };
    const names = Object.keys(acts);
    // All of them, and then any.
    for (let act = 0; act < names.length || performance.now() < endMs; act++) {
      const name = names[act] ?? pick(random, names);
      await acts[name]!(random(this.#children.length));
      await pause(200 + random(400));
    }
  }

  /** Whether a tunnel of that time may have been cut. @param upstream If it is known. */
  mayHaveCut(fromMs: number, toMs: number, upstream: number | undefined): boolean {
    return this.#outages.some((outage) =>
      (upstream === undefined || outage.upstream === upstream) &&
      fromMs <= outage.toMs && outage.fromMs <= toMs
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#children.map((_, index) => this.#kill(index)));
  }

  /** Kills one and puts another in its place for a while, or none; then a good one. */
  async #replaceFor(index: number, mode: Mode | undefined, forMs: number): Promise<void> {
    await this.#outage(index, async () => {
      await this.#kill(index);
      if (mode !== undefined) await this.#start(index, mode);
      // A slow one cuts nothing.
      if (mode !== "slow") await pause(forMs);
    });
    if (mode === "slow") await pause(forMs);
    if (mode !== undefined) await this.#outage(index, () => this.#kill(index));
    await this.#outage(index, () => this.#start(index, "echo"));
  }

  async #freeze(index: number, forMs: number): Promise<void> {
    this.#children[index]!.kill("SIGSTOP");
    await pause(forMs);
    this.#children[index]!.kill("SIGCONT");
  }

  async #outage(upstream: number, during: () => Promise<void>): Promise<void> {
    const outage: Outage = { upstream, fromMs: performance.now(), toMs: Infinity };
    this.#outages.push(outage);
    await during();
    outage.toMs = performance.now();
  }

  async #start(index: number, mode: Mode): Promise<void> {
    const { port } = this.authorities[index]!;
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-prompt", "--allow-net=127.0.0.1", SCRIPT, `${index}`, `${port}`, mode],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#children[index] = child;
    // It says so once it listens.
    const reader = child.stdout.getReader();
    const { done } = await reader.read();
    await reader.cancel();
    if (done) throw new Error(`upstream ${index} does not come up on port ${port}`);
  }

  async #kill(index: number): Promise<void> {
    const child = this.#children[index]!;
    child.kill("SIGKILL");
    await child.status;
  }
}

/** A free port below those that clients get, which could be gone when an upstream comes back. */
function lastingPort(): number {
  for (;;) {
    const port = 15_000 + Math.floor(Math.random() * 15_000);
    try {
      Deno.listen({ hostname: "127.0.0.1", port }).close();
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}
