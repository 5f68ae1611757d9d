/** A TCP balancer that follows readiness, as a Service does. */
import { setTimeout as sleep } from "node:timers/promises";

const POLL_MS = 100;

/** A replica: where it serves, and where it tells whether it is ready. */
export interface Backend {
  readonly address: string;
  readonly readyUrl: string;
}

/** Sends each new connection to the next ready backend; connections that are open stay. */
export class Balancer implements Disposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #backends = new Map<Backend, { ready: boolean }>();
  readonly #connections = new Set<Deno.TcpConn>();
  #turn = 0;

  constructor() {
    this.#accept();
  }

  /** What clients put into `proxy-url`. */
  get url(): string {
    return `http://127.0.0.1:${this.#listener.addr.port}`;
  }

  /** Adds a backend and waits until it is ready. */
  async add(backend: Backend): Promise<void> {
    const state = { ready: false };
    this.#backends.set(backend, state);
    const poll = async () => {
      state.ready = await isReady(backend);
      await sleep(POLL_MS);
    };
    while (!state.ready) await poll();
    (async () => {
      while (this.#backends.has(backend)) await poll();
    })();
  }

  /** Forgets a backend that has ended. */
  remove(backend: Backend): void {
    this.#backends.delete(backend);
  }

  [Symbol.dispose](): void {
    this.#backends.clear();
    this.#listener.close();
    for (const connection of this.#connections) this.#close(connection);
  }

  async #accept(): Promise<void> {
    for (;;) {
      const client = await this.#listener.accept().catch(() => undefined);
      if (client === undefined) return;
      this.#serve(client).catch(() => {}); // one side has reset: the other is closed with it
    }
  }

  async #serve(client: Deno.TcpConn): Promise<void> {
    using cleanup = new DisposableStack();
    this.#connections.add(client);
    cleanup.defer(() => this.#close(client));

    const ready = [...this.#backends].filter(([, { ready }]) => ready);
    const chosen = ready[this.#turn++ % ready.length];
    if (chosen === undefined) return;
    const [hostname, port] = chosen[0].address.split(":");
    const backend = await Deno.connect({ hostname: hostname!, port: Number(port) });
    this.#connections.add(backend);
    cleanup.defer(() => this.#close(backend));

    client.setNoDelay(true);
    backend.setNoDelay(true);
    await Promise.all([pump(client, backend), pump(backend, client)]);
  }

  #close(connection: Deno.TcpConn): void {
    if (this.#connections.delete(connection)) connection.close();
  }
}

async function isReady({ readyUrl }: Backend): Promise<boolean> {
  try {
    const response = await fetch(readyUrl);
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false; // it has ended
  }
}

/** Copies one way until the end, and passes the end on. */
async function pump(from: Deno.TcpConn, to: Deno.TcpConn): Promise<void> {
  const buffer = new Uint8Array(64 * 1024);
  for (let n; (n = await from.read(buffer)) !== null;) {
    for (let sent = 0; sent < n;) sent += await to.write(buffer.subarray(sent, n));
  }
  await to.closeWrite();
}
