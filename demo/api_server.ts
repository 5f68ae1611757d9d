/** A very small Kubernetes API server: enough for kubectl to read and watch namespaces. */
import { delay } from "../lib/telemetry/delay.ts";
import { createServerCertificate } from "./certificate.ts";

/** The name that an API server has for the pods of its cluster. */
export const SERVER_NAME = "kubernetes.default.svc";

/** A running API server. */
export interface ApiServer {
  /** Where it listens; on this machine only. */
  readonly address: Deno.NetAddr;
  /** The certificate authority to trust, in PEM. */
  readonly certificateAuthority: string;
  /** Ends all its connections, watches among them. */
  close(): Promise<void>;
}

/** How a namespace looks in JSON, as far as it matters here. */
interface Namespace {
  readonly kind: "Namespace";
  readonly apiVersion: "v1";
  readonly metadata: {
    readonly name: string;
    readonly resourceVersion: string;
    readonly creationTimestamp: string;
  };
  readonly status: { readonly phase: "Active" | "Terminating" };
}

interface WatchEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: Namespace;
}

/** How often a namespace changes. */
const EVENT_INTERVAL_MS = 3_000;
const JSON_HEADERS = { "content-type": "application/json" };

/** Starts an API server on a free port, for those who have the token. */
export async function startApiServer(token: string): Promise<ApiServer> {
  const { certificate, privateKey, authority } = await createServerCertificate([
    SERVER_NAME,
    "localhost",
    "127.0.0.1",
  ]);
  const namespaces = new Namespaces();
  const stop = new AbortController();
  const server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    cert: certificate,
    key: privateKey,
    signal: stop.signal,
    onListen: () => {},
  }, (request) => {
    const allowed = request.headers.get("authorization") === `Bearer ${token}`;
    return allowed ? answer(request, namespaces, stop.signal) : failure(401, "Unauthorized");
  });
  return {
    address: server.addr,
    certificateAuthority: authority,
    close: () => {
      stop.abort();
      return server.finished;
    },
  };
}

function answer(request: Request, namespaces: Namespaces, stop: AbortSignal): Response {
  if (request.method !== "GET") return failure(405, "MethodNotAllowed");
  const { pathname, searchParams } = new URL(request.url);
  const document = DOCUMENTS[pathname];
  if (document !== undefined) return json(document);
  if (pathname === "/readyz") return new Response("ok");

  const asTable = request.headers.get("accept")?.includes("as=Table") ?? false;
  const version = namespaces.version;
  if (pathname === "/api/v1/namespaces") {
    const watches = ["1", "true"].includes(searchParams.get("watch") ?? "");
    if (watches) return watch(namespaces, searchParams.get("resourceVersion"), asTable, stop);
    const items = namespaces.at(version);
    return json(asTable ? table(items, version) : list(items, version));
  }
  const found = namespaces.at(version)
    .find(({ metadata }) => pathname === `/api/v1/namespaces/${metadata.name}`);
  if (found === undefined) return failure(404, "NotFound");
  return json(asTable ? table([found], version) : found);
}

/** What kubectl asks for to learn what there is (API discovery). */
const DOCUMENTS: Readonly<Record<string, unknown>> = {
  "/version": { major: "1", minor: "33", gitVersion: "v1.33.0-demo", platform: "demo" },
  "/api": { kind: "APIVersions", versions: ["v1"] },
  "/apis": { kind: "APIGroupList", apiVersion: "v1", groups: [] },
  "/api/v1": {
    kind: "APIResourceList",
    groupVersion: "v1",
    resources: [{
      name: "namespaces",
      singularName: "namespace",
      shortNames: ["ns"],
      namespaced: false,
      kind: "Namespace",
      verbs: ["get", "list", "watch"],
    }],
  },
};

/**
 * Two namespaces that stay and a visitor that comes and is deleted.
 * What there is follows from the version alone, and the version from the time.
 */
class Namespaces {
  readonly #startMs = Date.now();

  /** Goes up by one with each event. */
  get version(): number {
    return Math.floor((Date.now() - this.#startMs) / EVENT_INTERVAL_MS) + 1;
  }

  /** All that there are at a version. */
  at(version: number): readonly Namespace[] {
    const residents = ["default", "kube-system"].map((name) => namespace(name, 1, this.#startMs));
    const { type, object } = this.event(version);
    return type === "DELETED" ? residents : [...residents, object];
  }

  /** What happened to make a version of the one before it. */
  event(version: number): WatchEvent {
    const step = (version - 1) % 3;
    const cameMs = this.msOf(version - (step + 2) % 3);
    return step === 0
      ? { type: "DELETED", object: namespace("visitor", version, cameMs, "Terminating") }
      : step === 1
      ? { type: "ADDED", object: namespace("visitor", version, cameMs) }
      : { type: "MODIFIED", object: namespace("visitor", version, cameMs, "Terminating") };
  }

  /** When a version begins, in milliseconds since 1970. */
  msOf(version: number): number {
    return this.#startMs + (version - 1) * EVENT_INTERVAL_MS;
  }
}

function namespace(
  name: string,
  version: number,
  createdMs: number,
  phase: Namespace["status"]["phase"] = "Active",
): Namespace {
  return {
    kind: "Namespace",
    apiVersion: "v1",
    metadata: {
      name,
      resourceVersion: String(version),
      creationTimestamp: new Date(createdMs).toISOString().replace(/\.\d+Z$/, "Z"),
    },
    status: { phase },
  };
}

/**
 * A stream of events, one JSON document a line, that ends with the client or the server.
 *
 * @param resourceVersion The version that the client knows; without one it gets everything.
 */
function watch(
  namespaces: Namespaces,
  resourceVersion: string | null,
  asTable: boolean,
  stop: AbortSignal,
): Response {
  async function* events(): AsyncGenerator<WatchEvent> {
    let version = namespaces.version;
    const known = Number(resourceVersion);
    if (known > 0) version = Math.min(known, version);
    else yield* namespaces.at(version).map((object) => ({ type: "ADDED" as const, object }));
    for (;;) {
      await delay(namespaces.msOf(++version) - Date.now(), stop);
      if (stop.aborted) return;
      yield namespaces.event(version);
    }
  }
  async function* lines(): AsyncGenerator<Uint8Array> {
    const encoder = new TextEncoder();
    for await (const { type, object } of events()) {
      const shown = asTable ? table([object], Number(object.metadata.resourceVersion)) : object;
      yield encoder.encode(JSON.stringify({ type, object: shown }) + "\n");
    }
  }
  return new Response(ReadableStream.from(lines()), { headers: JSON_HEADERS });
}

function list(items: readonly Namespace[], version: number) {
  const metadata = { resourceVersion: String(version) };
  return { kind: "NamespaceList", apiVersion: "v1", metadata, items };
}

/** What kubectl prints: the server decides on columns and cells. */
function table(items: readonly Namespace[], version: number) {
  return {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata: { resourceVersion: String(version) },
    columnDefinitions: ["Name", "Status", "Age"].map((name) => ({
      name,
      type: "string",
      format: name === "Name" ? "name" : "",
      description: "",
      priority: 0,
    })),
    rows: items.map(({ metadata, status }) => ({
      cells: [metadata.name, status.phase, age(metadata.creationTimestamp)],
      object: { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata },
    })),
  };
}

function age(since: string): string {
  const seconds = Math.floor((Date.now() - Date.parse(since)) / 1_000);
  return seconds < 120 ? `${seconds}s` : `${Math.floor(seconds / 60)}m`;
}

const FAILURES = {
  Unauthorized: "Unauthorized",
  NotFound: "the server could not find the requested resource",
  MethodNotAllowed: "the server does not allow this method on the requested resource",
} as const;

/** A failure as kubectl reads it. */
function failure(code: number, reason: keyof typeof FAILURES): Response {
  const message = FAILURES[reason];
  const status = { kind: "Status", apiVersion: "v1", status: "Failure", message, reason, code };
  return json({ ...status, metadata: {} }, code);
}

function json(document: unknown, status = 200): Response {
  return new Response(JSON.stringify(document) + "\n", { status, headers: JSON_HEADERS });
}
