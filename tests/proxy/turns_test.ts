import { assertGreater, assertLess } from "@std/assert";
import { Tunnel } from "../../lib/proxy/tunnel.ts";
import { test } from "../harness/test.ts";

const READS = 1_000;

/** A socket that is always ready: each read fills its buffer, until they are used up. */
function readySocket(reads: number): Deno.TcpConn {
  let left = reads;
  const socket = {
    read: (buffer: Uint8Array) => Promise.resolve(left-- > 0 ? buffer.length : null),
    write: (bytes: Uint8Array) => Promise.resolve(bytes.length),
    closeWrite: () => Promise.resolve(),
    close() {},
    setNoDelay() {},
  };
  return socket as unknown as Deno.TcpConn;
}

/** Downloads through a tunnel, and resolves at its end. */
function download(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const limits = { idleTimeoutMs: 0, halfCloseTimeoutMs: 0 };
  const observer = { onBytes() {}, onEnd: () => resolve() };
  const tunnel = new Tunnel(readySocket(0), readySocket(READS), limits, observer);
  const nothing = new Uint8Array(0);
  tunnel.start({ answer: nothing, received: nothing, next: undefined, buffer: new Uint8Array(1) });
  return promise;
}

/** How many turns everything else gets from the event loop while these go on. */
async function turnsDuring(downloads: readonly Promise<void>[]): Promise<number> {
  let areOver = false;
  const over = Promise.all(downloads).then(() => areOver = true);
  let turns = 0;
  for (; !areOver; turns++) await new Promise((resolve) => setImmediate(resolve));
  await over;
  return turns;
}

test("while several tunnels carry bulk, everything else gets a turn after each large read", async () => {
  const turns = await turnsDuring([download(), download(), download()]);
  assertGreater(turns, READS / 2);
});

test("a tunnel that carries bulk alone does not wait for turns", async () => {
  const turns = await turnsDuring([download()]);
  assertLess(turns, 10);
});
