/** Requests that go on and on while something else happens. */
import { assertEquals } from "@std/assert";
import { setTimeout as sleep } from "node:timers/promises";
import type { Cluster } from "./cluster.ts";

const POLL_MS = 50;

/** Only short requests call the API server so: the proxies' logs tell who served how many. */
export const SHORT_AUTHORITY = "kubernetes.default:443";

/** A request over a connection of its own through the proxy that the URL then names, made with Deno's own client. */
export async function shortRequest(
  cluster: Cluster,
  proxyUrl: () => string,
): Promise<() => Promise<void>> {
  const caCerts = [await Deno.readTextFile(cluster.ca)];
  const headers = { authorization: `Bearer ${await cluster.token("admin")}` };
  return async () => {
    using client = Deno.createHttpClient({ caCerts, proxy: { url: proxyUrl() } });
    const response = await fetch(`https://${SHORT_AUTHORITY}/api/v1/namespaces/default`, {
      client,
      headers,
    });
    assertEquals((await response.json()).metadata.name, "default");
  };
}

/** What is done again and again until it is stopped. */
export class Load {
  readonly #failures: string[] = [];
  readonly #loops: Promise<void>[] = [];
  #successes = 0;
  #stopped = false;

  repeat(action: () => Promise<void>): void {
    this.#loops.push(this.#loop(action));
  }

  /** How often it has gone well. */
  get successes(): number {
    return this.#successes;
  }

  /** Resolves once it has gone well that often, or has failed. */
  async reaches(successes: number): Promise<void> {
    while (this.#successes < successes && this.#failures.length === 0) await sleep(POLL_MS);
  }

  /** @returns How often it went well, and how it failed. */
  async stop(): Promise<{ successes: number; failures: string[] }> {
    this.#stopped = true;
    await Promise.all(this.#loops);
    return { successes: this.#successes, failures: this.#failures };
  }

  async #loop(action: () => Promise<void>): Promise<void> {
    while (!this.#stopped) {
      try {
        await action();
        this.#successes++;
      } catch (error) {
        const { cause } = error as Error;
        this.#failures.push(cause === undefined ? String(error) : `${error}: ${cause}`);
      }
    }
  }
}
