/** A list whose items know their neighbours: they leave it from anywhere, and nothing is searched. */

/** What can be in one list at a time. Only the list sets these. */
export interface Linked<T extends Linked<T>> {
  list: LinkedList<T> | undefined;
  previous: T | undefined;
  next: T | undefined;
}

/** Items in the order in which they have joined. */
export class LinkedList<T extends Linked<T>> {
  #first: T | undefined;
  #last: T | undefined;
  #size = 0;

  /** The one that has been here longest. */
  get first(): T | undefined {
    return this.#first;
  }

  get size(): number {
    return this.#size;
  }

  /** Takes an item that is in no list, as the last one. */
  add(item: T): void {
    item.list = this;
    item.previous = this.#last;
    if (this.#last === undefined) this.#first = item;
    else this.#last.next = item;
    this.#last = item;
    this.#size++;
  }

  /** Lets go of an item that is in this list. */
  remove(item: T): void {
    const { previous, next } = item;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    // A removed item must not keep its neighbours in memory.
    item.list = item.previous = item.next = undefined;
    this.#size--;
  }

  /** From the first to the last; the item just yielded may be removed. */
  *[Symbol.iterator](): Generator<T> {
    for (let item = this.#first; item !== undefined;) {
      const { next } = item;
      yield item;
      item = next;
    }
  }
}
