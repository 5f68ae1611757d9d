/** What a client sends before its tunnel is up: one buffer, and at most one read into it at a time. */
import { MAX_HEAD_BYTES } from "../protocol/connect_request.ts";
import { firstBuffer } from "./buffers.ts";
import type { ReadUnderWay } from "./tunnel.ts";

const NOTHING = new Uint8Array(0);

/** The bytes of one client up to its tunnel. */
export class EarlyBytes {
  readonly #client: Deno.TcpConn;
  /** The first `#filled` bytes are valid. Most heads fit into the first buffer. */
  #buffer = firstBuffer();
  #filled = 0;
  /** The read whose bytes have not been counted yet. */
  #next: Promise<number | null> | undefined;

  constructor(client: Deno.TcpConn) {
    this.#client = client;
  }

  /** Whether the client has sent nothing so far. */
  get isEmpty(): boolean {
    return this.#filled === 0;
  }

  /** All that has been received so far, from the first byte on. */
  get received(): Uint8Array {
    return this.#buffer.subarray(0, this.#filled);
  }

  /**
   * Reads what comes next. Its caller awaits it and then calls {@linkcode add}: a promise less for
   * each connection than a function that does both.
   *
   * @returns The number of bytes; `null` at the end of the stream.
   * @throws The error of the socket.
   */
  read(): Promise<number | null> {
    if (this.#filled === this.#buffer.length) {
      const larger = new Uint8Array(Math.min(this.#buffer.length * 4, MAX_HEAD_BYTES));
      larger.set(this.#buffer);
      this.#buffer = larger;
    }
    return this.#client.read(this.#room());
  }

  /** Counts bytes that have been read. */
  add(count: number): void {
    this.#filled += count;
  }

  /**
   * Reads on while `mayGoOn` allows it, so that a reset is noticed. The read that is under way when
   * it no longer does belongs to the tunnel, as does the end of the stream. Does nothing while such
   * a read is under way, or when the buffer is full.
   *
   * @throws The error of the socket.
   */
  async readAhead(mayGoOn: () => boolean): Promise<void> {
    while (this.#next === undefined && this.#filled < MAX_HEAD_BYTES) {
      this.#next = this.read();
      const count = await this.#next;
      if (!mayGoOn() || count === null) return;
      this.#next = undefined;
      this.#filled += count;
    }
  }

  /** Hands over to the tunnel: the bytes after the head, the read under way, the buffer. */
  handOver(
    headBytes: number,
  ): { received: Uint8Array; next: ReadUnderWay | undefined; buffer: Uint8Array<ArrayBuffer> } {
    return {
      // A view, even of nothing, would be held as long as the tunnel is up.
      received: this.#filled === headBytes
        ? NOTHING
        : this.#buffer.subarray(headBytes, this.#filled),
      next: this.#next && { count: this.#next, room: this.#room() },
      buffer: this.#buffer,
    };
  }

  /** What is free after the bytes that have been counted. */
  #room(): Uint8Array<ArrayBuffer> {
    return this.#filled === 0 ? this.#buffer : this.#buffer.subarray(this.#filled);
  }
}
