/** The step `connect`: does the proxy open a tunnel, and if not, what is it that answers? */
import type net from "node:net";
import { formatAddress, normalAddress } from "../../protocol/address.ts";
import { failed, type Finding, ok, type Outcome } from "./finding.ts";
import { hasHead, hasResponse, type HttpResponse, parseResponse, utf8 } from "./http.ts";
import { readUntil, send, startTls } from "./sockets.ts";
import type { ProxyPlace, ServerPlace } from "./target.ts";
import { namesOf } from "./certificate.ts";

/** As it stands in Proxy-Status. */
const OUR_NAME = "api-server-proxy";
const IF_OURS =
  "If you want api-server-proxy, correct the address and port in proxy-url: it listens on 8118 by " +
  "default.";
const NOT_A_PROXY = "proxy-url must be the address of the proxy, which listens on 8118 by default.";

/** How long to wait for a tunnel: then there is time left to ask what it is that does not answer. */
const ANSWER_MS = 4_500;

/** Asks the proxy for a tunnel. @returns What it answered, as text in Latin-1. */
export async function askForTunnel(
  socket: net.Socket,
  proxy: ProxyPlace,
  server: ServerPlace,
  signal: AbortSignal,
): Promise<string> {
  const authority = formatAddress({ hostname: server.host, port: server.port });
  const fields = proxy.authorization === undefined
    ? ""
    : `Proxy-Authorization: ${proxy.authorization}\r\n`;
  send(socket, `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${fields}\r\n`);
  // A refusal has its advice in the body, which an answer of 200 has not.
  const isEnough = (text: string) =>
    hasHead(text) && (parseResponse(text)?.status === 200 || hasResponse(text));
  return await readUntil(socket, isEnough, signal);
}

/** Whether that is the answer of a proxy that has opened the tunnel: Go takes 200 alone for it. */
export function isTunnel(response: HttpResponse | undefined): boolean {
  if (response?.status !== 200) return false;
  const { fields } = response;
  return !fields.has("transfer-encoding") && Number(fields.get("content-length") ?? 0) === 0 &&
    !fields.has("content-type");
}

/**
 * Asks the proxy for a tunnel and says what came of it.
 *
 * @param dialAgain Connects to the same place: to ask what it is, if it is no proxy.
 */
export async function openTunnel(
  socket: net.Socket,
  proxy: ProxyPlace,
  server: ServerPlace,
  dialAgain: () => Promise<net.Socket>,
  signal: AbortSignal,
): Promise<Outcome<net.Socket>> {
  let answer = "";
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(), ANSWER_MS);
  try {
    answer = await askForTunnel(socket, proxy, server, patience.signal);
  } catch {
    if (patience.signal.aborted) return noAnswer(await askWhoItIs(dialAgain, signal));
    // Closed or reset: the next question may show what it is.
  } finally {
    clearTimeout(timer);
  }
  const response = parseResponse(answer);
  if (isTunnel(response)) {
    return { ...ok(`${response!.status} ${utf8(response!.phrase)}`), value: socket };
  }
  socket.destroy();
  if (response !== undefined) {
    if (isOurs(response)) return refusal(response);
    if (isOtherProxy(response)) return refusalOfOther(response, proxy, server);
  }
  const certificateNames = await namesBehindTls(dialAgain, signal);
  if (certificateNames !== undefined) {
    return failed(
      `a TLS server answers, not a proxy; its certificate is for ${certificateNames}`,
      /\bkubernetes\b/.test(certificateNames)
        ? "This is an API server: write its address as server, and the proxy's address as proxy-url."
        : "It may be an API server or a web server.",
      NOT_A_PROXY,
    );
  }
  return noProxy(answer, response);
}

function isOurs({ fields }: HttpResponse): boolean {
  return fields.get("proxy-status")?.startsWith(OUR_NAME) ?? false;
}

/** Fields that proxies send, and web servers do not. */
const PROXY_FIELDS = ["proxy-status", "proxy-authenticate", "via", "x-squid-error"];
/** Statuses that only a proxy, or what stands in front of one, has a reason to give. */
const PROXY_STATUSES = [403, 407, 502, 503, 504];

function isOtherProxy({ status, fields }: HttpResponse): boolean {
  return PROXY_STATUSES.includes(status) || PROXY_FIELDS.some((name) => fields.has(name)) ||
    /proxy|squid|envoy/i.test(fields.get("server") ?? "");
}

/** Its advice is in the body, after the phrase. */
function refusal({ status, phrase, body }: HttpResponse): Finding {
  const advice = utf8(body).trim().replace(`${phrase}. `, "");
  return failed(`the proxy refused: ${status} ${utf8(phrase)}`, advice);
}

function refusalOfOther(
  response: HttpResponse,
  { authorization }: ProxyPlace,
  { host, port }: ServerPlace,
): Finding {
  const { status, phrase } = response;
  const authority = formatAddress({ hostname: host, port });
  const why = status === 403
    ? `does not allow ${authority}: ask its administrator.`
    : status === 407
    ? authorization === undefined
      ? "wants a name and a secret: proxy-url: http://NAME:SECRET@HOST:PORT."
      : "does not accept the name and secret in proxy-url: ask its administrator."
    : status >= 500
    ? normalAddress(host) === undefined
      ? `cannot connect to ${authority}. It may look up that name in its own network; a Service's ` +
        "name is known in its own cluster only."
      : `cannot connect to ${authority}: ask its administrator why.`
    : "refuses the tunnel: ask its administrator.";
  return failed(
    `${nameOf(response)} answers, not api-server-proxy: ${status} ${utf8(phrase)}`,
    IF_OURS,
    `If you want this proxy: it ${why}`,
  );
}

/** What answers a simple request, as far as it shows that it is a proxy. */
async function askWhoItIs(
  dialAgain: () => Promise<net.Socket>,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const socket = await dialAgain();
    send(socket, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    const response = parseResponse(await readUntil(socket, hasHead, signal));
    socket.destroy();
    if (response === undefined) return undefined;
    if (isOurs(response)) return OUR_NAME;
    return isOtherProxy(response) ? nameOf(response) : undefined;
  } catch {
    return undefined;
  }
}

function noAnswer(name: string | undefined): Finding {
  const seconds = `${ANSWER_MS / 1_000} s`;
  if (name === undefined) {
    return failed(
      `the connection is open, but nothing answered within ${seconds}`,
      `What listens there is no proxy, or it hangs. ${NOT_A_PROXY}`,
    );
  }
  return failed(
    `${name} answers, but did not open the tunnel within ${seconds}`,
    ...name === OUR_NAME ? [] : [IF_OURS],
    "It may be waiting for the API server: ask the proxy's administrator to check the path from it " +
      "to there.",
  );
}

/** Who it is, by its own words. */
function nameOf({ fields }: HttpResponse): string {
  return utf8(fields.get("server") ?? "another proxy");
}

function noProxy(answer: string, response: HttpResponse | undefined): Finding {
  if (response !== undefined) {
    const { status, phrase, fields } = response;
    const server = fields.get("server");
    const name = server === undefined ? "a web server" : `a web server (${server})`;
    return failed(
      `${name} answers, not a CONNECT proxy: ${status} ${utf8(phrase)}`,
      NOT_A_PROXY,
    );
  }
  if (answer === "") {
    return failed(
      "the connection was closed without an answer",
      "What listens there is no HTTP proxy, or it closes connections from this machine. " +
        NOT_A_PROXY,
    );
  }
  const start = answer.slice(0, 40).split(/[\r\n]/)[0]!;
  return failed(`what answers does not speak HTTP: ${JSON.stringify(start)}`, NOT_A_PROXY);
}

/** The names in the certificate of what listens there, if that speaks TLS. */
async function namesBehindTls(
  dialAgain: () => Promise<net.Socket>,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const trust = { name: "kubernetes.default.svc", authorities: undefined };
    const secure = await startTls(await dialAgain(), trust, undefined, signal);
    const names = namesOf(secure.getPeerX509Certificate()!);
    secure.destroy();
    return names;
  } catch {
    return undefined;
  }
}
