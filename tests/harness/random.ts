/** What a seed decides: the same numbers and the same bytes each time. */
import { assertEquals } from "@std/assert";

/** Numbers from 0 up to a limit, the same ones for the same seed (mulberry32). */
export type Random = (below: number) => number;

/** The numbers of that seed. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor(((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32 * below);
  };
}

/** One of them. */
export function pick<T>(random: Random, choices: readonly T[]): T {
  return choices[random(choices.length)]!;
}

/** Resolves after that many milliseconds. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** A prime, so that no buffer or packet fits in a whole number of times. */
const PERIOD_BYTES = 524_287;
const MAX_CHUNK_BYTES = 1024 * 1024;

/** An endless stream of bytes, of which a lost, doubled, moved or changed one shows. */
export class Pattern {
  readonly #bytes = new Uint8Array(PERIOD_BYTES + MAX_CHUNK_BYTES);

  constructor(seed: number) {
    const random = randomFrom(seed);
    for (let i = 0; i < PERIOD_BYTES; i++) this.#bytes[i] = random(256);
    for (let i = PERIOD_BYTES; i < this.#bytes.length; i += PERIOD_BYTES) {
      this.#bytes.set(this.#bytes.subarray(0, Math.min(PERIOD_BYTES, this.#bytes.length - i)), i);
    }
  }

  /** The bytes from there on, at most 1 MiB. */
  at(offset: number, count: number): Uint8Array {
    const start = offset % PERIOD_BYTES;
    return this.#bytes.subarray(start, start + Math.min(count, MAX_CHUNK_BYTES));
  }

  /** The offset behind bytes that must be those from `offset` on. */
  check(offset: number, bytes: Uint8Array): number {
    for (let done = 0; done < bytes.length;) {
      const expected = this.at(offset + done, bytes.length - done);
      for (let i = 0; i < expected.length; i++) {
        if (bytes[done + i] === expected[i]) continue;
        const name = `byte ${offset + done + i}`;
        assertEquals({ [name]: bytes[done + i] }, { [name]: expected[i] });
      }
      done += expected.length;
    }
    return offset + bytes.length;
  }
}
