/** Whom clients count for in the limit of one source: each source has a slot of its own that all workers share. */
import { addressNumber } from "../protocol/address.ts";

/** What all workers share of the table. */
export interface SharedSources {
  /** 0, or 1 more than the worker that is looking for a slot. */
  readonly lock: Int32Array;
  /** Random, so that no client knows which sources are neighbours in the table. */
  readonly secret: Uint32Array;
  /** The key of each slot's source, two words a slot. Of a slot without clients it is the last one's. */
  readonly keys: Uint32Array;
}

/** How far from its first choice a source may be. With a quarter of the slots in use none comes near. */
const WINDOW_SLOTS = 32;
/** Slots for each client that may be served at a time. */
const SLOTS_PER_CLIENT = 4;
const LEAST_SLOTS = 1_024, MOST_SLOTS = 2 ** 22;
/** Looks at the lock before the thread sleeps, and for how long it does. */
const SPINS = 1_000, SLEEP_MS = 1;
// Multicast: no client has such an address.
const IPV4_KEYS = 0xff00_0004_0000_0000n, PEER_KEYS = 0xff00_0005_0000_0000n;

/**
 * Makes the table, empty.
 *
 * @param maxConnections How many clients there can be at once; 0 is no limit.
 */
export function allocateSources(maxConnections: number): SharedSources {
  const slots = slotCount(maxConnections);
  const secret = new Uint32Array(new SharedArrayBuffer(8));
  secret.set(crypto.getRandomValues(new Uint32Array(2)));
  return {
    lock: new Int32Array(new SharedArrayBuffer(4)),
    secret,
    keys: new Uint32Array(new SharedArrayBuffer(slots * 8)),
  };
}

function slotCount(maxConnections: number): number {
  const wanted = (maxConnections || Infinity) * SLOTS_PER_CLIENT;
  let slots = LEAST_SLOTS;
  while (slots < Math.min(wanted, MOST_SLOTS)) slots *= 2;
  return slots;
}

/** Frees the lock of a worker that is gone: whatever it was doing, a slot without clients is a free one. */
export function forgetHolder({ lock }: SharedSources, worker: number): void {
  Atomics.compareExchange(lock, 0, worker + 1, 0);
}

/**
 * What the clients of one source have in common, in 64 bits: the number of their peer, else the
 * IPv4 address, or the /64 of an IPv6 address (a host with one address of it can have them all).
 *
 * @param source A normalised address.
 */
export function sourceKey(source: string, peerIndex: number | undefined): bigint {
  if (peerIndex !== undefined) return PEER_KEYS | BigInt(peerIndex);
  const number = addressNumber(source);
  return source.includes(":") ? number >> 64n : IPV4_KEYS | number;
}

/** One worker's way to the table. */
export class SourceTable {
  readonly #shared: SharedSources;
  readonly #worker: number;
  /** How many clients there are in a slot, over all workers. */
  readonly #clientsIn: (slot: number) => number;

  constructor(shared: SharedSources, worker: number, clientsIn: (slot: number) => number) {
    this.#shared = shared;
    this.#worker = worker;
    this.#clientsIn = clientsIn;
  }

  /** The slot of a source that has one. */
  find(key: bigint): number | undefined {
    return this.#locked(() => this.#slotOf(key, false));
  }

  /**
   * Calls `take` with the slot of the source, a new one if it has none. Nobody else takes that slot
   * meanwhile.
   *
   * @returns What `take` gives; `undefined` when there is no free slot.
   */
  claim<T>(key: bigint, take: (slot: number) => T): T | undefined {
    return this.#locked(() => {
      const slot = this.#slotOf(key, true);
      return slot === undefined ? undefined : take(slot);
    });
  }

  /** Holds for less than a microsecond: looking through a window is all that is done meanwhile. */
  #locked<T>(act: () => T): T {
    const { lock } = this.#shared;
    for (let spin = 1; Atomics.compareExchange(lock, 0, 0, this.#worker + 1) !== 0; spin++) {
      if (spin % SPINS === 0) Atomics.wait(lock, 0, Atomics.load(lock, 0), SLEEP_MS);
    }
    try {
      return act();
    } finally {
      Atomics.store(lock, 0, 0);
    }
  }

  #slotOf(key: bigint, mayTake: boolean): number | undefined {
    const { keys, secret } = this.#shared;
    const high = Number(key >> 32n), low = Number(key & 0xffff_ffffn);
    const slots = keys.length / 2;
    const first = halfSipHash(secret[0]!, secret[1]!, low, high) >>> 0;
    let free: number | undefined;
    for (let step = 0; step < WINDOW_SLOTS; step++) {
      const slot = (first + step) & (slots - 1);
      const clients = this.#clientsIn(slot);
      if (clients > 0 && keys[2 * slot] === high && keys[2 * slot + 1] === low) return slot;
      if (clients === 0) free ??= slot;
    }
    if (!mayTake || free === undefined) return undefined;
    keys[2 * free] = high;
    keys[2 * free + 1] = low;
    return free;
  }
}

/** HalfSipHash-2-4 (the 32-bit form of SipHash) of two words. */
function halfSipHash(key0: number, key1: number, low: number, high: number): number {
  let v0 = key0, v1 = key1, v2 = 0x6c796765 ^ key0, v3 = 0x74656462 ^ key1;
  const rounds = (count: number) => {
    for (; count > 0; count--) {
      v0 = (v0 + v1) | 0;
      v1 = rotate(v1, 5) ^ v0;
      v0 = rotate(v0, 16);
      v2 = (v2 + v3) | 0;
      v3 = rotate(v3, 8) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = rotate(v3, 7) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = rotate(v1, 13) ^ v2;
      v2 = rotate(v2, 16);
    }
  };
  // Two words of four bytes each; the last one has the length in its first byte.
  for (const word of [low, high, 8 << 24]) {
    v3 ^= word;
    rounds(2);
    v0 ^= word;
  }
  v2 ^= 0xff;
  rounds(4);
  return v1 ^ v3;
}

function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}
