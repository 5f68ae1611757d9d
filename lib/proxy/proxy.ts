/** The listener, the connections that came from it, and their orderly end. */
import { Admission } from "./admission.ts";
import { normalAddress } from "../protocol/address.ts";
import { type Config, peerNames } from "../config/config.ts";
import { Connection, type ConnectionContext } from "./connection.ts";
import type { TunnelInfo } from "./tunnel_record.ts";
import { ConnectionLists } from "./connection_lists.ts";
import { Drain, type Drained } from "./drain.ts";
import { awakeDelay, delay } from "../telemetry/delay.ts";
import { Evacuation } from "./evacuation.ts";
import { LoopLag } from "./loop_lag.ts";
import type { Log } from "../telemetry/log.ts";
import { Metrics } from "../telemetry/metrics.ts";
import { isDescriptorShortage, SpareDescriptors } from "../telemetry/spare_descriptors.ts";
import { Credentials } from "../protocol/credentials.ts";
import { createPolicy, type Policy } from "../protocol/policy.ts";
import { Refusal } from "../protocol/refusal.ts";
import { Room } from "./room.ts";
import { layoutFor, MAX_TICK_INTERVAL_MS, type SharedMemory } from "./shared_memory.ts";
import { sourceKey } from "./source_table.ts";
import { isReset, isSameListener, listenOn } from "./sockets.ts";
import { Upstreams } from "./upstreams.ts";

/** Clients that can be refused at a time when no descriptor is left. */
const SPARE_DESCRIPTORS = 4;
/** The pause after a failed accept is doubled from the first to the last of these. */
const FIRST_ACCEPT_PAUSE_MS = 5, LAST_ACCEPT_PAUSE_MS = 1_000;
/** Refused clients that may still be reading their answer; over that, the oldest go. */
const MAX_LINGERING = 256;
/** A tick that comes this late judges no timeout; the next one does. */
const STANDSTILL_MS = 1_000;
/** The pause before it is checked again whether clients may be accepted. */
const CROWDED_PAUSE_MS = 5;

/** A running proxy: it listens from the constructor on, until {@linkcode Proxy.finished} resolves. */
export class Proxy {
  /** Where it listens. */
  readonly address: Deno.NetAddr;
  /** Resolves once it has been shut down and the last connection has closed. */
  readonly finished: Promise<Drained>;
  readonly #config: Config;
  readonly #log: Log;
  readonly #listeners: readonly Deno.TcpListener[];
  readonly #policy: Policy;
  readonly #peers: readonly string[];
  readonly #context: ConnectionContext;
  readonly #admission: Admission;
  readonly #room: Room;
  readonly #evacuation: Evacuation;
  readonly #shared: SharedMemory;
  readonly #worker: number;
  readonly #metrics: Metrics;
  readonly #lag: LoopLag;
  readonly #spares = new SpareDescriptors(SPARE_DESCRIPTORS);
  readonly #tickIntervalMs: number;
  readonly #tickTimer: ReturnType<typeof setInterval>;
  readonly #connections = new ConnectionLists();
  readonly #listenerClosed = new AbortController();
  readonly #finish = Promise.withResolvers<Drained>();
  /** The address of the last client, and what it is in its normal spelling: most have the same. */
  #lastHostname = "";
  #lastSource = "";
  #isShuttingDown = false;
  #drain: Drain | undefined;
  #lastTickMs = performance.now();
  #isCatchingUp = false;

  /**
   * @param worker Index of this worker among those that share the memory.
   * @param onRoomWanted Calls {@linkcode Proxy.makeRoom} in that worker.
   * @throws {CannotListen} Saying why.
   */
  constructor(
    config: Config,
    log: Log,
    shared: SharedMemory,
    worker = 0,
    onRoomWanted: (worker: number, client: number) => void = () => {},
  ) {
    this.#config = config;
    this.#log = log;
    this.#shared = shared;
    this.#worker = worker;
    this.#metrics = new Metrics(layoutFor(config), shared.metrics[worker]);
    const { host, port } = config;
    this.#listeners = listenOn({ host, port, reusePort: shared.metrics.length > 1 });
    this.address = this.#listeners[0]!.addr as Deno.NetAddr;
    this.finished = this.#finish.promise;
    this.#policy = createPolicy(config.allowFrom, config.allowedAuthorities);
    this.#peers = peerNames(config);
    this.#admission = new Admission(config, shared, worker);
    this.#room = new Room({
      admission: this.#admission,
      connections: this.#connections,
      shared,
      worker,
      onRoomWanted,
      onEntered: () => this.#metrics.add("connections_active", 1),
      closed: this.#listenerClosed.signal,
    });
    const upstreams = new Upstreams({
      authorities: config.upstreams,
      allowedAuthorities: config.allowedAuthorities,
      connectTimeoutMs: config.connectTimeoutMs,
      isSelf: (conn) => isSameListener(this.address, conn),
      log,
      metrics: this.#metrics,
      states: shared.upstreamStates,
    });
    this.#evacuation = new Evacuation(shared.upstreamStates);
    this.#context = {
      headerTimeoutMs: config.headerTimeoutMs,
      maxTunnelAgeMs: config.maxTunnelAgeMs,
      logOpenAfterMs: config.logOpenAfterMs,
      tunnelLimits: {
        idleTimeoutMs: config.idleTimeoutMs,
        halfCloseTimeoutMs: config.halfCloseTimeoutMs,
      },
      policy: this.#policy,
      credentials: config.credentials.length > 0 ? new Credentials(config.credentials) : undefined,
      ignoresTarget: config.upstreams.length > 0 && config.allowedAuthorities.length === 0,
      upstreams,
      log,
      metrics: this.#metrics,
      worker,
      onPeer: (connection, peer) => this.#onPeer(connection, peer),
      onPhase: (connection) => this.#onPhase(connection),
    };
    this.#tickIntervalMs = tickIntervalMs(config);
    Atomics.add(shared.ticks, worker, 1);
    this.#tickTimer = setInterval(() => this.#tick(performance.now()), this.#tickIntervalMs);
    this.#lag = new LoopLag((seconds) => this.#metrics.set("event_loop_lag_seconds", seconds));
    for (const listener of this.#listeners) void this.#accept(listener);
  }

  /** Whether its end has begun. */
  get isShuttingDown(): boolean {
    return this.#isShuttingDown;
  }

  /**
   * Goes on serving new clients for the shutdown delay, then takes no more, and
   * lets live tunnels continue until they end or the drain timeout is over.
   */
  async shutDown(): Promise<void> {
    if (this.#isShuttingDown) return;
    this.#isShuttingDown = true;
    await awakeDelay(this.#config.shutdownDelayMs, this.#listenerClosed.signal);
    this.#startDrain();
  }

  /** The live tunnels of this worker. */
  listTunnels(): TunnelInfo[] {
    const nowMs = performance.now();
    return [...this.#connections.served].flatMap((connection) => connection.describe(nowMs) ?? []);
  }

  /** Takes no new clients and ends all connections at once. */
  cut(end: "drain" | "error" = "drain"): void {
    this.#isShuttingDown = true;
    this.#startDrain().cutAll(end);
  }

  #startDrain(): Drain {
    if (this.#drain !== undefined) return this.#drain;
    this.#drain = new Drain(this.#connections, this.#config.drainTimeoutMs);
    this.#listenerClosed.abort();
    for (const listener of this.#listeners) listener.close();
    for (const connection of this.#connections.arriving) {
      void connection.run(new Refusal("draining"));
    }
    for (const connection of this.#connections.waiting) {
      connection.stopWaiting(new Refusal("draining"));
    }
    this.#finishIfDone();
    return this.#drain;
  }

  async #accept(listener: Deno.TcpListener): Promise<void> {
    let pauseMs = 0;
    for (;;) {
      try {
        while (this.#room.isCrowded) await delay(CROWDED_PAUSE_MS, this.#listenerClosed.signal);
        const client = await listener.accept();
        if (this.#drain === undefined) this.#start(client);
        else client.close();
        pauseMs = 0;
      } catch (error) {
        if (this.#listenerClosed.signal.aborted) return;
        this.#metrics.add("accept_errors_total", 1);
        // A client that has reset while it waited costs the others nothing.
        if (isReset(error)) continue;
        if (isDescriptorShortage(error) && this.#useSpareDescriptor()) continue;
        pauseMs = Math.min(Math.max(FIRST_ACCEPT_PAUSE_MS, pauseMs * 2), LAST_ACCEPT_PAUSE_MS);
        this.#log("warn", "accept failed", { error: String(error), retryMs: pauseMs });
        await delay(pauseMs, this.#listenerClosed.signal);
      }
    }
  }

  /** Frees a descriptor so that a client can at least be refused. @returns Whether it could. */
  #useSpareDescriptor(): boolean {
    if (!this.#spares.isShort) {
      this.#log("warn", "out of descriptors", {
        connections: this.#connections.admittedCount,
        advice: "raise the limit of open files: ulimit -n, LimitNOFILE, or the container runtime's",
      });
    }
    return this.#spares.release();
  }

  /** Has that client leave, and others, as long as clients of any worker look for a slot. */
  makeRoom(client: number): Promise<void> {
    return this.#room.makeRoom(client);
  }

  #start(client: Deno.TcpConn): void {
    const source = this.#sourceOf(client);
    const id = Atomics.add(this.#shared.lastId, 0, 1) + 1;
    const connection = new Connection(id, client, source, this.#context);
    if (this.#spares.isShort) this.#spares.refill();
    connection.countedFor = this.#countedFor(source);
    this.#metrics.add("connections_total", 1);
    if (this.#spares.isShort) void connection.run(new Refusal("local_shortage"));
    else if (!this.#policy.sourceAllowed(source)) void connection.run(new Refusal("source_denied"));
    else this.#room.add(connection);
  }

  #sourceOf(client: Deno.TcpConn): string {
    const { hostname } = client.remoteAddr as Deno.NetAddr;
    if (hostname !== this.#lastHostname) {
      this.#lastHostname = hostname;
      this.#lastSource = normalAddress(hostname) ?? hostname;
    }
    return this.#lastSource;
  }

  /** Whom a client from there counts for as long as it has shown no secret. */
  #countedFor(source: string): bigint | undefined {
    if (this.#config.maxConnectionsPerSource === 0 || this.#context.credentials !== undefined) {
      return undefined;
    }
    return sourceKey(source, this.#peerIndex(this.#policy.peerOf(source)));
  }

  #peerIndex(peer: string | undefined): number | undefined {
    return peer === undefined ? undefined : this.#peers.indexOf(peer);
  }

  /** From now on a client counts for the peer that it is. */
  #onPeer(connection: Connection, peer: string): Refusal | undefined {
    const key = sourceKey(connection.source, this.#peerIndex(peer));
    const refusal = this.#admission.claim(key);
    if (refusal === undefined) connection.countedFor = key;
    return refusal;
  }

  #onPhase(connection: Connection): void {
    const { phase, list } = connection;
    if (phase === "tunnel") return;
    list?.remove(connection);
    if (phase === "dial") this.#connections.served.add(connection);
    else if (list === this.#connections.waiting || list === this.#connections.served) {
      this.#giveUpSlot(connection);
    }
    // Only now: nobody may see that no client waits before its slot is free.
    if (list !== this.#connections.served) this.#room.publish();
    if (phase === "dial") return;
    if (phase === "refused") this.#linger(connection);
    else this.#finishIfDone();
  }

  #giveUpSlot({ countedFor }: Connection): void {
    this.#metrics.add("connections_active", -1);
    this.#admission.leave(countedFor);
  }

  #linger(connection: Connection): void {
    const { lingering } = this.#connections;
    lingering.add(connection);
    if (lingering.size <= MAX_LINGERING) return;
    // A source that is refused all the time pushes out its own clients before those of others.
    let oldest = lingering.first!;
    for (const other of lingering) {
      if (other.source !== connection.source || other === connection) continue;
      oldest = other;
      break;
    }
    oldest.cut("drain");
  }

  #tick(nowMs: number): void {
    const lateMs = Math.max(0, nowMs - this.#lastTickMs - this.#tickIntervalMs);
    this.#lastTickMs = nowMs;
    this.#lag.add(lateMs);
    Atomics.add(this.#shared.ticks, this.#worker, 1);
    // The process stood still, and what arrived meanwhile is unread: no client is late yet.
    this.#isCatchingUp = !this.#isCatchingUp && lateMs >= STANDSTILL_MS;
    if (this.#isCatchingUp) return;
    this.#spares.refill();
    for (const connection of this.#connections) connection.tick(nowMs);
    const leaving = this.#evacuation.select(this.#connections.served, nowMs);
    for (const connection of leaving) connection.cut("upstream_down");
    this.#drain?.tick(nowMs);
  }

  #finishIfDone(): void {
    if (this.#drain === undefined || !this.#connections.isEmpty) return;
    clearInterval(this.#tickTimer);
    this.#lag.close();
    this.#spares.close();
    this.#finish.resolve(this.#drain.result);
  }
}

/** A quarter of the shortest timeout: timeouts are kept to within that, and to within the longest tick. */
function tickIntervalMs(config: Config): number {
  const timeoutsMs = [
    config.headerTimeoutMs,
    config.connectTimeoutMs,
    config.idleTimeoutMs,
    config.halfCloseTimeoutMs,
    config.maxTunnelAgeMs,
    config.drainTimeoutMs,
  ].filter((ms) => ms > 0);
  return Math.min(MAX_TICK_INTERVAL_MS, Math.max(5, Math.min(...timeoutsMs) / 4));
}
