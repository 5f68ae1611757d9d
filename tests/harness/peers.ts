/** Both peers of a proxy: clients, upstreams, and places where nobody answers. */
import net from "node:net";
import { once } from "node:events";
import { assertEquals } from "@std/assert";
import type { Authority } from "../../lib/protocol/authority.ts";

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

/** The tunnel of a client that has sent {@linkcode CONNECT}, once it is up. */
export async function establish(client: Peer, upstream: TestUpstream): Promise<Tunnel> {
  const accepted = await upstream.accept();
  assertEquals(await client.readText(ESTABLISHED.length), ESTABLISHED);
  return new Tunnel(client, accepted);
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

/** A port of loopback that was free a moment ago, for a program that cannot take port 0. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return (listener.addr as Deno.NetAddr).port;
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

/** A client that ends with a RST, whatever has been sent. */
export async function connectResettable({ host, port }: Authority): Promise<net.Socket> {
  const socket = net.connect(port, host);
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}
