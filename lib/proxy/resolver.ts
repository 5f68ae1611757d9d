/** Names to addresses: one lookup for all who wait, remembered for a moment. */

/** Looks a name up. @throws {Error} When there is no answer; the `code` says why. */
export type Lookup = (name: string) => Promise<readonly string[]>;

/** How long an answer serves. */
const FRESH_MS = 5_000;
/** How long the last good answer serves while there is no newer one. */
const GOOD_MS = 60_000;
/** How long to wait for a newer answer while the last good one serves. */
const PATIENCE_MS = 500;
/** Each lookup holds a thread of the runtime until it ends, which can take half a minute. */
const MAX_LOOKUPS = 4;

interface Answer {
  readonly addresses: readonly string[];
  readonly receivedMs: number;
  askAgainMs: number;
}

/** A lookup under way, or waiting for its turn. */
interface Query {
  readonly sinceMs: number;
  readonly addresses: Promise<readonly string[]>;
}

/** Resolves the names of upstreams. The configuration names them, so what it remembers is bounded. */
export class Resolver {
  readonly #lookup: Lookup;
  readonly #answers = new Map<string, Answer>();
  readonly #queries = new Map<string, Query>();
  /** Each starts a lookup that waits for another one to end. */
  readonly #waiting: (() => void)[] = [];
  readonly #now: () => number;
  #running = 0;

  /**
   * @param lookup The system's own, if no other is given.
   * @param now The clock, in milliseconds.
   */
  constructor(lookup: Lookup = systemLookup, now = () => performance.now()) {
    this.#lookup = lookup;
    this.#now = now;
  }

  /**
   * The addresses of a host in the order of RFC 8305 §4; at once for an address, and for a name that
   * was looked up within the last five seconds. While lookups fail or hang, the last good answer
   * serves for a minute.
   *
   * @param host An address, or a name: with a trailing dot, no search list is used.
   * @throws {Error} What the lookup throws.
   */
  resolve(host: string): readonly string[] | Promise<readonly string[]> {
    if (isAddress(host)) return [host];
    const nowMs = this.#now();
    const last = this.#answers.get(host);
    if (last !== undefined && nowMs < last.askAgainMs) return last.addresses;
    const query = this.#queries.get(host) ?? this.#ask(host, nowMs);
    if (last === undefined || !isGood(last, nowMs)) return query.addresses;
    const waitMs = query.sinceMs + PATIENCE_MS - nowMs;
    return waitMs > 0 ? firstOf(query.addresses, waitMs, last.addresses) : last.addresses;
  }

  #ask(host: string, nowMs: number): Query {
    const query = { sinceMs: nowMs, addresses: this.#answer(host) };
    this.#queries.set(host, query);
    // It may fail when no dial waits for it any more.
    query.addresses.catch(() => {});
    return query;
  }

  async #answer(host: string): Promise<readonly string[]> {
    if (this.#running < MAX_LOOKUPS) this.#running++;
    else await new Promise<void>((start) => this.#waiting.push(start));
    try {
      const addresses = familiesInTurn(await this.#lookup(host));
      const receivedMs = this.#now();
      this.#answers.set(host, { addresses, receivedMs, askAgainMs: receivedMs + FRESH_MS });
      return addresses;
    } catch (error) {
      const nowMs = this.#now();
      const last = this.#answers.get(host);
      if (last === undefined || !isGood(last, nowMs)) throw error;
      last.askAgainMs = nowMs + FRESH_MS;
      return last.addresses;
    } finally {
      this.#queries.delete(host);
      // The next one takes over this one's turn.
      const startNext = this.#waiting.shift();
      if (startNext === undefined) this.#running--;
      else startNext();
    }
  }
}

/** Whether a host is an address, which needs no lookup: a name never looks like one. */
export function isAddress(host: string): boolean {
  return host.includes(":") || /^[\d.]+$/.test(host);
}

function isGood({ receivedMs }: Answer, nowMs: number): boolean {
  return nowMs - receivedMs < GOOD_MS;
}

/** What a promise resolves to, or something else if that takes too long. */
async function firstOf<T>(promise: Promise<T>, waitMs: number, otherwise: T): Promise<T> {
  const late = Promise.withResolvers<T>();
  const timer = setTimeout(() => late.resolve(otherwise), waitMs);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Addresses of both families in turn, beginning with the first one's (RFC 8305 §4). */
function familiesInTurn(addresses: readonly string[]): readonly string[] {
  const isIPv6 = (address: string) => address.includes(":");
  const isOfFirst = (address: string) => isIPv6(address) === isIPv6(addresses[0]!);
  const distinct = [...new Set(addresses)];
  const others = distinct.filter((address) => !isOfFirst(address));
  const inTurn = distinct.filter(isOfFirst)
    .flatMap((address) => [address, ...others.splice(0, 1)]);
  return [...inTurn, ...others];
}

/**
 * Asks getaddrinfo, as other programs on this machine do: the hosts file, search list and ndots, both
 * families from one name of the list, the order of RFC 6724.
 *
 * `Deno.resolveDns` needs no thread and less memory, but walks the search list for each family by
 * itself: where the name has no IPv6 address, that of a wildcard further down the list comes with it.
 */
async function systemLookup(name: string): Promise<readonly string[]> {
  // Only for names: it takes some megabytes.
  const { lookup } = await import("node:dns/promises");
  const answers = await lookup(name, { all: true, order: "verbatim" });
  return answers.map(({ address }) => address);
}
