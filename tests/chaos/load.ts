/** A steady load of clients that check each byte, among them some that vanish. */
import { assertEquals } from "@std/assert";
import type { Authority } from "../../lib/protocol/authority.ts";
import { CONNECT, connectResettable, ESTABLISHED, Peer } from "../harness/peers.ts";
import { Pattern, pause, pick, type Random, randomFrom } from "../harness/random.ts";

/** What has become of a client. */
export interface Outcome {
  readonly fromMs: number;
  readonly toMs: number;
  /** Which one it has reached, if that one has said so. */
  readonly upstream?: number | undefined;
  readonly end: "complete" | "cut" | "refused" | "vanished";
  /** What it has sent, and has had back if it is complete. */
  readonly bytes: number;
  readonly status?: number;
}

/** Two clients that are mixed up show: each begins somewhere else in it. */
const pattern = new Pattern(4);
/** Far more than any client takes: one that hangs is cut then, which fails. */
const LIMIT_MS = 45_000;

/** Keeps that many clients going, one after the other, for that long. */
export async function load(
  proxy: Authority,
  seed: number,
  clients: number,
  durationMs: number,
): Promise<Outcome[]> {
  const endMs = performance.now() + durationMs;
  const outcomes: Outcome[] = [];
  const oneAfterTheOther = async (_: unknown, index: number) => {
    const random = randomFrom(seed + index);
    while (performance.now() < endMs) {
      const fromMs = performance.now();
      const outcome = random(5) === 0 ? await vanish(proxy, random) : await transfer(proxy, random);
      outcomes.push({ ...outcome, fromMs, toMs: performance.now() });
      await pause(random(30));
    }
  };
  await Promise.all(Array.from({ length: clients }, oneAfterTheOther));
  return outcomes;
}

type Result = Omit<Outcome, "fromMs" | "toMs">;

/** Sends a stream and expects it back; a byte that is not the right one fails the test. */
async function transfer(proxy: Authority, random: Random): Promise<Result> {
  const bytes = 1 + random(pick(random, [1, 1024, 64 * 1024, 512 * 1024]));
  const start = random(100_000);
  using peer = await connect(proxy);
  const timer = setTimeout(() => peer.close(), LIMIT_MS);
  let upstream: number | undefined;
  try {
    await peer.write(CONNECT);
    const answer = await peer.readText(ESTABLISHED.length);
    const status = Number(answer.slice(9, 12));
    if (status !== 200) {
      await peer.readText();
      return { end: status > 0 ? "refused" : "cut", bytes: 0, status };
    }
    assertEquals(answer, ESTABLISHED);
    const greeting = await peer.readText(1);
    if (greeting === "") return { end: "cut", bytes: 0 };
    upstream = Number(greeting);
    const writing = writeParts(peer, random, start, bytes).then(() => true, () => false);
    const received = await readBack(peer, start);
    const end = await writing && received === bytes ? "complete" : "cut";
    return { end, bytes, upstream };
  } catch (error) {
    if (!isOfTheNetwork(error)) throw error;
    return { end: "cut", bytes, upstream };
  } finally {
    clearTimeout(timer);
  }
}

async function writeParts(
  peer: Peer,
  random: Random,
  start: number,
  bytes: number,
): Promise<void> {
  for (let sent = 0; sent < bytes;) {
    const part = Math.min(1 + random(32 * 1024), bytes - sent);
    await peer.write(pattern.at(start + sent, part));
    sent += part;
    if (random(4) === 0) await pause(random(20));
  }
  await peer.closeWrite();
}

/** @returns How many bytes came before the end. */
async function readBack(peer: Peer, start: number): Promise<number> {
  const buffer = new Uint8Array(16 * 1024);
  let offset = start;
  for (;;) {
    const count = await peer.conn.read(buffer).catch(() => null);
    if (count === null) return offset - start;
    offset = pattern.check(offset, buffer.subarray(0, count));
  }
}

/** Leaves without a word, somewhere between its first byte and the middle of a transfer. */
async function vanish(proxy: Authority, random: Random): Promise<Result> {
  const sent = pick(random, ["", "CONNECT api:4", CONNECT, CONNECT + "x".repeat(random(4 * 1024))]);
  const waitMs = random(20);
  if (random(2) === 0) {
    const socket = await connectResettable(proxy);
    const closed = new Promise((resolve) => socket.once("close", resolve));
    if (sent !== "") socket.write(sent);
    await pause(waitMs);
    socket.resetAndDestroy();
    await closed;
  } else {
    using peer = await connect(proxy);
    await peer.write(sent).catch(() => {});
    await pause(waitMs);
  }
  return { end: "vanished", bytes: 0 };
}

async function connect({ host, port }: Authority): Promise<Peer> {
  return new Peer(await Deno.connect({ hostname: host, port }));
}

function isOfTheNetwork(error: unknown): boolean {
  const { ConnectionReset, BrokenPipe, NotConnected, Interrupted, BadResource } = Deno.errors;
  return [ConnectionReset, BrokenPipe, NotConnected, Interrupted, BadResource]
    .some((kind) => error instanceof kind);
}
