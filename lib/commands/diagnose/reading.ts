/** Which path to diagnose: from a kubeconfig, or from two URLs. Pure. */
import { formatAddress } from "../../protocol/address.ts";
import { checkCertificates, type Fields, isObject, optional, pemOf } from "./fields.ts";
import { failed, type Finding, ok } from "./finding.ts";
import { checkNoProxy, NAME_AS_SERVER, PROXY_PORT, readProxy, readServer } from "./places.ts";
import { InputError, KUBECONFIG_COMMAND, type Reading, type Target } from "./target.ts";
import { NO_USER, readUser } from "./user.ts";

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
    const place = formatAddress({ hostname: server.host, port: server.port });
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
