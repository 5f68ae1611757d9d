/** The connections of a worker, each in the list of its stage. */
import type { Connection } from "./connection.ts";
import { LinkedList } from "./linked_list.ts";

/** All connections that have a socket. */
export class ConnectionLists {
  /** Those for which a slot is looked for; nothing has been read from them. */
  readonly arriving = new LinkedList<Connection>();
  /** Those that were admitted and whose request is not complete. */
  readonly waiting = new LinkedList<Connection>();
  /** Those that have a tunnel, or will have one once the upstream is reached. */
  readonly served = new LinkedList<Connection>();
  /** Those that are reading their refusal. */
  readonly lingering = new LinkedList<Connection>();

  /** Those that count against the limits. */
  get admittedCount(): number {
    return this.waiting.size + this.served.size;
  }

  get isEmpty(): boolean {
    return this.admittedCount === 0 && this.arriving.size === 0 && this.lingering.size === 0;
  }

  /** All of them; the one just yielded may end or move to another list. */
  *[Symbol.iterator](): Generator<Connection> {
    // A list that items move to comes before those that they leave.
    yield* this.lingering;
    yield* this.served;
    yield* this.waiting;
    yield* this.arriving;
  }
}
