/** A tunnel holds one buffer a direction, however fast one side sends and however slow the other reads. */
import { assertEquals, assertLessOrEqual } from "@std/assert";
import { firstBuffer } from "../../lib/proxy/buffers.ts";
import { Tunnel, type TunnelEnd } from "../../lib/proxy/tunnel.ts";
import { test } from "../harness/test.ts";

const MOST_BYTES = 256 * 1024;

/** A socket that always has more to read, and takes what is written when it is told to. */
class Endless {
  reads = 0;
  largest = 0;
  #write = Promise.withResolvers<void>();
  #taken = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<never>();

  /** @param sends Without it, there is nothing to read. */
  constructor(readonly sends: boolean) {
    this.#closed.promise.catch(() => {});
  }

  get conn(): Deno.TcpConn {
    return this as unknown as Deno.TcpConn;
  }

  /** Resolves once the tunnel is writing. */
  get writing(): Promise<void> {
    return this.#write.promise;
  }

  /** Lets the write go. */
  take(): void {
    this.#write = Promise.withResolvers();
    this.#taken.resolve();
    this.#taken = Promise.withResolvers();
  }

  async read(buffer: Uint8Array): Promise<number> {
    if (!this.sends) return await this.#closed.promise;
    this.reads++;
    this.largest = Math.max(this.largest, buffer.length);
    return buffer.length;
  }

  async write(bytes: Uint8Array): Promise<number> {
    this.#write.resolve();
    await Promise.race([this.#taken.promise, this.#closed.promise]);
    return bytes.length;
  }

  closeWrite(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {
    this.#closed.reject(new Deno.errors.Interrupted());
  }

  setKeepAlive(): void {}

  setNoDelay(): void {}
}

for (const from of ["client", "upstream"] as const) {
  test(`tunnel reads on only when what the ${from} has sent has gone: one buffer`, async () => {
    const sender = new Endless(true);
    const reader = new Endless(false);
    const [client, upstream] = from === "client" ? [sender, reader] : [reader, sender];
    const limits = { idleTimeoutMs: 0, halfCloseTimeoutMs: 0 };
    const { promise: end, resolve: onEnd } = Promise.withResolvers<TunnelEnd>();
    const tunnel = new Tunnel(client.conn, upstream.conn, limits, { onBytes: () => {}, onEnd });
    const [buffer, none] = [firstBuffer(), new Uint8Array()];
    tunnel.start({ answer: none, received: none, next: undefined, buffer });
    for (let buffers = 1; buffers <= 50; buffers++) {
      await reader.writing;
      // All that is ready has its turn: a second read would have come by now.
      await new Promise((resolve) => setTimeout(resolve));
      assertEquals(sender.reads, buffers);
      reader.take();
    }
    assertLessOrEqual(sender.largest, MOST_BYTES);
    tunnel.cut("drain");
    await end;
  });
}
