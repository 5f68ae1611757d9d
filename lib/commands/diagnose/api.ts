/** The steps `readyz`, `version` and `user`: is the API server ready, and whom does it see? */
import type tls from "node:tls";
import { X509Certificate } from "node:crypto";
import { formatAddress } from "../../protocol/address.ts";
import { dayOf } from "./certificate.ts";
import { failed, type Finding, ok } from "./finding.ts";
import { hasResponse, type HttpResponse, parseResponse, utf8 } from "./http.ts";
import { readUntil, send } from "./sockets.ts";
import type { Target, User } from "./target.ts";

/** Sends one request to the API server. */
export type Ask = (request: Request) => Promise<HttpResponse>;

/** A request; its path is one of Kubernetes. */
export interface Request {
  readonly path: string;
  /** Sent by POST, as JSON. */
  readonly body?: unknown;
  readonly withCredentials?: boolean;
}

/** Sends one request over a connection, which ends with it. @throws {Error} When the answer is no HTTP. */
export async function exchange(
  socket: tls.TLSSocket,
  { server, user }: Target,
  { path, body, withCredentials = false }: Request,
  signal: AbortSignal,
): Promise<HttpResponse> {
  const content = body === undefined ? "" : JSON.stringify(body);
  const fields: (readonly [string, string])[] = [
    ["Host", formatAddress({ hostname: server.host, port: server.port })],
    ["User-Agent", "api-server-proxy-diagnose"],
    ["Accept", "application/json, */*"],
    ["Connection", "close"],
    ...body === undefined
      ? []
      : [["Content-Type", "application/json"], ["Content-Length", `${content.length}`]] as const,
    ...withCredentials ? user.fields : [],
  ];
  const method = body === undefined ? "GET" : "POST";
  const head = [
    `${method} ${server.basePath}${path} HTTP/1.1`,
    ...fields.map(([name, value]) => `${name}: ${value}`),
  ];
  send(socket, `${head.join("\r\n")}\r\n\r\n${content}`);
  const text = await readUntil(socket, hasResponse, signal);
  socket.destroy();
  const response = parseResponse(text);
  if (response === undefined) throw new Error("the connection was closed without an answer");
  return { ...response, body: utf8(response.body) };
}

/** Without credentials first: it is another step that judges them. */
async function get(path: string, ask: Ask, canAuthenticate: boolean): Promise<HttpResponse> {
  const response = await ask({ path });
  const isDenied = response.status === 401 || response.status === 403;
  return isDenied && canAuthenticate ? await ask({ path, withCredentials: true }) : response;
}

/** Asks whether the API server is ready. */
export async function askReadyz(ask: Ask, canAuthenticate: boolean): Promise<Finding> {
  const { status, phrase, body } = await get("/readyz?verbose", ask, canAuthenticate);
  if (status === 200) return ok("the API server is ready");
  if (status === 401 || status === 403) {
    return ok(`the API server answers (${status}: it does not show its checks to this client)`);
  }
  const broken = [...body.matchAll(/^\[-\](\S+)/gm)].map(([, name]) => name!);
  if (status === 404) {
    return failed(
      `404 ${utf8(phrase)}: what answers at the end of the tunnel is no API server`,
      "Check `server`, and --upstream of the proxy.",
    );
  }
  return failed(
    `the API server is not ready: ${
      broken.length > 0 ? broken.join(", ") : `${status} ${utf8(phrase)}`
    }`,
    "The path to it works. If this lasts, look at the API server's own log" +
      (broken.some((name) => name.startsWith("etcd")) ? " and at etcd." : "."),
  );
}

/** Asks for the API server's version. */
export async function askVersion(ask: Ask, canAuthenticate: boolean): Promise<Finding> {
  const { status, phrase, body } = await get("/version", ask, canAuthenticate);
  if (status === 401 || status === 403) {
    return ok(`not shown to this client (${status})`);
  }
  const version = status === 200 ? fieldOf(body, "gitVersion") : undefined;
  if (version !== undefined) return ok(`Kubernetes ${version}`);
  return failed(
    `${status} ${utf8(phrase)}: what answers at the end of the tunnel is no Kubernetes API server`,
    "Check `server`, and --upstream of the proxy.",
  );
}

/** Asks the API server who this client is. */
export async function askUser(ask: Ask, user: User): Promise<Finding> {
  const { status, phrase, body } = await ask({
    path: "/apis/authentication.k8s.io/v1/selfsubjectreviews",
    body: { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" },
    withCredentials: true,
  });
  if (status === 200 || status === 201) {
    const info = at(parse(body), "status", "userInfo");
    const name = at(info, "username"), groups = at(info, "groups");
    if (typeof name !== "string") {
      return failed(
        `${status} ${utf8(phrase)}, but no name: what answers is no Kubernetes API server`,
        "Check `server`, and --upstream of the proxy.",
      );
    }
    return ok(
      `authenticated as ${name}` + (Array.isArray(groups) ? `; groups: ${groups.join(", ")}` : ""),
    );
  }
  if (status === 401) {
    return failed(
      `401: the API server does not accept the credentials (${user.credentials})`,
      ...whyInvalid(user),
      "Get new ones from the cluster of that API server. This is about who the client is, not " +
        "about what it may do.",
    );
  }
  if (status === 403) {
    return failed(
      `403: the credentials are accepted, but the user lacks a right: ${
        fieldOf(body, "message") ?? ""
      }`,
      "Ask the administrator of that cluster for a role (RBAC); new credentials do not help.",
    );
  }
  // Authentication comes before it is known whether there is such a resource.
  if (status === 404) return ok("authenticated; an API server before 1.28 does not say as whom");
  return failed(`${status} ${utf8(phrase)}: ${fieldOf(body, "message") ?? ""}`);
}

/** What is wrong with credentials, as far as they say it themselves. */
function whyInvalid({ fields, certificate }: User): readonly string[] {
  const [, claims] = /^Bearer [^.]+\.([^.]+)\./.exec(
    fields.find(([name]) => name === "Authorization")?.[1] ?? "",
  ) ?? [];
  const expiry = claims === undefined ? undefined : at(parse(fromBase64Url(claims)), "exp");
  const tokenEnd = typeof expiry === "number" ? new Date(expiry * 1_000) : undefined;
  const certificateEnd = certificate === undefined
    ? undefined
    : new X509Certificate(certificate.cert).validToDate;
  return [
    ...isPast(tokenEnd) ? [`The token expired on ${dayOf(tokenEnd!)}.`] : [],
    ...isPast(certificateEnd)
      ? [`The client certificate expired on ${dayOf(certificateEnd!)}.`]
      : [],
  ];
}

function isPast(date: Date | undefined): boolean {
  return date !== undefined && date.getTime() < Date.now();
}

function fromBase64Url(text: string): string {
  try {
    return new TextDecoder().decode(Uint8Array.fromBase64(text, { alphabet: "base64url" }));
  } catch {
    return "";
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What lies in an object at the end of these names. */
function at(value: unknown, ...names: readonly string[]): unknown {
  return names.reduce<unknown>((inner, name) => (inner as Record<string, unknown>)?.[name], value);
}

function fieldOf(body: string, name: string): string | undefined {
  const value = at(parse(body), name);
  return typeof value === "string" ? value : undefined;
}
