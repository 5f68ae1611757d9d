/** Two sockets made into one: bytes copied both ways until both ways have ended. */
import { bufferAfter, firstBuffer, giveBack } from "./buffers.ts";
import { isReset, writeAll } from "./sockets.ts";

/** One end of a tunnel. */
export type Side = "client" | "upstream";

/** Why a tunnel is over. */
export interface TunnelEnd {
  readonly endedBy: Side | "proxy";
  readonly end:
    | "eof"
    | "reset"
    | "error"
    | "idle"
    | "half_close_timeout"
    | "age"
    | "upstream_down"
    | "drain";
}

/** Limits of silence in milliseconds; 0 is none. */
export interface TunnelLimits {
  readonly idleTimeoutMs: number;
  readonly halfCloseTimeoutMs: number;
}

/** Who is told of a tunnel. */
export interface TunnelObserver {
  /** Bytes of that side have gone out at the other. */
  onBytes(from: Side, count: number): void;
  /** It is over, and both sockets are closed. */
  onEnd(end: TunnelEnd): void;
}

/** A read that has begun, and what it reads into. */
export interface ReadUnderWay {
  readonly count: Promise<number | null>;
  readonly room: Uint8Array;
}

/** What has happened between client and proxy before there was a tunnel. */
export interface TunnelStart {
  /** Sent to the client in front of all else; it does not count as the tunnel's. */
  readonly answer: Uint8Array;
  /** From the client, for the upstream. */
  readonly received: Uint8Array;
  /** The read from the client that is under way, if one is. */
  readonly next: ReadUnderWay | undefined;
  /** Holds what has been received; for the tunnel to use once that has gone out. */
  readonly buffer: Uint8Array<ArrayBuffer>;
}

/** A read of so many bytes is part of a bulk transfer. */
const BULK_BYTES = 64 * 1024;
/** The tunnel whose bulk transfer went on last. */
let lastBulk: Tunnel | undefined;

/** A tunnel between two connected sockets, which it owns from then on. */
export class Tunnel {
  readonly #sockets: Readonly<Record<Side, Deno.TcpConn>>;
  readonly #limits: TunnelLimits;
  readonly #observer: TunnelObserver;
  /** Bytes that each side has sent and the other's socket has taken. */
  readonly #sentBytes: Record<Side, number> = { client: 0, upstream: 0 };
  /** The sides that have ended their stream, the first one first. */
  readonly #eofs: Side[] = [];
  #directionsOpen = 2;
  #pumpsRunning = 2;
  #end: TunnelEnd | undefined;
  #isKeptAlive = false;
  #closed = false;
  #progressSeen = NaN;
  #progressSeenMs = 0;

  constructor(
    client: Deno.TcpConn,
    upstream: Deno.TcpConn,
    limits: TunnelLimits,
    observer: TunnelObserver,
  ) {
    this.#sockets = { client, upstream };
    this.#limits = limits;
    this.#observer = observer;
    // What has come in small parts goes out in small parts, at once.
    client.setNoDelay(true);
    upstream.setNoDelay(true);
  }

  /** From client to upstream. */
  get bytesUp(): number {
    return this.#sentBytes.client;
  }

  /** From upstream to client. */
  get bytesDown(): number {
    return this.#sentBytes.upstream;
  }

  /** Copies until both directions have ended or the tunnel is cut; then both sockets are closed. */
  start({ answer, received, next, buffer }: TunnelStart): void {
    void this.#pump("client", "upstream", received, buffer, next);
    void this.#pump("upstream", "client", answer, firstBuffer());
  }

  /** Whether it has been cut, or both sides have ended: what is left is to close. */
  get isOver(): boolean {
    return this.#end !== undefined || this.#closed;
  }

  /** Ends the tunnel from our side, at once. */
  cut(end: TunnelEnd["end"]): void {
    this.#end ??= { endedBy: "proxy", end };
    this.#close();
  }

  /** How long no byte has gone through, as precisely as this is called often. */
  quietMs(nowMs: number): number {
    const progress = this.bytesUp + this.bytesDown - this.#directionsOpen;
    if (progress !== this.#progressSeen) {
      this.#progressSeen = progress;
      this.#progressSeenMs = nowMs;
    }
    return nowMs - this.#progressSeenMs;
  }

  /** Cuts the tunnel when it has been silent for too long. To be called often. */
  checkSilence(nowMs: number): void {
    if (!this.#isKeptAlive) this.#keepAlive();
    const { idleTimeoutMs, halfCloseTimeoutMs } = this.#limits;
    const quietMs = this.quietMs(nowMs);
    if (this.#directionsOpen === 0 && quietMs >= DISCARD_MS) {
      this.#close();
    } else if (
      this.#directionsOpen < 2 && halfCloseTimeoutMs > 0 && quietMs >= halfCloseTimeoutMs
    ) {
      this.cut("half_close_timeout");
    } else if (idleTimeoutMs > 0 && quietMs >= idleTimeoutMs) {
      this.cut("idle");
    }
  }

  /** Has the kernel find out a peer that has vanished without a word: needless for a short tunnel. */
  #keepAlive(): void {
    try {
      this.#sockets.client.setKeepAlive(true);
      this.#sockets.upstream.setKeepAlive(true);

      this.#isKeptAlive = true;
    } catch {
      // Deno sets nothing while a write waits; meanwhile the kernel finds it out by that.
    }
  }

  /** Copies one way until `from` ends, then sends the end on. Never rejects. */
  async #pump(
    from: Side,
    to: Side,
    first: Uint8Array,
    buffer: Uint8Array<ArrayBuffer>,
    next?: ReadUnderWay,
  ): Promise<void> {
    const source = this.#sockets[from];
    const target = this.#sockets[to];
    let acting = to;
    let targetIsGone = false;
    try {
      if (first.length > 0) await writeAll(target, first);
      if (from === "client") this.#count(from, first.length);
      acting = from;
      for (;;) {
        // Awaited here and not in a function of its own: it would cost a round trip a
        // promise more, and an idle tunnel the frame of a function that waits.
        const count = await (next === undefined ? source.read(buffer) : next.count);
        if (count === null) break;
        const chunk = (next === undefined ? buffer : next.room).subarray(0, count);
        next = undefined;
        acting = to;
        const sent = await target.write(chunk);
        this.#count(from, sent);
        if (sent < chunk.length) {
          await writeAll(target, chunk.subarray(sent), (count) => this.#count(from, count));
        }
        acting = from;
        // Bulk transfers are always ready: together they would keep all others waiting.
        if (count >= BULK_BYTES && lastBulk !== this) {
          lastBulk = this;
          await turnOfOthers();
        }
        buffer = bufferAfter(buffer, count);
      }
      this.#eofs.push(from);
      acting = to;
      await target.closeWrite();
    } catch (error) {
      this.#fail(acting, error);
      // What a reset side had sent before can still be read: only the side that
      // fails to be read is gone for good.
      if (acting === from) this.#close();
      else targetIsGone = !this.#closed;
    } finally {
      this.#directionsOpen--;
      // Not what is still being read into.
      if (next === undefined) giveBack(buffer);
    }
    if (targetIsGone) await discard(source);
    if (--this.#pumpsRunning > 0) return;
    this.#close();
    this.#observer.onEnd(this.#end ?? { endedBy: this.#eofs[0] ?? "proxy", end: "eof" });
  }

  #count(from: Side, bytes: number): void {
    this.#sentBytes[from] += bytes;
    this.#observer.onBytes(from, bytes);
  }

  #fail(side: Side, error: unknown): void {
    // A side that has ended and is written to no more has just closed, all in order.
    const closedInOrder = this.#eofs.includes(side);
    if (!closedInOrder) this.#end ??= { endedBy: side, end: isReset(error) ? "reset" : "error" };
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (lastBulk === this) lastBulk = undefined;
    this.#sockets.client.close();
    this.#sockets.upstream.close();
  }
}

/** Resolves once the event loop has looked at what else is ready. */
function turnOfOthers(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

/** What has nowhere to go any more ends here, all in one place. */
const DISCARD = new Uint8Array(64 * 1024);
/** How long to read on for a side that has been sent everything, but may not have received it yet. */
const DISCARD_MS = 1_000;
/** Between two reads of what nobody gets: a side that sends without end must not cost a core. */
const DISCARD_PAUSE_MS = 10;

/**
 * Reads what a side still sends to one that is gone (RFC 9110 §9.3.6): to close now, or with bytes
 * unread, would reset the side and lose what it has not yet received.
 */
async function discard(from: Deno.TcpConn): Promise<void> {
  try {
    while (await from.read(DISCARD) !== null) {
      await new Promise((resolve) => setTimeout(resolve, DISCARD_PAUSE_MS));
    }
  } catch {
    // It is gone, too, or the tunnel has been closed.
  }
}
