/** The orderly end of a proxy's connections: which ones close when, and how each ended. */
import type { ConnectionLists } from "./connection_lists.ts";

/** Quiet tunnels are closed over this part of the drain timeout, busy ones over the rest. */
const QUIET_PART = 0.8;
/** How long refused clients may still read once all others have gone. */
const LAST_LINGER_MS = 1_000;

/** How the clients' connections ended. */
export interface Drained {
  readonly durationMs: number;
  /** Those that were being served when it began. */
  readonly connections: number;
  readonly closedQuiet: number;
  readonly cut: number;
}

/** A drain; it begins when it is constructed. */
export class Drain {
  readonly #connections: ConnectionLists;
  readonly #timeoutMs: number;
  readonly #sinceMs = performance.now();
  readonly #atStart: number;
  /** Those of them with a request: clients that wait are told at once. */
  readonly #servedAtStart: number;
  /** When a client was last being served. */
  #lastServedMs = this.#sinceMs;
  #closedQuiet = 0;
  #cut = 0;
  /** Those that were left when the time for quiet moments was over. */
  #busyAtStart: number | undefined;

  /** @param timeoutMs How long live tunnels may continue; 0 is no limit. */
  constructor(connections: ConnectionLists, timeoutMs: number) {
    this.#connections = connections;
    this.#timeoutMs = timeoutMs;
    this.#atStart = connections.admittedCount;
    this.#servedAtStart = connections.served.size;
  }

  /** How the connections have ended so far. */
  get result(): Drained {
    return {
      durationMs: Math.round(performance.now() - this.#sinceMs),
      connections: this.#atStart,
      closedQuiet: this.#closedQuiet,
      cut: this.#cut,
    };
  }

  /** Closes tunnels one after the other, and the rest at the deadline. Call it often. */
  tick(nowMs: number): void {
    const elapsedMs = nowMs - this.#sinceMs;
    // A refused client that keeps its socket open must not keep the process.
    if (this.#connections.admittedCount > 0) this.#lastServedMs = nowMs;
    if (nowMs - this.#lastServedMs >= LAST_LINGER_MS) return this.cutAll("drain");
    if (this.#timeoutMs === 0) return;
    if (elapsedMs >= this.#timeoutMs) return this.cutAll("drain");
    const quietMs = this.#timeoutMs * QUIET_PART;
    this.#closeQuiet(nowMs, elapsedMs / quietMs);
    if (elapsedMs >= quietMs) this.#cutBusy((elapsedMs - quietMs) / (this.#timeoutMs - quietMs));
  }

  /** Ends all connections at once. */
  cutAll(end: "drain" | "error"): void {
    for (const connection of this.#connections) {
      if (connection.isLive) this.#cut++;
      connection.cut(end);
    }
  }

  #closeQuiet(nowMs: number, timeGone: number): void {
    let surplus = this.#connections.admittedCount -
      Math.floor(this.#servedAtStart * Math.max(0, 1 - timeGone));
    for (const connection of this.#connections.served) {
      if (surplus <= 0) break;
      if (!connection.closeIfQuiet(nowMs, "drain")) continue;
      surplus--;
      this.#closedQuiet++;
    }
  }

  /** Cuts tunnels without a quiet moment, the oldest first, spread over the time left. */
  #cutBusy(timeGone: number): void {
    const busy = [...this.#connections.served].filter(({ isLive }) => isLive);
    this.#busyAtStart ??= busy.length;
    const surplus = Math.max(0, busy.length - Math.ceil(this.#busyAtStart * (1 - timeGone)));
    for (const connection of busy.slice(0, surplus)) connection.cut("drain");
    this.#cut += surplus;
  }
}
