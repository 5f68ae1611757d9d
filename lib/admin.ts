/** Health and metrics over HTTP, for kubelets, scrapers and people. */

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
}

const PING: Check = { name: "ping", failure: () => undefined };
const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/**
 * Serves `/livez`, `/readyz` and `/metrics` in the way of the API server's own,
 * with `?verbose` and single checks such as `/readyz/upstream`.
 *
 * @throws The error of `Deno.listen`.
 */
export function startAdmin(options: AdminOptions): Deno.HttpServer<Deno.NetAddr> {
  const { hostname, port, checks } = options;
  return Deno.serve({ hostname, port, onListen: () => {} }, async (request) => {
    const { pathname, searchParams } = new URL(request.url);
    const [, root = "", name, ...rest] = pathname.split("/");
    const known: Record<string, readonly Check[]> = { livez: [PING], readyz: [PING, ...checks] };
    const isMetrics = pathname === "/metrics";
    const asked = rest.length > 0
      ? undefined
      : known[root]?.filter((check) => name === undefined ? true : check.name === name);
    if (!isMetrics && (asked === undefined || asked.length === 0)) {
      return text(404, "not found: there are /livez, /readyz and /metrics\n");
    }
    if (request.method !== "GET" && request.method !== "HEAD") {
      return text(405, "only GET and HEAD\n", { Allow: "GET, HEAD" });
    }
    if (isMetrics) return text(200, await options.metrics(), { "Content-Type": METRICS_TYPE });
    return health(root, asked!, name !== undefined, searchParams.has("verbose"));
  });
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
