/** Health and metrics over HTTP, for kubelets, scrapers and people. */

import { delay } from "./delay.ts";
import type { Log } from "./log.ts";

/** Something that can be in order or not. */
export interface Check {
  readonly name: string;
  /** Why it is not in order, or `undefined`. */
  readonly failure: () => string | undefined;
  /** Told by name and under `?verbose`, but readiness does not hang on it. */
  readonly informative?: true;
}

/** What the admin server tells. */
export interface AdminOptions {
  readonly hostname: string;
  readonly port: number;
  /** What `/readyz` looks at. `/livez` says no more than that there is an answer. */
  readonly checks: readonly Check[];
  /** The metrics in the text format of Prometheus. */
  readonly metrics: () => Promise<string>;
  readonly log: Log;
}

const PING: Check = { name: "ping", failure: () => undefined };
const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** A running admin server. */
export interface Admin {
  /** Where it listens. */
  readonly address: Deno.NetAddr;
  /** Ends it at once, whatever scrapers are doing. */
  close(): Promise<void>;
}

/** The pause before it listens again after a failure. */
const RESTART_PAUSE_MS = 1_000;

/**
 * Serves `/livez`, `/readyz` and `/metrics` in the way of the API server's own,
 * with `?verbose` and single checks such as `/readyz/upstream`. `Deno.serve`
 * gives up when no descriptor is left for a connection: then it is started
 * again, and the proxy goes on meanwhile.
 *
 * @throws The error of `Deno.listen`, the first time.
 */
export function startAdmin(options: AdminOptions): Admin {
  const stop = new AbortController();
  let server = serve(options, stop.signal);
  const { addr: address } = server;
  async function supervise(): Promise<void> {
    while (!stop.signal.aborted) {
      try {
        await server.finished;
      } catch (error) {
        options.log("warn", "admin server failed", { error: String(error) });
        server = await serveAgain();
      }
    }
  }
  async function serveAgain(): Promise<typeof server> {
    for (;;) {
      await delay(RESTART_PAUSE_MS, stop.signal);
      if (stop.signal.aborted) return server;
      try {
        return serve({ ...options, port: address.port }, stop.signal);
      } catch {
        // There is still no descriptor.
      }
    }
  }
  const supervised = supervise();
  return {
    address,
    async close() {
      // Not shutdown(): that waits for who sends half a request or does not read the answer.
      stop.abort();
      await supervised;
    },
  };
}

function serve(options: AdminOptions, signal: AbortSignal): Deno.HttpServer<Deno.NetAddr> {
  const { hostname, port } = options;
  return Deno.serve({
    hostname,
    port,
    signal,
    onListen: () => {},
    // Deno's own handler prints to standard error, past the log.
    onError: (error) => text(500, `failed: ${(error as Error).message}\n`),
  }, (request) => answer(request, options));
}

async function answer(request: Request, { checks, metrics }: AdminOptions): Promise<Response> {
  // A Host that makes no URL is none of our business: only what comes after it counts.
  const [, path = "", query = ""] = /^\w+:\/\/[^/?]*([^?#]*)(\?[^#]*)?/.exec(request.url) ?? [];
  const [, root = "", name, ...rest] = path.split("/");
  const known = new Map([["livez", [PING]], ["readyz", [PING, ...checks]]]);
  const isMetrics = path === "/metrics";
  const asked = rest.length > 0
    ? []
    : known.get(root)?.filter((check) => name === undefined || check.name === name) ?? [];
  if (!isMetrics && asked.length === 0) {
    return text(404, "not found: there are /livez, /readyz and /metrics\n");
  }
  if (request.method !== "GET" && request.method !== "HEAD") {
    return text(405, "only GET and HEAD\n", { Allow: "GET, HEAD" });
  }
  if (isMetrics) return text(200, await metrics(), { "Content-Type": METRICS_TYPE });
  return health(root, asked, name !== undefined, new URLSearchParams(query).has("verbose"));
}

/** One check that is asked for by name counts, even if it is informative. */
function health(
  root: string,
  asked: readonly Check[],
  byName: boolean,
  verbose: boolean,
): Response {
  const results = asked.map((check) => ({ ...check, why: check.failure() }));
  const passed = results.every(({ why, informative }) =>
    why === undefined || (informative && !byName)
  );
  const lines = results.map(({ name, why, informative }) =>
    `[${why === undefined ? "+" : "-"}]${name} ${why === undefined ? "ok" : `failed: ${why}`}` +
    (informative && !byName ? " (does not count)" : "") + "\n"
  );
  const summary = `${root} check ${passed ? "passed" : "failed"}\n`;
  if (passed) return text(200, verbose ? lines.join("") + summary : "ok");
  return text(503, lines.join("") + summary);
}

function text(status: number, body: string, headers: Record<string, string> = {}): Response {
  return new Response(body, {
    status,
    headers: {
      "Content-Type": "text/plain; charset=utf-8",
      "Cache-Control": "no-cache, no-store",
      "X-Content-Type-Options": "nosniff",
      ...headers,
    },
  });
}
