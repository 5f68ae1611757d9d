/** The step `connect`: does the proxy open a tunnel, and if not, what is it that answers? */
import type net from "node:net";
import { formatAddress } from "../../protocol/address.ts";
import { failed, type Finding, ok, type Outcome } from "./finding.ts";
import { hasHead, hasResponse, type HttpResponse, parseResponse, utf8 } from "./http.ts";
import { readUntil, send, startTls, StepTimeout } from "./sockets.ts";
import type { ProxyPlace, ServerPlace } from "./target.ts";
import { namesOf } from "./certificate.ts";

/** What is to be said of a proxy of another make. */
const ADVICE: Readonly<Record<number, string>> = {
  403: "Ask the proxy's administrator whether it allows CONNECT to this host and port from here.",
  502: "The proxy cannot connect to the API server: ask its administrator to check the path to it.",
  503:
    "The proxy has no capacity, or none of its API servers answers: try again, then ask its administrator.",
  504: "The API server does not answer the proxy: ask its administrator to check the path to it.",
};
const NOT_A_PROXY = "proxy-url must be the address of the proxy, which listens on 8118 by default.";

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

/** Whether that is the answer of a proxy that has opened the tunnel. */
export function isTunnel(response: HttpResponse | undefined): boolean {
  if (response === undefined || response.status < 200 || response.status > 299) return false;
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
  try {
    answer = await askForTunnel(socket, proxy, server, signal);
  } catch (error) {
    if (error instanceof StepTimeout) {
      return failed(
        `the connection is open, but nothing answered within ${error.message}`,
        "What listens there is no proxy, or it hangs. " + NOT_A_PROXY,
      );
    }
    // Closed or reset: the next question may show what it is.
  }
  const response = parseResponse(answer);
  if (isTunnel(response)) {
    return { ...ok(`${response!.status} ${response!.phrase}`), value: socket };
  }
  socket.destroy();
  if (response !== undefined && isRefusal(response)) return refusal(response, proxy);
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

/** Statuses that only a proxy, or what stands in front of one, has a reason to give. */
function isRefusal({ status, fields }: HttpResponse): boolean {
  return fields.has("proxy-status") || [403, 407, 502, 503, 504].includes(status);
}

function refusal(response: HttpResponse, proxy: ProxyPlace): Finding {
  const { status, phrase, fields, body } = response;
  const isOurs = fields.get("proxy-status")?.startsWith("api-server-proxy") ?? false;
  const server = fields.get("server");
  const found = `the proxy refused: ${status} ${utf8(phrase)}` +
    (server === undefined ? "" : ` (${server})`);
  const own = isOurs ? [utf8(body).trim().replace(`${phrase}. `, "")] : [];
  if (status === 407) {
    return failed(
      found,
      ...own,
      proxy.authorization === undefined
        ? "The proxy wants a name and a secret: proxy-url: http://NAME:SECRET@HOST:PORT."
        : "The proxy does not accept the name and secret in proxy-url: ask its administrator.",
    );
  }
  return failed(
    found,
    ...isOurs ? own : [ADVICE[status] ?? "Ask the administrator of the proxy."],
  );
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
