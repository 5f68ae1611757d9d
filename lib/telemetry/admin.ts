/** Health, metrics and live tunnels over HTTP, for kubelets, scrapers and people. */
import { type HttpRequest, type HttpResponse, HttpServer, plain } from "./http_server.ts";

/** One health check. */
export interface Check {
  readonly name: string;
  /** Why it fails; `undefined` if it passes. */
  readonly failure: () => string | undefined;
  /** Reported by name and under `?verbose`, but readiness does not depend on it. */
  readonly informative?: true;
}

/** What the admin server reports. */
export interface AdminOptions {
  /** What `/readyz` looks at. `/livez` says no more than that there is an answer. */
  readonly checks: readonly Check[];
  /** The metrics in the text format of Prometheus. */
  readonly metrics: () => Promise<string>;
  /** The live tunnels as JSON. */
  readonly tunnels: () => Promise<string>;
}

const PING: Check = { name: "ping", failure: () => undefined };
const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";
const IS_LOOPBACK = /^(?:::ffff:)?127\.|^::1$/;

/**
 * Serves `/livez`, `/readyz` and `/metrics` in the way of the API server's own, with `?verbose` and
 * single checks such as `/readyz/upstream`, and `/tunnels` for clients on the same machine.
 *
 * @param listeners Belong to the server from then on.
 */
export function startAdmin(
  listeners: readonly Deno.TcpListener[],
  { checks, ...reports }: AdminOptions,
): HttpServer {
  const known = new Map([["livez", [PING]], ["readyz", [PING, ...checks]]]);
  const metrics = oneAtATime(reports.metrics), tunnels = oneAtATime(reports.tunnels);
  return new HttpServer(listeners, async (request) => {
    const { method, path, source } = request;
    const answer = path === "/metrics"
      ? async () => plain(200, await metrics(), { "Content-Type": METRICS_TYPE })
      : path === "/tunnels"
      ? async () => {
        if (!IS_LOOPBACK.test(source)) return plain(403, "only for clients on this machine\n");
        return plain(200, await tunnels(), { "Content-Type": "application/json" });
      }
      : healthAt(request, known);
    if (answer === undefined) {
      return plain(
        404,
        "not found: there are /livez, /readyz with /readyz/CHECK, /metrics and /tunnels\n",
      );
    }
    if (method !== "GET" && method !== "HEAD") {
      return plain(405, "only GET and HEAD\n", { Allow: "GET, HEAD" });
    }
    return await answer();
  });
}

/** Clients that ask at once share one report: however many there are, there is work for one. */
function oneAtATime(report: () => Promise<string>): () => Promise<string> {
  let underWay: Promise<string> | undefined;
  return () => underWay ??= report().finally(() => underWay = undefined);
}

/** How to answer a path of the form `/livez`, `/readyz` or `/readyz/CHECK`; else `undefined`. */
function healthAt(
  { path, query }: HttpRequest,
  known: ReadonlyMap<string, readonly Check[]>,
): (() => HttpResponse) | undefined {
  const [empty, root = "", name, ...rest] = path.split("/");
  const asked = known.get(root)?.filter((check) => name === undefined || check.name === name);
  if (asked === undefined || asked.length === 0 || empty !== "" || rest.length > 0) {
    return undefined;
  }
  return () => health(root, asked, name !== undefined, query.has("verbose"));
}

/** One check that is asked for by name counts, even if it is informative. */
function health(
  root: string,
  asked: readonly Check[],
  byName: boolean,
  verbose: boolean,
): HttpResponse {
  const results = asked.map((check) => ({ ...check, why: check.failure() }));
  const passed = results.every(({ why, informative }) =>
    why === undefined || (informative && !byName)
  );
  const lines = results.map(({ name, why, informative }) =>
    `[${why === undefined ? "+" : "-"}]${name} ${why === undefined ? "ok" : `failed: ${why}`}` +
    (informative && !byName ? " (does not count)" : "") + "\n"
  );
  const summary = `${root} check ${passed ? "passed" : "failed"}\n`;
  if (passed) return plain(200, verbose ? lines.join("") + summary : "ok");
  return plain(503, lines.join("") + summary);
}
