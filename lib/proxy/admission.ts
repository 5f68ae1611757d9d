/** How many clients may be served at once, in all and from one source, over all workers. */
import { Refusal } from "../protocol/refusal.ts";
import type { SharedMemory } from "./shared_memory.ts";
import { SourceTable } from "./source_table.ts";

const TOTAL = 0;

/** Counts the clients of one worker in and out, and sees those of the others. */
export class Admission {
  readonly #maxTotal: number;
  readonly #maxPerSource: number;
  readonly #own: Int32Array;
  readonly #all: readonly Int32Array[];
  /** `undefined`: one source may have as many as it likes. */
  readonly #sources: SourceTable | undefined;

  /** 0 is no limit. */
  constructor(
    limits: { maxConnections: number; maxConnectionsPerSource: number },
    { served, sources }: Pick<SharedMemory, "served" | "sources">,
    worker: number,
  ) {
    this.#maxTotal = limits.maxConnections || Infinity;
    this.#maxPerSource = limits.maxConnectionsPerSource;
    this.#own = served[worker]!;
    this.#all = served;
    if (limits.maxConnectionsPerSource > 0) {
      this.#sources = new SourceTable(sources, worker, (slot) => this.#count(1 + slot));
    }
  }

  /** Clients that this worker is serving. */
  get total(): number {
    return this.#own[TOTAL]!;
  }

  /** How many more clients fit; `Infinity` without a limit. */
  get free(): number {
    return this.#maxTotal - this.#count(TOTAL);
  }

  /** Whether that source has all the slots that one source may have. */
  isFullFor(source: bigint | undefined): boolean {
    if (source === undefined) return false;
    const slot = this.#sources?.find(source);
    return slot !== undefined && this.#count(1 + slot) >= this.#maxPerSource;
  }

  /**
   * Counts a client in, or says why not.
   *
   * @param source Its {@linkcode sourceKey}; `undefined` while it is not known whom it counts for.
   */
  enter(source: bigint | undefined): Refusal | undefined {
    while (this.free > 0) {
      // It counts first and compares then: two workers cannot both take the last slot. If both step
      // back, both try again.
      Atomics.add(this.#own, TOTAL, 1);
      const refusal = this.free < 0 ? "step back" : this.claim(source);
      if (refusal === undefined) return undefined;
      Atomics.sub(this.#own, TOTAL, 1);
      if (refusal !== "step back") return refusal;
    }
    return new Refusal("too_many_connections");
  }

  /** Counts a client that is in for its source, or says why not. */
  claim(source: bigint | undefined): Refusal | undefined {
    if (source === undefined || this.#sources === undefined) return undefined;
    const hasRoom = this.#sources.claim(source, (slot) => {
      if (this.#count(1 + slot) >= this.#maxPerSource) return false;
      Atomics.add(this.#own, 1 + slot, 1);
      return true;
    });
    return hasRoom ? undefined : new Refusal("too_many_from_source");
  }

  /** Counts out a client that was counted in for that source. */
  leave(source: bigint | undefined): void {
    Atomics.sub(this.#own, TOTAL, 1);
    if (source === undefined || this.#sources === undefined) return;
    // It is there: this client is in it.
    Atomics.sub(this.#own, 1 + this.#sources.find(source)!, 1);
  }

  #count(cell: number): number {
    let count = 0;
    for (const served of this.#all) count += Atomics.load(served, cell);
    return count;
  }
}
