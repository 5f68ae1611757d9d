/** How a test lets a worker fail. */
import type { Config } from "../../lib/config/config.ts";

/** What a test tells. Every worker of a proxy hears it; one acts. */
export interface Trigger {
  readonly worker: number;
  /** `crash` is an error past all handlers; `block` spins until the test stops it. */
  readonly how: "throw" | "reject" | "crash" | "block";
}

/** What a worker that fails gets; memory for all workers cannot come through a channel. */
export interface TriggerConfig extends Config {
  /** The first is 1: whoever is blocked goes on. The second is 1: somebody is. */
  readonly goOn: Int32Array;
}

/** The name of the channel for the workers of the proxy with that upstream. */
export function channelName(upstreamPort: number): string {
  return `trigger ${upstreamPort}`;
}
