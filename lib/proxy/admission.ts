/** How many clients may be served at once, in all and from one source, over all workers. */
import { addressNumber } from "../protocol/address.ts";
import { Refusal } from "../protocol/refusal.ts";
import type { SharedMemory } from "./shared_memory.ts";

const TOTAL = 0;

/**
 * What the clients of one source have in common: the name of their peer, else the IPv4 address, or
 * the /64 of an IPv6 address (whoever has one address of it can have them all).
 *
 * @param source A normalised address.
 */
export function sourceKey(source: string, peer: string | undefined): string {
  // No address has an equals sign.
  if (peer !== undefined) return `peer=${peer}`;
  return source.includes(":") ? `${addressNumber(source) >> 64n}/64` : source;
}

/** Counts the clients of one worker in and out, and sees those of the others. */
export class Admission {
  readonly #maxTotal: number;
  readonly #maxPerSource: number;
  readonly #own: Int32Array;
  readonly #all: readonly Int32Array[];

  /** 0 is no limit. */
  constructor(
    limits: { maxConnections: number; maxConnectionsPerSource: number },
    { served }: Pick<SharedMemory, "served">,
    worker: number,
  ) {
    this.#maxTotal = limits.maxConnections || Infinity;
    this.#maxPerSource = limits.maxConnectionsPerSource || Infinity;
    this.#own = served[worker]!;
    this.#all = served;
  }

  /** Clients that this worker is serving. */
  get total(): number {
    return this.#own[TOTAL]!;
  }

  /** Whether nobody more can be let in, whatever the source. */
  get isFull(): boolean {
    return this.#count(TOTAL) >= this.#maxTotal;
  }

  /** Whether that source has all the places that one source may have. */
  isFullFor(source: string | undefined): boolean {
    return this.#isLimited(source) && this.#count(this.#slot(source)) >= this.#maxPerSource;
  }

  /**
   * Counts a client in, or says why not.
   *
   * @param source Whom it counts for, see {@linkcode sourceKey}; `undefined` while that is not known.
   */
  enter(source: string | undefined): Refusal | undefined {
    if (!this.#take(TOTAL, this.#maxTotal)) return new Refusal("too_many_connections");
    const refusal = this.claim(source);
    if (refusal !== undefined) Atomics.sub(this.#own, TOTAL, 1);
    return refusal;
  }

  /** Counts a client that is in for a source that has become known, or says why not. */
  claim(source: string | undefined): Refusal | undefined {
    if (!this.#isLimited(source) || this.#take(this.#slot(source), this.#maxPerSource)) {
      return undefined;
    }
    return new Refusal("too_many_from_source");
  }

  /** Counts out a client that was counted in for that source. */
  leave(source: string | undefined): void {
    Atomics.sub(this.#own, TOTAL, 1);
    if (this.#isLimited(source)) Atomics.sub(this.#own, this.#slot(source), 1);
  }

  #isLimited(source: string | undefined): source is string {
    return source !== undefined && this.#maxPerSource !== Infinity;
  }

  /** Counted first and looked at then: two workers at once cannot both take the last place. */
  #take(slot: number, max: number): boolean {
    Atomics.add(this.#own, slot, 1);
    if (this.#count(slot) <= max) return true;
    Atomics.sub(this.#own, slot, 1);
    return false;
  }

  #count(slot: number): number {
    let count = 0;
    for (const served of this.#all) count += Atomics.load(served, slot);
    return count;
  }

  /** FNV-1a. In a million slots two sources that are there at once hardly ever share one. */
  #slot(source: string): number {
    let hash = 0x811c9dc5;
    for (let i = 0; i < source.length; i++) {
      hash = Math.imul(hash ^ source.charCodeAt(i), 0x01000193);
    }
    return 1 + (hash >>> 0) % (this.#own.length - 1);
  }
}
