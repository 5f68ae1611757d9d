/**
 * A small HTTP/1.1 server for health and metrics that no client can make large: one request per
 * connection, and limits for everything. `Deno.serve` has none of them, speaks HTTP/2 unasked,
 * listens where `DENO_SERVE_ADDRESS` says, and prints to standard error.
 */
import { awakeDelay, delay } from "./delay.ts";
import { isDescriptorShortage, SpareDescriptors } from "./spare_descriptors.ts";

/** What a request asks for. Its fields and its body, if it has one, do not matter here. */
export interface HttpRequest {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** Address of the client, as the kernel gives it. */
  readonly source: string;
}

/** What it gets; `Content-Length` and `Connection` are added. */
export interface HttpResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Gives the answer to a request; what it throws becomes a 500. */
export type HttpHandler = (request: HttpRequest) => HttpResponse | Promise<HttpResponse>;

/** Connections at once: one more ends the oldest, so that a new probe is always heard. */
const MAX_CONNECTIONS = 64;
/** From accept to the end of the answer. */
const REQUEST_TIMEOUT_MS = 10_000;
/** How long a client that has its answer may take to close. */
const LINGER_MS = 1_000;
/** Requests that are answered at a time when no descriptor is left. */
const SPARE_DESCRIPTORS = 4;
const MAX_HEAD_BYTES = 8 * 1024;
/** After an accept that failed: the proxy's own listener meets the same shortage, and logs it. */
const ACCEPT_PAUSE_MS = 100;

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  400: "Bad Request",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  503: "Service Unavailable",
  505: "HTTP Version Not Supported",
};

/** A running server, on listeners that it owns from then on. */
export class HttpServer {
  readonly #listeners: readonly Deno.TcpListener[];
  readonly #handler: HttpHandler;
  /** Those that are open, the oldest first. */
  readonly #conns = new Set<Deno.TcpConn>();
  readonly #stop = new AbortController();
  readonly #spares = new SpareDescriptors(SPARE_DESCRIPTORS);
  readonly #accepting: readonly Promise<void>[];

  constructor(listeners: readonly Deno.TcpListener[], handler: HttpHandler) {
    this.#listeners = listeners;
    this.#handler = handler;
    this.#accepting = listeners.map((listener) => this.#accept(listener));
  }

  /** Closes it and all its connections at once. */
  async close(): Promise<void> {
    this.#stop.abort();
    for (const listener of this.#listeners) listener.close();
    for (const conn of this.#conns) this.#end(conn);
    await Promise.all(this.#accepting);
    this.#spares.close();
  }

  async #accept(listener: Deno.TcpListener): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        const conn = await listener.accept();
        if (this.#stop.signal.aborted) return conn.close();
        const [oldest] = this.#conns;
        if (oldest !== undefined && this.#conns.size >= MAX_CONNECTIONS) this.#end(oldest);
        this.#conns.add(conn);
        void this.#serve(conn);
      } catch (error) {
        if (isDescriptorShortage(error) && this.#spares.release()) continue;
        await delay(ACCEPT_PAUSE_MS, this.#stop.signal);
      }
    }
  }

  /** Never rejects. */
  async #serve(conn: Deno.TcpConn): Promise<void> {
    const over = new AbortController();
    void awakeDelay(REQUEST_TIMEOUT_MS, over.signal).then(() => this.#end(conn));
    let lingerTimer: ReturnType<typeof setTimeout> | undefined;
    try {
      const { hostname } = conn.remoteAddr as Deno.NetAddr;
      const head = await readHead(conn);
      if (head === undefined) return;
      await writeAll(conn, await this.#respond(head, hostname));
      await conn.closeWrite();
      lingerTimer = setTimeout(() => this.#end(conn), LINGER_MS);
      // Closed with bytes unread it would be reset, and the answer lost.
      const rest = new Uint8Array(1024);
      while (await conn.read(rest) !== null);
    } catch {
      // The client is gone, or its time is up.
    } finally {
      over.abort();
      clearTimeout(lingerTimer);
      this.#end(conn);
    }
  }

  async #respond(head: string, source: string): Promise<Uint8Array> {
    const [, method = "", target = "", version] = /^([A-Z]+) (\S+) HTTP\/(\d\.\d)\r\n/.exec(head) ??
      [];
    if (version === undefined) return encode("GET", plain(400, "not an HTTP request\n"));
    if (!version.startsWith("1.")) return encode("GET", plain(505, "only HTTP/1.1\n"));
    if (!head.endsWith("\r\n\r\n")) {
      return encode(method, plain(431, `a request head of at most ${MAX_HEAD_BYTES} bytes\n`));
    }
    // Of a target in absolute-form (RFC 9112 §3.2.2) the path counts, whatever host it names.
    const [, path = "", query = ""] = /^(?:\w+:\/\/[^/?]*)?([^?#]*)(?:\?([^#]*))?/.exec(target) ??
      [];
    try {
      const request = { method, path, query: new URLSearchParams(query), source };
      return encode(method, await this.#handler(request));
    } catch (error) {
      return encode(method, plain(500, `failed: ${(error as Error).message}\n`));
    }
  }

  #end(conn: Deno.TcpConn): void {
    if (this.#conns.delete(conn)) conn.close();
    this.#spares.refill();
  }
}

/** An answer in plain text that no cache may store. */
export function plain(
  status: number,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): HttpResponse {
  return {
    status,
    headers: {
      "Content-Type": "text/plain; charset=utf-8",
      "Cache-Control": "no-cache, no-store",
      "X-Content-Type-Options": "nosniff",
      ...headers,
    },
    body,
  };
}

/** A head up to its blank line, or as much of it as is read of what is none; `undefined` when it does not end. */
async function readHead(conn: Deno.TcpConn): Promise<string | undefined> {
  const decoder = new TextDecoder("latin1");
  const buffer = new Uint8Array(1024);
  let head = "";
  while (head.length <= MAX_HEAD_BYTES) {
    const count = await conn.read(buffer);
    if (count === null) return undefined;
    head += decoder.decode(buffer.subarray(0, count));
    const end = head.indexOf("\r\n\r\n");
    if (end >= 0) return head.slice(0, end + 4);
    // Such as a client that speaks TLS: it waits for an answer.
    if (!/^[A-Z]/.test(head)) return head;
  }
  return head;
}

function encode(method: string, { status, headers, body }: HttpResponse): Uint8Array {
  const encoder = new TextEncoder();
  const bodyBytes = encoder.encode(body);
  const fields = Object.entries({
    ...headers,
    "Content-Length": String(bodyBytes.length),
    "Connection": "close",
  });
  const head = encoder.encode(
    `HTTP/1.1 ${status} ${REASONS[status]}\r\n` +
      fields.map(([name, value]) => `${name}: ${value}\r\n`).join("") + "\r\n",
  );
  if (method === "HEAD") return head;
  const response = new Uint8Array(head.length + bodyBytes.length);
  response.set(head);
  response.set(bodyBytes, head.length);
  return response;
}

async function writeAll(conn: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let sent = 0; sent < bytes.length;) sent += await conn.write(bytes.subarray(sent));
}
