/** What the tests of connections share: a proxy, both its peers, and the way to know that nothing is left. */
import net from "node:net";
import { once } from "node:events";
import { assertEquals } from "@std/assert";
import type { Authority } from "../lib/authority.ts";
import { type Config, parseConfig } from "../lib/config.ts";
import { createLog } from "../lib/log.ts";
import { Metrics, reportMetrics } from "../lib/metrics.ts";
import { Proxy } from "../lib/proxy.ts";
import { allocateShared, type SharedMemory } from "../lib/shared.ts";

/** Far more than any test takes, also on a busy machine: one that hangs fails then. */
const LIMIT_MS = 300_000;
/** The same for one thing that a test waits for. */
const PATIENCE_MS = 60_000;

/**
 * Registers a test that fails when it leaves a socket, a timer or an operation behind, and when it
 * does not end.
 */
export function test(
  name: string,
  fn: () => void | Promise<void>,
  { skip = false }: { skip?: boolean } = {},
): void {
  Deno.test({
    name,
    fn: () => withinLimit(fn),
    ignore: skip,
    sanitizeOps: true,
    sanitizeResources: true,
    sanitizeExit: true,
  });
}

async function withinLimit(fn: () => void | Promise<void>): Promise<void> {
  const limit = Promise.withResolvers<never>();
  const hangs = () => limit.reject(new Error(`it does not end within ${LIMIT_MS / 1_000} s`));
  const timer = setTimeout(hangs, LIMIT_MS);
  try {
    await Promise.race([fn(), limit.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits until `look` gives that: for what no event tells of. */
export async function eventually<T>(
  what: string,
  look: () => T | Promise<T>,
  expected: T,
): Promise<void> {
  const deadlineMs = performance.now() + PATIENCE_MS;
  for (;;) {
    const seen = await look();
    if (JSON.stringify(seen) === JSON.stringify(expected)) return;
    if (performance.now() > deadlineMs) return assertEquals(seen, expected, what);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Connects and sends that, if anything. */
export async function connectTo({ host, port }: Authority, text = ""): Promise<Peer> {
  const peer = new Peer(await Deno.connect({ hostname: host, port }));
  try {
    await peer.write(text);
    return peer;
  } catch (error) {
    // Whoever listens may have closed it at once.
    peer.close();
    throw error;
  }
}

/** Whether this Deno can send a RST on demand: 2.6 has no `resetAndDestroy`. */
export const CAN_RESET = "resetAndDestroy" in net.Socket.prototype;
/** Whether `close()` ends a write that waits for its peer: only from Deno 2.9.5 on. */
export const CLOSE_CANCELS_WRITES = !Deno.version.deno.startsWith("2.6.");

/** Whether a failed name lookup leaves nothing behind: 2.6 keeps the handle that would abort it. */
export const LOOKUP_LEAVES_NOTHING = !Deno.version.deno.startsWith("2.6.");

/** One line of the proxy's log. */
export type LogLine = Readonly<Record<string, unknown>>;

/** A running proxy on a port of its own, and what it has logged. */
export class TestProxy implements AsyncDisposable {
  readonly proxy: Proxy;
  readonly shared: SharedMemory;
  readonly lines: LogLine[] = [];
  readonly #newLine = new EventTarget();

  /** @param config What differs from the defaults; probes are off unless asked for. */
  constructor(config: Partial<Config>) {
    const flags = ["--upstream=127.0.0.1:1", "--host=127.0.0.1", "--port=0"];
    const invocation = parseConfig(flags, () => undefined);
    if (invocation.kind !== "run") throw new Error("the test's own flags are wrong");
    const write = (line: string) => {
      this.lines.push(JSON.parse(line));
      this.#newLine.dispatchEvent(new Event("line"));
    };
    const log = createLog({ level: "debug", format: "json", write });
    const all = { ...invocation.config, probeIntervalMs: 0, ...config };
    this.shared = allocateShared(1, all.upstreams.length, all.maxConnectionsPerSource > 0);
    this.proxy = new Proxy(all, log, this.shared);
  }

  get authority(): Authority {
    const { hostname, port } = this.proxy.address;
    return { host: hostname, port };
  }

  /** Connects and sends that, if anything. */
  connect(text = ""): Promise<Peer> {
    return connectTo(this.authority, text);
  }

  /** A client whose tunnel is up, and the upstream's end of it. */
  async tunnel(upstream: TestUpstream): Promise<Tunnel> {
    const client = await this.connect(CONNECT);
    const accepted = await upstream.accept();
    assertEquals(await client.readText(ESTABLISHED.length), ESTABLISHED);
    return new Tunnel(client, accepted);
  }

  /** The line of that number with that message, as soon as it has been written. */
  async logged(msg: string, number = 1): Promise<LogLine> {
    for (;;) {
      const found = this.lines.filter((line) => line.msg === msg);
      if (found.length >= number) return found[number - 1]!;
      await once(this.#newLine, "line");
    }
  }

  /** The value of one sample, with its labels if it has some: `name{label="value"}`. */
  metric(sample: string): number {
    return sampleOf(
      reportMetrics(this.shared.metrics.map((cells) => new Metrics(cells)), []),
      sample,
    );
  }

  /** Ends the proxy; every gauge must be back at zero then. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.proxy.cut();
    await this.proxy.finished;
    assertEquals(this.proxy.connections, 0);
    const gauges = ["connections_active", "tunnels_active"];
    assertEquals(gauges.map((name) => this.metric(name)), [0, 0], `${gauges}`);
  }
}

/** The value of one sample of a report; without the prefix. */
export function sampleOf(report: string, sample: string): number {
  const start = `api_server_proxy_${sample} `;
  const line = report.split("\n").find((line) => line.startsWith(start));
  if (line === undefined) throw new Error(`no ${sample} in\n${report}`);
  return Number(line.slice(start.length));
}

/** A server that the proxy dials; closes all its connections at the end. */
export class TestUpstream implements Disposable {
  readonly #listener: Deno.TcpListener;
  readonly #peers = new Set<Peer>();

  constructor(hostname = "127.0.0.1", port = 0) {
    this.#listener = Deno.listen({ hostname, port });
  }

  get authority(): Authority {
    const { hostname, port } = this.#listener.addr as Deno.NetAddr;
    return { host: hostname, port };
  }

  async accept(): Promise<Peer> {
    const peer = new Peer(await this.#listener.accept());
    this.#peers.add(peer);
    return peer;
  }

  /** Serves every connection with the same function, until disposed of. */
  async serve(handle: (peer: Peer) => Promise<void>): Promise<void> {
    for (;;) {
      const peer = await this.accept().catch(() => undefined);
      if (peer === undefined) return;
      handle(peer).catch(() => {}).finally(() => peer.close());
    }
  }

  /** Refuses connections from now on; those that are open go on. */
  stopListening(): void {
    this.#listener.close();
  }

  [Symbol.dispose](): void {
    try {
      this.#listener.close();
    } catch {
      // It has stopped listening before.
    }
    for (const peer of this.#peers) peer.close();
  }
}

/** Listens there again, as soon as Deno has given the port back and nobody else has it. */
export async function listenOnceFree({ host, port }: Authority): Promise<TestUpstream> {
  for (;;) {
    try {
      return new TestUpstream(host, port);
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
      await new Promise((go) => setTimeout(go, 5));
    }
  }
}

/** Both ends of a tunnel. */
export class Tunnel implements Disposable {
  constructor(readonly client: Peer, readonly upstream: Peer) {}

  [Symbol.dispose](): void {
    this.client.close();
    this.upstream.close();
  }
}

/** One end of a connection, with what tests do to it. */
export class Peer implements Disposable {
  #isClosed = false;

  constructor(readonly conn: Deno.TcpConn) {}

  /** Writes all of it. */
  async write(data: string | Uint8Array): Promise<void> {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    for (let sent = 0; sent < bytes.length;) sent += await this.conn.write(bytes.subarray(sent));
  }

  /** Exactly that many bytes, or those up to the end of the stream. */
  async read(count: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(count);
    let filled = 0;
    while (filled < count) {
      const read = await this.conn.read(bytes.subarray(filled));
      if (read === null) break;
      filled += read;
    }
    return bytes.subarray(0, filled);
  }

  /** Everything up to the end of the stream. */
  async readAll(): Promise<Uint8Array> {
    const chunks: Uint8Array[] = [];
    const buffer = new Uint8Array(64 * 1024);
    for (let count; (count = await this.conn.read(buffer)) !== null;) {
      chunks.push(buffer.slice(0, count));
    }
    return new Uint8Array(await new Blob(chunks as Uint8Array<ArrayBuffer>[]).arrayBuffer());
  }

  /** Text of exactly that many bytes, or up to the end of the stream. */
  async readText(count?: number): Promise<string> {
    const bytes = count === undefined ? await this.readAll() : await this.read(count);
    return new TextDecoder().decode(bytes);
  }

  /** How the stream ends when read to its end: in order, or by an error. */
  async end(): Promise<"eof" | "reset"> {
    try {
      await this.readAll();
      return "eof";
    } catch (error) {
      if (error instanceof Deno.errors.ConnectionReset) return "reset";
      throw error;
    }
  }

  async closeWrite(): Promise<void> {
    await this.conn.closeWrite();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.conn.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** What the test client asks for. */
export const CONNECT = "CONNECT api:443 HTTP/1.1\r\nHost: api:443\r\n\r\n";
/** What it gets when the upstream is there. */
export const ESTABLISHED = "HTTP/1.1 200 Connection established\r\n\r\n";

/** A place where nobody listens: no free port, for somebody else may take that at any time. */
export function nobody(): Authority {
  return { host: "127.0.0.1", port: 1 };
}

/** A place that swallows connection attempts: its accept queue is full. No outside address is needed. */
export async function neverAccepts(): Promise<{ authority: Authority } & Disposable> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0, tcpBacklog: 1 });
  const { hostname, port } = listener.addr as Deno.NetAddr;
  const fill = () => Deno.connect({ hostname, port });
  // Linux takes one more than the backlog says.
  const conns = [await fill(), await fill()];
  return {
    authority: { host: hostname, port },
    [Symbol.dispose]() {
      for (const conn of conns) conn.close();
      listener.close();
    },
  };
}

/** A client that ends with a RST, whatever has been sent. To be used where {@linkcode CAN_RESET}. */
export async function connectResettable({ host, port }: Authority): Promise<net.Socket> {
  const socket = net.connect(port, host);
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}
