/** How many clients may be served at once, in all and from one source. */
import { Refusal } from "./refusal.ts";

/** Counts clients in and out. */
export class Admission {
  readonly #maxTotal: number;
  readonly #maxPerSource: number;
  readonly #perSource = new Map<string, number>();
  #total = 0;

  /** 0 is no limit. */
  constructor(maxTotal: number, maxPerSource: number) {
    this.#maxTotal = maxTotal || Infinity;
    this.#maxPerSource = maxPerSource || Infinity;
  }

  /** Clients being served. */
  get total(): number {
    return this.#total;
  }

  /** Whether nobody more can be let in, whatever the source. */
  get isFull(): boolean {
    return this.#total >= this.#maxTotal;
  }

  /** Counts a client in, or says why not. */
  enter(source: string): Refusal | undefined {
    const fromSource = this.#perSource.get(source) ?? 0;
    if (fromSource >= this.#maxPerSource) {
      return new Refusal("too_many_connections", "the limit for one source address is reached");
    }
    if (this.isFull) return new Refusal("too_many_connections");
    this.#total++;
    this.#perSource.set(source, fromSource + 1);
    return undefined;
  }

  /** Counts out a client that was counted in. */
  leave(source: string): void {
    const others = this.#perSource.get(source)! - 1;
    this.#total--;
    if (others > 0) this.#perSource.set(source, others);
    else this.#perSource.delete(source);
  }
}
