/** Which path to diagnose: from a kubeconfig, or from two URLs. Pure. */
import { Buffer } from "node:buffer";
import { createPrivateKey } from "node:crypto";
import { readCertificates } from "./certificate.ts";
import { failed, type Finding, ok } from "./finding.ts";
import { noProxyEntryFor } from "./no_proxy.ts";

/** The path from here to an API server. */
export interface Target {
  /** `undefined` where the kubeconfig names none. */
  readonly proxy: ProxyPlace | undefined;
  readonly server: ServerPlace;
  readonly trust: Trust;
  readonly user: User;
}

/** The proxy that is to be asked for a tunnel. */
export interface ProxyPlace {
  /** An IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
  /** Whether the URL had none, so that the scheme decides. */
  readonly isDefaultPort: boolean;
  /** The field `Proxy-Authorization`, where the URL has a name and a secret. */
  readonly authorization: string | undefined;
}

/** The API server. */
export interface ServerPlace {
  readonly host: string;
  readonly port: number;
  /** What stands before `/readyz`, without a slash at its end: some servers have several clusters. */
  readonly basePath: string;
}

/** How the API server's certificate is verified. */
export interface Trust {
  /** The name that the certificate must have. */
  readonly name: string;
  /** Certificates in PEM; `undefined`: those of public authorities. */
  readonly authorities: string | undefined;
  /** Whether the client accepts every certificate. */
  readonly isInsecure: boolean;
}

/** With what the client authenticates. */
export interface User {
  /** Fields of each request: names and values. */
  readonly fields: readonly (readonly [string, string])[];
  readonly certificate: { readonly cert: string; readonly key: string } | undefined;
  /** Such as `a token`; `undefined` when there is nothing to authenticate with. */
  readonly credentials: string | undefined;
  /** Why there is nothing. */
  readonly whyNone: string;
}

/** Wrong arguments, or no kubeconfig: nothing can be diagnosed. */
export class InputError extends Error {
  override readonly name = "InputError";
}

/** The command that makes the kubeconfig which this command reads. */
export const KUBECONFIG_COMMAND = "kubectl config view --raw --minify --flatten -o json";

/** The path, and what is to be said of the kubeconfig. */
export interface Reading {
  readonly target: Target;
  readonly finding: Finding;
}

type Fields = Readonly<Record<string, unknown>>;

/** Where the proxy's own port is not given, it is this one. */
const PROXY_PORT = 8118;
const NAME_AS_SERVER = "a name of the API server as server: https://kubernetes.default.svc";
const NO_USER: User = {
  fields: [],
  certificate: undefined,
  credentials: undefined,
  whyNone: "no credentials given",
};

/**
 * Reads a kubeconfig.
 *
 * @param proxyUrl Takes the place of its `proxy-url`, as `HTTPS_PROXY` would.
 * @param noProxy The value of `NO_PROXY`.
 * @throws {InputError} When it is not one.
 */
export function readKubeconfig(text: string, proxyUrl?: string, noProxy?: string): Reading {
  const config = parseJson(text);
  const contextName = String(config["current-context"] ?? "");
  const context = entry(config, "context", contextName);
  const cluster = entry(config, "cluster", String(context.cluster ?? ""));
  const user = context.user === undefined ? {} : entry(config, "user", String(context.user));
  const label = `context "${contextName}"`;

  const problems: Finding[] = [];
  const server = readServer(String(cluster.server ?? ""), problems);
  const urlText = proxyUrl ?? optional(cluster, "proxy-url");
  const proxy = urlText === undefined ? undefined : readProxy(urlText, problems);
  const setCluster = `kubectl config set-cluster ${context.cluster}`;
  if (proxy === undefined) {
    const place = `${server.host}:${server.port}`;
    const isProxy = server.port === PROXY_PORT && problems.length === 0;
    problems.unshift(failed(
      `${label} has no proxy-url, so kubectl connects to ${place} directly`,
      ...isProxy
        ? [`If ${place} is the proxy, write http://${place} as proxy-url, and ${NAME_AS_SERVER}`]
        : [],
      `Name the proxy in the kubeconfig: ${setCluster} --proxy-url=http://ADDRESS:${PROXY_PORT}`,
      "Without it kubectl takes a proxy from HTTPS_PROXY, unless NO_PROXY matches the server: " +
        "entries such as .svc do. To check that: " +
        `${KUBECONFIG_COMMAND} | api-server-proxy diagnose "$HTTPS_PROXY" --noproxy "$NO_PROXY"`,
    ));
  }
  if (proxyUrl !== undefined) checkNoProxy(server, noProxy, problems);

  const authorities = pemOf(cluster, "certificate-authority");
  if (authorities !== undefined) checkCertificates(authorities, "certificate-authority-data");
  const target: Target = {
    proxy,
    server,
    trust: {
      name: optional(cluster, "tls-server-name") ?? server.host,
      authorities,
      isInsecure: cluster["insecure-skip-tls-verify"] === true,
    },
    user: readUser(user),
  };
  const as = target.user.credentials ?? target.user.whyNone;
  return { target, finding: summary(problems, `${label}; user "${context.user}": ${as}`) };
}

/**
 * Reads the arguments.
 *
 * @param authorities Certificates in PEM; `undefined` when none were given.
 * @throws {InputError} When a URL is not one.
 */
export function readArguments(
  proxyUrl: string,
  serverUrl: string,
  authorities: string | undefined,
  noProxy?: string,
): Reading {
  const problems: Finding[] = [];
  const server = readServer(serverUrl, problems);
  const proxy = readProxy(proxyUrl, problems);
  checkNoProxy(server, noProxy, problems);
  if (authorities !== undefined) checkCertificates(authorities, "the certificate authority");
  const trust = { name: server.host, authorities, isInsecure: false };
  return {
    target: { proxy, server, trust, user: NO_USER },
    finding: summary(problems, "none: proxy and server are given as arguments"),
  };
}

/** One finding of all of them. */
function summary(problems: readonly Finding[], found: string): Finding {
  if (problems.length === 0) return ok(found);
  return failed(
    problems.map((problem) => problem.found).join("; "),
    ...problems.flatMap((problem) => problem.next),
  );
}

function parseJson(text: string): Fields {
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch {
    throw new InputError(
      "standard input is no kubeconfig in JSON; this command reads no YAML and no files: " +
        `${KUBECONFIG_COMMAND} | api-server-proxy diagnose`,
    );
  }
  const isConfig = isObject(config) && Array.isArray(config.clusters);
  if (!isConfig) {
    throw new InputError(
      `standard input has no clusters: it takes what ${KUBECONFIG_COMMAND} prints`,
    );
  }
  return config as Fields;
}

/** What a list of the kubeconfig has under a name. @throws {InputError} When there is nothing. */
function entry(config: Fields, kind: "context" | "cluster" | "user", name: string): Fields {
  const list = config[`${kind}s`];
  const found = (Array.isArray(list) ? list : [])
    .find((item) => isObject(item) && item.name === name);
  if (found === undefined) {
    throw new InputError(
      kind === "context" && name === ""
        ? "the kubeconfig has no current-context: choose one with kubectl config view --context=NAME"
        : `the kubeconfig has no ${kind} named ${JSON.stringify(name)}`,
    );
  }
  const value = (found as Fields)[kind];
  return isObject(value) ? value : {};
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A field that has a text which is not empty. */
function optional(fields: Fields, name: string): string | undefined {
  const value = fields[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}

function readServer(text: string, problems: Finding[]): ServerPlace {
  const url = parseUrl(text);
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new InputError(
      `server ${JSON.stringify(text)}: takes a URL such as https://kubernetes.default.svc`,
    );
  }
  if (url.protocol === "http:") {
    problems.push(failed(
      `server is ${text}, which is not https: a client then asks the proxy for no tunnel`,
      `Write https://${url.host}. If that is the proxy's address, write it as proxy-url, and ` +
        NAME_AS_SERVER,
    ));
  }
  const host = bare(url.hostname);
  const basePath = url.pathname.replace(/\/+$/, "");
  return { host, port: Number(url.port || (url.protocol === "http:" ? 80 : 443)), basePath };
}

/** Reads the URL of the proxy, with the scheme that it should have had. */
function readProxy(text: string, problems: Finding[]): ProxyPlace {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase();
  const rest = scheme === undefined ? text : text.slice(scheme.length + "://".length);
  const url = parseUrl(`http://${rest}`);
  if (url === undefined || url.hostname === "") {
    // Not the text: it may have a secret in it.
    throw new InputError(`the proxy's URL: takes a URL such as http://10.81.0.3:${PROXY_PORT}`);
  }
  const hasPort = /:\d+$/.test(rest.replace(/[/?#].*$/s, ""));
  const isHttp = scheme === "http";
  const port = hasPort ? Number(url.port || 80) : isHttp ? 80 : PROXY_PORT;
  if (!isHttp) {
    const right = `http://${url.hostname}:${port}`;
    const why = scheme === "https"
      ? "kubectl then speaks TLS to the proxy, which takes plain HTTP; " +
        "the TLS of the API server runs inside the tunnel all the same"
      : scheme === undefined
      ? "kubectl does not know what to speak"
      : `the proxy is an HTTP proxy and does not speak ${scheme}`;
    problems.push(failed(
      `proxy-url has ${scheme === undefined ? "no scheme" : `the scheme ${scheme}://`}: ${why}`,
      `Write ${right} as proxy-url. The steps below use that.`,
    ));
  }
  const { username, password } = url;
  return {
    host: bare(url.hostname),
    port,
    isDefaultPort: isHttp && !hasPort,
    authorization: username === "" && password === ""
      ? undefined
      : basic(decode(username), decode(password)),
  };
}

/** Text as it was before it was percent-encoded, or as it is where it never was. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function parseUrl(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined;
}

function bare(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, "");
}

function checkNoProxy(
  { host, port }: ServerPlace,
  noProxy: string | undefined,
  problems: Finding[],
): void {
  const entry = noProxyEntryFor(host, port, noProxy ?? "");
  if (entry === undefined) return;
  problems.push(failed(
    `NO_PROXY has ${entry}, which matches ${host}: clients leave out the proxy of HTTPS_PROXY`,
    `Remove ${entry} from NO_PROXY, or give the proxy as proxy-url in the kubeconfig: then ` +
      "kubectl does not look at NO_PROXY.",
  ));
}

/** Certificates or a key: in the kubeconfig itself, or, which cannot be read, in a file. */
function pemOf(fields: Fields, name: string): string | undefined {
  const data = optional(fields, `${name}-data`);
  if (data !== undefined) {
    if ([data, atobOrNothing(data)].some((text) => text === "DATA+OMITTED")) {
      throw new InputError(`the kubeconfig has its secrets removed: ${KUBECONFIG_COMMAND}`);
    }
    return atobOrNothing(data) ?? "";
  }
  const file = optional(fields, name);
  if (file === undefined) return undefined;
  throw new InputError(
    `${name} is a file (${file}), and this command reads no files; with --flatten kubectl puts ` +
      `its content in: ${KUBECONFIG_COMMAND} | api-server-proxy diagnose`,
  );
}

/** @throws {InputError} When it is not certificates in PEM. */
function checkCertificates(text: string, what: string): void {
  try {
    if (readCertificates(text).length > 0) return;
  } catch {
    // It looks like a certificate, and is none.
  }
  throw new InputError(`${what}: takes a certificate in PEM, -----BEGIN CERTIFICATE----- and on`);
}

/** @throws {InputError} When the key is none, or another one's. */
function checkKey({ cert, key }: { readonly cert: string; readonly key: string }): void {
  let fits;
  try {
    fits = readCertificates(cert)[0]!.checkPrivateKey(createPrivateKey(key));
  } catch {
    throw new InputError("client-key-data: takes a private key in PEM");
  }
  if (!fits) throw new InputError("client-key-data: not the key of client-certificate-data");
}

function atobOrNothing(text: string): string | undefined {
  try {
    return atob(text);
  } catch {
    return undefined;
  }
}

function readUser(user: Fields): User {
  const token = optional(user, "token");
  if (token === "REDACTED") {
    throw new InputError(`the kubeconfig has its secrets removed: ${KUBECONFIG_COMMAND}`);
  }
  const [name, password] = [optional(user, "username"), optional(user, "password")];
  const cert = pemOf(user, "client-certificate");
  const key = pemOf(user, "client-key");
  const authorization = token !== undefined
    ? `Bearer ${token}`
    : name !== undefined && password !== undefined
    ? basic(name, password)
    : undefined;
  const certificate = cert !== undefined && key !== undefined ? { cert, key } : undefined;
  if (certificate !== undefined) {
    checkCertificates(certificate.cert, "client-certificate-data");
    checkKey(certificate);
  }
  const credentials = [
    ...authorization === undefined ? [] : [token === undefined ? "a password" : "a token"],
    ...certificate === undefined ? [] : ["a client certificate"],
  ];
  return {
    fields: [
      ...authorization === undefined ? [] : [["Authorization", authorization] as const],
      ...impersonation(user),
    ],
    certificate,
    credentials: credentials.length > 0 ? credentials.join(" and ") : undefined,
    whyNone: whyNoCredentials(user),
  };
}

/** What a client may ask for on behalf of another user. */
function impersonation(user: Fields): (readonly [string, string])[] {
  const as = optional(user, "as"), uid = optional(user, "as-uid"), groups = user["as-groups"];
  return [
    ...as === undefined ? [] : [["Impersonate-User", as] as const],
    ...uid === undefined ? [] : [["Impersonate-Uid", uid] as const],
    ...(Array.isArray(groups) ? groups : []).map((group) =>
      ["Impersonate-Group", String(group)] as const
    ),
  ];
}

/** Credentials of the scheme Basic (RFC 7617). */
function basic(name: string, secret: string): string {
  const pair = `${name}:${secret}`;
  return `Basic ${Buffer.from(pair).toString("base64")}`;
}

function whyNoCredentials(user: Fields): string {
  if (isObject(user.exec)) {
    return `its credentials come from a program (${user.exec.command}), which cannot be run here`;
  }
  if (user["auth-provider"] !== undefined) {
    return "its credentials come from an auth-provider, which cannot be run here";
  }
  const file = optional(user, "tokenFile");
  if (file !== undefined) return `its token is in a file (${file}), which is not read here`;
  return "no credentials given";
}
