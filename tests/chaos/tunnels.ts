/** Tunnels whose ends do what tests of data need: check a pattern, pause, close, reset. */
import net from "node:net";
import { once } from "node:events";
import { assertEquals } from "@std/assert";
import type { Authority } from "../../lib/protocol/authority.ts";
import type { Config } from "../../lib/config/config.ts";
import type { Side } from "../../lib/proxy/tunnel.ts";
import {
  CONNECT,
  connectResettable,
  ESTABLISHED,
  type Peer,
  TestUpstream,
} from "../harness/peers.ts";
import { TestProxy } from "../harness/proxy.ts";

/** How an end leaves. */
export type Way = "close" | "reset";

/** One end of a tunnel. */
export interface End {
  /** What comes next, or `null` at the end of the stream. */
  read(): Promise<Uint8Array | null>;
  /** Writes all of it. */
  write(bytes: Uint8Array): Promise<void>;
  closeWrite(): Promise<void>;
  /** Ends both ways at once. Only the first time counts. */
  leave(way: Way): Promise<void>;
}

/** A tunnel that is up, and what it goes through. */
export interface Ends extends Readonly<Record<Side, End>> {
  readonly proxy: TestProxy;
  /** What the proxy has passed on of what that side has sent. */
  carriedBytes(from: Side): number;
}

/** What a tunnel is made with, beside the configuration of the proxy. */
export interface TunnelOptions extends Partial<Config> {
  /** The end that can send a RST; the other one cannot. */
  readonly resettable?: Side | undefined;
}

/** Far more than any tunnel here takes: one that hangs is a failure then. */
const LIMIT_MS = 60_000;

export const SIDES: readonly Side[] = ["client", "upstream"];

export function otherSide(side: Side): Side {
  return side === "client" ? "upstream" : "client";
}

/** Makes a tunnel over loopback, and leaves nothing of it behind. */
export async function withTunnel(
  { resettable, ...config }: TunnelOptions,
  fn: (ends: Ends) => Promise<void>,
): Promise<void> {
  const host = config.host ?? "127.0.0.1";
  await using upstreams = resettable === "upstream"
    ? await NodeListener.listen(host)
    : new DenoListener(host);
  await using proxy = new TestProxy({ host, ...config, upstreams: [upstreams.authority] });
  const client = resettable === "client"
    ? new NodeEnd(await connectResettable(proxy.authority))
    : new DenoEnd(await proxy.connect());
  await client.write(new TextEncoder().encode(CONNECT));
  const upstream = await upstreams.accept();
  const carriedBytes = (from: Side) => {
    const direction = from === "client" ? "up" : "down";
    return proxy.metric(`tunnel_bytes_total{direction="${direction}"}`);
  };
  const limit = Promise.withResolvers<never>();
  const timer = setTimeout(() => limit.reject(new Error("the tunnel hangs")), LIMIT_MS);
  try {
    let answer = "";
    while (answer.length < ESTABLISHED.length) {
      answer += new TextDecoder().decode((await client.read())!);
    }
    assertEquals(answer, ESTABLISHED);
    await Promise.race([fn({ client, upstream, proxy, carriedBytes }), limit.promise]);
  } finally {
    clearTimeout(timer);
    await Promise.all([client.leave("close"), upstream.leave("close")]);
  }
}

class DenoEnd implements End {
  readonly #peer: Peer;
  readonly #buffer = new Uint8Array(64 * 1024);

  constructor(peer: Peer) {
    this.#peer = peer;
  }

  async read(): Promise<Uint8Array | null> {
    const count = await this.#peer.conn.read(this.#buffer);
    return count === null ? null : this.#buffer.subarray(0, count);
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.#peer.write(bytes);
  }

  closeWrite(): Promise<void> {
    return this.#peer.closeWrite();
  }

  leave(): Promise<void> {
    this.#peer.close();
    return Promise.resolve();
  }
}

class NodeEnd implements End {
  readonly #socket: net.Socket;
  readonly #chunks: AsyncIterator<Uint8Array>;

  constructor(socket: net.Socket) {
    this.#socket = socket;
    this.#chunks = socket.iterator({ destroyOnReturn: false });
  }

  async read(): Promise<Uint8Array | null> {
    const { value, done } = await this.#chunks.next();
    return done ? null : value;
  }

  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.write(bytes, (error) => error ? reject(error) : resolve());
    });
  }

  closeWrite(): Promise<void> {
    return new Promise((resolve) => this.#socket.end(resolve));
  }

  async leave(way: Way): Promise<void> {
    if (this.#socket.closed) return;
    const closed = new Promise((resolve) => this.#socket.once("close", resolve));
    if (!this.#socket.destroyed) {
      if (way === "reset") this.#socket.resetAndDestroy();
      else this.#socket.destroy();
    }
    await closed;
  }
}

class DenoListener implements AsyncDisposable {
  readonly #upstream: TestUpstream;

  constructor(host: string) {
    this.#upstream = new TestUpstream(host);
  }

  get authority(): Authority {
    return this.#upstream.authority;
  }

  async accept(): Promise<End> {
    return new DenoEnd(await this.#upstream.accept());
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#upstream[Symbol.dispose]();
    return Promise.resolve();
  }
}

class NodeListener implements AsyncDisposable {
  readonly #server = net.createServer({ allowHalfOpen: true });
  readonly #accepted = once(this.#server, "connection") as Promise<[net.Socket]>;

  static async listen(host: string): Promise<NodeListener> {
    const listener = new NodeListener();
    listener.#server.listen(0, host);
    await once(listener.#server, "listening");
    return listener;
  }

  get authority(): Authority {
    const { address, port } = this.#server.address() as net.AddressInfo;
    return { host: address, port };
  }

  async accept(): Promise<End> {
    const [socket] = await this.#accepted;
    socket.on("error", () => {});
    return new NodeEnd(socket);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    await once(this.#server, "close");
  }
}
