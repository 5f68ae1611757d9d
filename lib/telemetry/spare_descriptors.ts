/** File descriptors kept back, so that one more client can be heard when the limit is reached. */

/** Some spare descriptors of the process. */
export class SpareDescriptors {
  #count: number;
  readonly #spares: Deno.DatagramConn[] = [];

  constructor(count: number) {
    this.#count = count;
    this.refill();
  }

  /** Whether some are missing: no descriptor is left for work that can wait. */
  get isShort(): boolean {
    return this.#spares.length < this.#count;
  }

  /** Frees one for urgent work. @returns Whether there was one. */
  release(): boolean {
    const spare = this.#spares.pop();
    spare?.close();
    return spare !== undefined;
  }

  /** Takes descriptors back that have become free. */
  refill(): void {
    try {
      while (this.isShort) {
        // An unused socket: it takes a descriptor, no permission and hardly any memory.
        const address = { hostname: "127.0.0.1", port: 0, transport: "udp" } as const;
        this.#spares.push(Deno.listenDatagram(address));
      }
    } catch {
      // None is free yet.
    }
  }

  /** Frees all of them, for good. */
  close(): void {
    // A connection that ends later would take them back.
    this.#count = 0;
    for (const spare of this.#spares.splice(0)) spare.close();
  }
}

/** Whether an error says that no descriptor is left, in the process or on the machine. */
export function isDescriptorShortage(error: unknown): boolean {
  const { code } = error as { code?: string };
  return code === "EMFILE" || code === "ENFILE";
}
