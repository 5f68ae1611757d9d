/**
 * Slots for clients, also when all are taken: the client that has waited longest without a complete
 * request then leaves, whichever worker it is in.
 */
import type { Admission } from "./admission.ts";
import type { Connection } from "./connection.ts";
import type { ConnectionLists } from "./connection_lists.ts";
import { delay } from "../telemetry/delay.ts";
import { Refusal } from "../protocol/refusal.ts";
import type { SharedMemory } from "./shared_memory.ts";

/** What it takes to give out the slots of one worker. */
export interface RoomOptions {
  readonly admission: Admission;
  readonly connections: ConnectionLists;
  readonly shared: Pick<SharedMemory, "roomWanted" | "oldestWaiting">;
  readonly worker: number;
  /** Calls {@linkcode Room.makeRoom} in that worker. */
  readonly onRoomWanted: (worker: number, client: number) => void;
  /** Called when a client gets its slot. */
  readonly onEntered: (connection: Connection) => void;
  /** Aborted when the worker takes no more clients. */
  readonly closed: AbortSignal;
}

/** Clients for which a slot may be looked for at once. */
const MAX_ARRIVING = 64;
/** The pause before another worker is asked again, and how long it may take to answer. */
const ASK_PAUSE_MS = 5, PATIENCE_MS = 250;
/** After this many turns of the event loop, a millisecond each, all ready sockets have been read. */
const READ_TURNS = 4;

/** A client without a complete request, and its worker. */
interface Waiting {
  readonly worker: number;
  readonly id: number;
}

/** Gives out the slots of one worker. */
export class Room {
  readonly #options: RoomOptions;
  /** When other workers were first asked to have these clients leave, since clients last came to wait. */
  readonly #askedMs = new Map<number, number>();
  #isServing = false;
  /** What clients have sent that got their slot before this has been read. */
  #readMs = 0;

  constructor(options: RoomOptions) {
    this.#options = options;
  }

  /** Whether so many clients look for a slot that no more should be accepted. */
  get isCrowded(): boolean {
    return this.#options.connections.arriving.size >= MAX_ARRIVING;
  }

  /**
   * Runs a connection as soon as it has a slot: at once, or when another client has left for it. It is
   * refused when no client waits in any worker that answers. First come, first served in each worker.
   */
  add(connection: Connection): void {
    const { arriving } = this.#options.connections;
    if (arriving.size === 0 && this.#enter(connection) === undefined) return void connection.run();
    arriving.add(connection);
    this.publish();
    if (!this.#isServing) void this.#serveArriving();
  }

  /** Lets the others know who waits here. Call it whenever that has changed. */
  publish(): void {
    const { shared, worker, connections: { arriving, waiting } } = this.#options;
    Atomics.store(shared.roomWanted, worker, arriving.size);
    Atomics.store(shared.oldestWaiting, worker, waiting.first?.id ?? 0);
  }

  /**
   * Has clients of this worker leave while others, of any worker, look for slots: that one, and then
   * those that have waited longest of all workers' clients. One that came later may be sending.
   */
  async makeRoom(client: number): Promise<void> {
    const { connections: { waiting } } = this.#options;
    for (let first; (first = waiting.first) !== undefined && this.#isWanted();) {
      if (first.id !== client && first.id !== this.#longestWaiting()[0]?.id) return;
      if (first.enteredMs >= this.#readMs) await this.#waitForReads();
      else first.stopWaiting(new Refusal("too_many_connections"));
    }
  }

  async #serveArriving(): Promise<void> {
    const { admission, connections: { arriving } } = this.#options;
    let hasWaited = false;
    this.#isServing = true;
    for (let next; (next = arriving.first) !== undefined;) {
      if (hasWaited) next.enteredMs = performance.now();
      const refusal = this.#enter(next);
      // A client that is refused for its source's own limit evicts no one.
      const mayEvict = refusal?.kind === "too_many_connections" &&
        !admission.isFullFor(next.countedFor);
      const leaving = mayEvict ? this.#whoLeaves() : [];
      if (leaving.length > 0) {
        await this.#ask(leaving);
        hasWaited = true;
      } else {
        // Whoever waited a moment ago may have left since.
        void next.run(refusal && this.#enter(next));
      }
    }
    this.#askedMs.clear();
    this.#isServing = false;
  }

  #enter(connection: Connection): Refusal | undefined {
    const { admission, connections: { waiting }, onEntered } = this.#options;
    const refusal = admission.enter(connection.countedFor);
    if (refusal !== undefined) return refusal;
    connection.list?.remove(connection);
    waiting.add(connection);
    this.publish();
    onEntered(connection);
    return undefined;
  }

  /**
   * The client that has waited longest, of a worker that answers. Workers that have not answered are
   * asked again: their clients are listed before it.
   */
  #whoLeaves(): readonly Waiting[] {
    const nowMs = performance.now();
    const all = this.#longestWaiting();
    const last = all.findIndex(({ worker, id }) => {
      if (worker === this.#options.worker) return true;
      if (!this.#askedMs.has(id)) this.#askedMs.set(id, nowMs);
      return nowMs - this.#askedMs.get(id)! < PATIENCE_MS;
    });
    return all.slice(0, last + 1);
  }

  async #ask(leaving: readonly Waiting[]): Promise<void> {
    const { worker: own, onRoomWanted, closed } = this.#options;
    for (const { worker, id } of leaving) {
      if (worker === own) return await this.makeRoom(id);
      onRoomWanted(worker, id);
    }
    await delay(ASK_PAUSE_MS, closed);
  }

  /** Of each worker the client that has waited longest, in the order in which they came. */
  #longestWaiting(): readonly Waiting[] {
    return Array.from(this.#options.shared.oldestWaiting, (id, worker) => ({ worker, id }))
      .filter(({ id }) => id > 0)
      .sort((a, b) => a.id - b.id);
  }

  /** Whether more clients look for a slot than there are free ones. */
  #isWanted(): boolean {
    const wanted = this.#options.shared.roomWanted.reduce((sum, clients) => sum + clients, 0);
    return wanted > this.#options.admission.free;
  }

  /** Waits until all data from clients is read: one turn of the event loop reads only some of it. */
  async #waitForReads(): Promise<void> {
    const startMs = performance.now();
    for (let turn = 0; turn < READ_TURNS; turn++) await delay(0, this.#options.closed);
    this.#readMs = Math.max(this.#readMs, startMs);
  }
}
