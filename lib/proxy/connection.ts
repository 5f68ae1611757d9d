/** One client, from its first byte to its log line. */
import { formatAddress } from "../protocol/address.ts";
import { type Authority, formatAuthority } from "../protocol/authority.ts";
import type { Credentials } from "../protocol/credentials.ts";
import type { Dial, Dialled } from "./dial.ts";
import { DialFailure } from "./dial_failure.ts";
import { EarlyBytes } from "./early_bytes.ts";
import {
  type ConnectRequest,
  ConnectRequestParser,
  isHeadRequest,
} from "../protocol/connect_request.ts";
import type { Linked, LinkedList } from "./linked_list.ts";
import type { Policy } from "../protocol/policy.ts";
import { Refusal, type RefusalKind, refusalResponse, REFUSALS } from "../protocol/refusal.ts";
import { isReset, writeAll } from "./sockets.ts";
import {
  type Side,
  Tunnel,
  type TunnelEnd,
  type TunnelLimits,
  type TunnelObserver,
} from "./tunnel.ts";
import type { Upstreams } from "./upstreams.ts";
import {
  type ClientFields,
  tenths,
  type TunnelInfo,
  TunnelRecord,
  type TunnelRecordContext,
} from "./tunnel_record.ts";

/** What all connections of a proxy share. Times in milliseconds; 0 is no limit. */
export interface ConnectionContext extends TunnelRecordContext {
  readonly headerTimeoutMs: number;
  readonly policy: Policy;
  /** `undefined`: clients need no secret. */
  readonly credentials: Credentials | undefined;
  /** Whether the request target decides nothing: then an IPv6 address needs no brackets. */
  readonly ignoresTarget: boolean;
  readonly upstreams: Upstreams;
  readonly maxTunnelAgeMs: number;
  readonly tunnelLimits: TunnelLimits;
  /** Called once a secret has proven whose client it is. @returns Why it is not to be served, if so. */
  readonly onPeer: (connection: Connection, peer: string) => Refusal | undefined;
  /** Called each time a connection enters its next phase. */
  readonly onPhase: (connection: Connection) => void;
}

/** The phases of a connection. */
export type Phase = "head" | "dial" | "tunnel" | "refused" | "closed";

/** What may follow what. Anything else is a bug, and shows where it is made. */
const NEXT: Readonly<Record<Phase, readonly Phase[]>> = {
  head: ["dial", "refused", "closed"],
  dial: ["tunnel", "refused", "closed"],
  tunnel: ["closed"],
  refused: ["closed"],
  closed: [],
};

/** The limit that each of these refusals is for. */
const LIMITS: Partial<Record<RefusalKind, string>> = {
  too_many_connections: "max_connections",
  too_many_from_source: "max_connections_per_source",
  local_shortage: "local_shortage",
};

/** Ends a connection without an answer: the client has left, or has sent nothing. */
class Unanswered extends Error {
  constructor(readonly how: TunnelEnd) {
    super();
  }
}

const ESTABLISHED = new TextEncoder().encode("HTTP/1.1 200 Connection established\r\n\r\n");
/** A tunnel is quiet when it has carried no byte for this long. */
const QUIET_MS = 1_000;
/** How far the maximum age of tunnels varies, so that they do not end together. */
const AGE_SPREAD = 0.1;
/** How long a refused client may take to read the answer and close. */
const LINGER_MS = 5_000;
/**
 * How long the answer to a wrong secret waits, so that guessing is slow, and how long a client that
 * is refused unread may take to send its method. Neither holds a slot then.
 */
const PAUSE_MS = 1_000;
/** Everything that refused clients still send is read into this one buffer. */
const DISCARD = new Uint8Array(16 * 1024);

/** One client of the proxy. */
export class Connection implements Linked<Connection>, TunnelObserver {
  /** The client's normalised address. */
  readonly source: string;
  /** Whom it counts for in the limit of one source; `undefined` while that is not known. */
  countedFor: bigint | undefined;
  list: LinkedList<Connection> | undefined;
  previous: Connection | undefined;
  next: Connection | undefined;
  readonly acceptedMs = performance.now();
  /** When it got its slot; from then on it is read. */
  enteredMs = this.acceptedMs;
  readonly #id: number;
  readonly #client: Deno.TcpConn;
  readonly #context: ConnectionContext;
  readonly #sourcePort: number;
  readonly #maxAgeMs: number;
  #dial: Dial | undefined;
  #phase: Phase = "head";
  #phaseSinceMs = this.acceptedMs;
  #lingers = true;
  readonly #early: EarlyBytes;
  #authority: Authority | undefined;
  #peer: string | undefined;
  /** Ends the pause before an answer. */
  #endPause: (() => void) | undefined;
  #tunnel: Tunnel | undefined;
  #record: TunnelRecord | undefined;

  constructor(id: number, client: Deno.TcpConn, source: string, context: ConnectionContext) {
    this.#id = id;
    this.#client = client;
    this.#early = new EarlyBytes(client);
    this.source = source;
    this.#sourcePort = (client.remoteAddr as Deno.NetAddr).port;
    this.#context = context;
    // Until it has shown a secret, which counts more than its address.
    this.#peer = context.policy.peerOf(source);
    this.#maxAgeMs = context.maxTunnelAgeMs * (1 + AGE_SPREAD * (2 * Math.random() - 1));
  }

  /** Which of the upstreams its tunnel goes to; `undefined` while it has none. */
  get upstreamIndex(): number | undefined {
    return this.#phase === "tunnel" ? this.#record!.origin.candidate.index : undefined;
  }

  /** When its tunnel was opened; `NaN` while it has none. */
  get openedMs(): number {
    return this.#phase === "tunnel" ? this.#phaseSinceMs : NaN;
  }

  /** Its number: a client that was accepted later has a larger one. */
  get id(): number {
    return this.#id;
  }

  /** The current phase. */
  get phase(): Phase {
    return this.#phase;
  }

  /**
   * Serves the client until it has a tunnel, which then runs by itself, or an answer, or has left.
   * The phase shows when its sockets are closed. Never rejects.
   *
   * Others end a connection at any time ({@linkcode cut}, {@linkcode stopWaiting}, {@linkcode tick}):
   * so each step checks the phase after every wait.
   *
   * @param refusal Why the client is not to be served at all, if so.
   */
  async run(refusal?: Refusal): Promise<void> {
    try {
      if (refusal !== undefined) throw refusal;
      const request = await this.#readHead();
      if (request === undefined || this.#phase !== "dial") return;
      const { credentials } = this.#context;
      if (credentials !== undefined) {
        const peer = await credentials.verify(request.proxyAuthorization);
        if (this.#phase !== "dial") return;
        this.#admitPeer(peer, request);
      }
      this.#context.log("debug", "dialling", () => this.logFields());
      this.#dial = this.#context.upstreams.dial(request.authority);
      const dialled = await this.#dial.connected;
      if (this.#phase === "dial") this.#startTunnel(dialled, request.headBytes);
      else dialled.conn.close();
    } catch (error) {
      if (this.#phase === "head" || this.#phase === "dial") await this.#end(error);
    }
  }

  /** Applies the timeouts. Call it often. */
  tick(nowMs: number): void {
    const { headerTimeoutMs } = this.#context;
    const phaseMs = nowMs - this.#phaseSinceMs;
    if (this.#phase === "head" && headerTimeoutMs > 0 && phaseMs >= headerTimeoutMs) {
      this.#stop(new Refusal("head_timeout"), "idle");
    } else if (this.#phase === "dial") {
      this.#dial?.tick(nowMs);
      void this.#readAhead();
    } else if (this.#phase === "tunnel") {
      this.#tunnel?.checkSilence(nowMs);
      this.#record!.tick(nowMs, this.#tunnel!);
      if (this.#maxAgeMs > 0 && phaseMs >= this.#maxAgeMs) this.closeIfQuiet(nowMs, "age");
    } else if (this.#phase === "refused") {
      if (phaseMs >= PAUSE_MS) this.#endPause?.();
      if (phaseMs >= LINGER_MS) this.#enter("closed");
    }
  }

  /** What operators see of it while its tunnel is up. */
  describe(nowMs: number): TunnelInfo | undefined {
    return this.#phase === "tunnel" ? this.#record!.describe(nowMs, this.#tunnel!) : undefined;
  }

  /** Closes the tunnel if it is quiet. @returns Whether it did. */
  closeIfQuiet(nowMs: number, end: "age" | "drain"): boolean {
    const isQuiet = this.#phase === "tunnel" && this.isLive &&
      this.#tunnel!.quietMs(nowMs) >= QUIET_MS;
    if (isQuiet) this.#tunnel!.cut(end);
    return isQuiet;
  }

  /** Ends the wait for a request: refused if part of it has arrived, otherwise closed. */
  stopWaiting(refusal: Refusal): void {
    if (this.#phase === "head") {
      this.#stop(refusal, refusal.kind === "draining" ? "drain" : "idle");
    }
  }

  /** Whether it is served, or waits to be: not if its tunnel is only closing. */
  get isLive(): boolean {
    if (this.#phase === "tunnel") return !this.#tunnel!.isOver;
    return this.#phase === "head" || this.#phase === "dial";
  }

  /** Ends the connection at once, in any phase. */
  cut(end: "drain" | "error" | "upstream_down"): void {
    this.#lingers = false;
    this.#endPause?.();
    if (this.#phase === "tunnel") this.#tunnel!.cut(end);
    else if (this.#phase === "refused") this.#enter("closed");
    else if (this.#phase !== "closed") this.#stop(new Refusal("draining"), end);
  }

  /** Ends a connection before its tunnel; a client that has sent nothing gets no answer. */
  #stop(refusal: Refusal, end: TunnelEnd["end"]): void {
    const reason = this.#early.isEmpty ? new Unanswered({ endedBy: "proxy", end }) : refusal;
    this.#dial?.stop(reason);
    void this.#end(reason);
  }

  /**
   * Reads the request head. The last byte moves the connection to its next phase, so it never counts
   * as waiting once its request has arrived.
   *
   * @returns `undefined` when it was ended meanwhile.
   */
  async #readHead(): Promise<ConnectRequest | undefined> {
    const parser = new ConnectRequestParser(this.#context.ignoresTarget);
    for (;;) {
      let count: number | null;
      try {
        count = await this.#early.read();
      } catch (error) {
        throw asUnanswered(error);
      }
      if (this.#phase !== "head") return undefined;
      if (count === null) {
        throw this.#early.isEmpty
          ? new Unanswered({ endedBy: "client", end: "eof" })
          : new Refusal("malformed_head", "it ended before its blank line");
      }
      this.#early.add(count);
      const request = parser.parse(this.#early.received);
      if (request === undefined) continue;
      this.#authority = request.authority;
      // Whether the client may use the proxy at all comes first.
      if (this.#context.credentials === undefined) this.#checkAuthority(request);
      this.#enter("dial");
      return request;
    }
  }

  /** @throws {Refusal} When the client may not ask for that. */
  #checkAuthority({ authority }: ConnectRequest): void {
    if (!this.#context.policy.authorityAllowed(authority)) throw new Refusal("authority_denied");
  }

  /** @throws {Refusal} When the peer has all its slots, or may not ask for that. */
  #admitPeer(peer: string, request: ConnectRequest): void {
    this.#peer = peer;
    const refusal = this.#context.onPeer(this, peer);
    if (refusal !== undefined) throw refusal;
    this.#checkAuthority(request);
  }

  /** Reads on during a dial that takes long: a client that resets ends it. */
  async #readAhead(): Promise<void> {
    try {
      await this.#early.readAhead(() => this.#phase === "dial");
    } catch (error) {
      if (this.#phase !== "dial") return;
      this.#dial?.stop(error);
      await this.#end(asUnanswered(error));
    }
  }

  #startTunnel({ conn, candidate }: Dialled, headBytes: number): void {
    this.#dial = undefined;
    const nowMs = performance.now();
    let local: string;
    try {
      local = formatAddress(conn.localAddr as Deno.NetAddr);
      this.#tunnel = new Tunnel(this.#client, conn, this.#context.tunnelLimits, this);
    } catch (error) {
      // One of the two has been reset just now.
      conn.close();
      throw isReset(error) ? new Refusal("upstream_refused") : error;
    }
    const connectMs = nowMs - this.#phaseSinceMs;
    const origin = { peer: this.#peer, candidate, local, connectMs, sinceMs: nowMs };
    this.#record = new TunnelRecord(this.#context, this, origin);
    this.#enter("tunnel", nowMs);
    this.#tunnel.start({ answer: ESTABLISHED, ...this.#early.handOver(headBytes) });
  }

  /** For its tunnel. */
  onBytes(from: Side, count: number): void {
    this.#record!.addBytes(from, count);
  }

  /** For its tunnel. */
  onEnd(end: TunnelEnd): void {
    const nowMs = performance.now();
    this.#record!.end(nowMs, end, this.#tunnel!);
    this.#enter("closed", nowMs);
  }

  /** Ends a connection without a tunnel, with an answer if the client is there. Never rejects. */
  async #end(reason: unknown): Promise<void> {
    if (reason instanceof Unanswered) this.#logUnanswered(reason);
    else await this.#refuse(reason);
    // Its time to read the answer may be over already.
    if (this.#phase !== "closed") this.#enter("closed");
  }

  /** Refuses, and closes only once the client has read the answer or its time is up. */
  async #refuse(error: unknown): Promise<void> {
    const refusal = error instanceof Refusal ? error : new Refusal("internal_error");
    const { status, error: type, level } = REFUSALS[refusal.kind];
    this.#enter("refused");
    this.#context.metrics.add("requests_total", 1, String(status));
    this.#context.metrics.add("refusals_total", 1, type);
    const limit = LIMITS[refusal.kind];
    if (limit !== undefined) this.#context.metrics.add("limit_refusals_total", 1, limit);
    this.#context.log(level, "refused", {
      ...this.logFields(),
      status,
      error: type,
      reason: refusal.message,
      cause: refusal === error ? undefined : String(error),
      ...(refusal instanceof DialFailure ? refusal.logFields : {}),
    });
    const pause = new Promise<void>((resolve) => this.#endPause = resolve);
    if (refusal.kind === "credentials_wrong") await pause;
    // Only the method says whether the answer may have a body.
    else if (this.#early.isEmpty) {
      const first = this.#early.read().then((count) => this.#early.add(count ?? 0), () => {});
      await Promise.race([pause, first]);
    }
    try {
      await writeAll(
        this.#client,
        refusalResponse(refusal, !isHeadRequest(this.#early.received)),
      );
      await this.#client.closeWrite();
      while (this.#lingers && await this.#client.read(DISCARD) !== null);
    } catch {
      // The client does not want the answer, or took too long.
    }
  }

  #logUnanswered({ how }: Unanswered): void {
    const level = this.#early.isEmpty ? "debug" : "info";
    this.#context.log(level, "no tunnel", { ...this.logFields(), ...how });
  }

  /** What its log lines say of it. */
  logFields(nowMs = performance.now()): ClientFields {
    return {
      id: this.#id,
      source: this.source,
      sourcePort: this.#sourcePort,
      peer: this.#peer,
      authority: this.#authority && formatAuthority(this.#authority),
      durationMs: tenths(nowMs - this.acceptedMs),
    };
  }

  #enter(phase: Phase, nowMs = performance.now()): void {
    if (!NEXT[this.#phase].includes(phase)) {
      throw new Error(`connection ${this.#id}: ${phase} after ${this.#phase}`);
    }
    this.#phase = phase;
    this.#phaseSinceMs = nowMs;
    // A tunnel owns both sockets and has closed them by itself.
    if (phase === "closed" && this.#tunnel === undefined) this.#client.close();
    this.#context.onPhase(this);
  }
}

function asUnanswered(error: unknown): Unanswered {
  return new Unanswered({ endedBy: "client", end: isReset(error) ? "reset" : "error" });
}
