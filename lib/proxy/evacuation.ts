/** Which tunnels end because their API server does not live any more, while another one does. */
import { isDown, isUp } from "./probe.ts";

/** What is looked at of a tunnel. */
export interface Evacuee {
  /** Which of the upstreams its tunnel goes to; `undefined` while it has none. */
  readonly upstreamIndex: number | undefined;
  /** When its tunnel was opened. */
  readonly openedMs: number;
}

/** How long after an upstream went down its last tunnel ends. */
const SPREAD_MS = 5_000;

/** How it goes with the tunnels of one upstream. */
interface Leaving {
  readonly sinceMs: number;
  readonly tunnels: number;
}

/** Ends the tunnels of upstreams that are down one after the other, so that their clients move. */
export class Evacuation {
  readonly #states: Int32Array;
  readonly #leaving = new Map<number, Leaving>();

  /** @param states What probes have found: see probe.ts. */
  constructor(states: Int32Array) {
    this.#states = states;
  }

  /** The tunnels whose turn it is to end; those of one upstream in the order in which they are given. */
  select<T extends Evacuee>(connections: Iterable<T>, nowMs: number): T[] {
    const indices = [...this.#states.keys()];
    const down = indices.filter((index) => isDown(this.#states, index));
    const isOneLeft = indices.some((index) => isUp(this.#states, index));
    for (const index of this.#leaving.keys()) {
      if (!isOneLeft || !down.includes(index)) this.#leaving.delete(index);
    }
    if (down.length === 0 || !isOneLeft) return [];
    const tunnels = Map.groupBy(connections, ({ upstreamIndex }) => upstreamIndex);
    return down.flatMap((index) => {
      const all = tunnels.get(index) ?? [];
      const leaving = this.#leaving.get(index) ?? { sinceMs: nowMs, tunnels: all.length };
      this.#leaving.set(index, leaving);
      // One that was opened since goes there because no other upstream could be reached.
      const here = all.filter(({ openedMs }) => openedMs <= leaving.sinceMs);
      const leftMs = Math.max(0, leaving.sinceMs + SPREAD_MS - nowMs);
      const mayStay = Math.floor(leaving.tunnels * leftMs / SPREAD_MS);
      return here.slice(0, Math.max(0, here.length - mayStay));
    });
  }
}
