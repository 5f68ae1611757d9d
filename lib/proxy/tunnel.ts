/** A tunnel: bytes copied between two sockets, both ways, until both ways have ended. */
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

/** Gets the events of a tunnel. */
export interface TunnelObserver {
  /** Bytes from that side have been written to the other. */
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
  /** Sent to the client first; not counted as bytes of the tunnel. */
  readonly answer: Uint8Array;
  /** From the client, for the upstream. */
  readonly received: Uint8Array;
  /** The read from the client that is under way, if one is. */
  readonly next: ReadUnderWay | undefined;
  /** Holds `received`; the tunnel may use it once that has been written. */
  readonly buffer: Uint8Array<ArrayBuffer>;
}

/** A read of this many bytes is part of a bulk transfer. */
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
    // Small parts are sent on at once.
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

  /** Whether it has been cut, or both sides have ended, and it only has to close. */
  get isOver(): boolean {
    return this.#end !== undefined || this.#closed;
  }

  /** Ends the tunnel from our side, at once. */
  cut(end: TunnelEnd["end"]): void {
    this.#end ??= { endedBy: "proxy", end };
    this.#close();
  }

  /** Time since the last byte, as precise as the calls are frequent. */
  quietMs(nowMs: number): number {
    const progress = this.bytesUp + this.bytesDown - this.#directionsOpen;
    if (progress !== this.#progressSeen) {
      this.#progressSeen = progress;
      this.#progressSeenMs = nowMs;
    }
    return nowMs - this.#progressSeenMs;
  }

  /** Cuts the tunnel if it has been silent for too long. Call it often. */
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

  /** Lets the kernel detect a peer that vanished; a short tunnel does not need it. */
  #keepAlive(): void {
    try {
      this.#sockets.client.setKeepAlive(true);
      this.#sockets.upstream.setKeepAlive(true);
      this.#isKeptAlive = true;
    } catch {
      // Deno cannot set it during a write; until then the kernel detects the loss by that write.
    }
  }

  /** Copies one way until `from` ends, then passes the end on. Never rejects. */
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
        // Awaited here and not in a function of its own, which would cost one more promise per
        // round trip, and a waiting frame per idle tunnel.
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
      // What a side had sent before its reset can still be read: a side is gone for good only
      // when reading from it fails.
      if (acting === from) this.#close();
      else targetIsGone = !this.#closed;
    } finally {
      this.#directionsOpen--;
      // Not a buffer that a read still uses.
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
    // A side that has sent its end and refuses more data has closed normally.
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

/** Data that can no longer be delivered is read into this one buffer. */
const DISCARD = new Uint8Array(64 * 1024);
/** How long to read on for a side that has been sent everything, but may not have received it yet. */
const DISCARD_MS = 1_000;
/** Pause between two discarded reads: a side that sends without end must not cost a core. */
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
    // This side is gone too, or the tunnel has been closed.
  }
}
