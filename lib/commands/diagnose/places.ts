/** Proxy and API server, read from their URLs, with what is wrong with these. Pure. */
import { failed, type Finding } from "./finding.ts";
import { basic } from "./http.ts";
import { noProxyEntryFor } from "./no_proxy.ts";
import { InputError, type ProxyPlace, type ServerPlace } from "./target.ts";

/** Where the proxy's own port is not given, it is this one. */
export const PROXY_PORT = 8118;
/** What to write where the proxy stands. */
export const NAME_AS_SERVER = "a name of the API server as server: https://kubernetes.default.svc";

/** Reads the URL of the API server. @throws {InputError} When it is none. */
export function readServer(text: string, problems: Finding[]): ServerPlace {
  checkCharacters("server", text, problems);
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
export function readProxy(text: string, problems: Finding[]): ProxyPlace {
  const read = text.replaceAll(new RegExp(BLANKS, "g"), "");
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(read)?.[1]?.toLowerCase();
  const rest = scheme === undefined ? read : read.slice(scheme.length + "://".length);
  const url = parseUrl(`http://${rest}`);
  if (url === undefined || url.hostname === "") {
    // Not the text: it may have a secret in it.
    throw new InputError(`the proxy's URL: takes a URL such as http://10.81.0.3:${PROXY_PORT}`);
  }
  const hasPort = /:\d+$/.test(rest.replace(/[/?#].*$/s, ""));
  const isHttp = scheme === "http";
  const port = hasPort ? Number(url.port || 80) : isHttp ? 80 : PROXY_PORT;
  if (!isHttp) {
    // Not those of the URL: this is printed.
    const userInfo = url.username === "" ? "" : "NAME:SECRET@";
    const right = `http://${userInfo}${url.hostname}:${port}`;
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
  checkCharacters("proxy-url", text, problems);
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

/** Whether `NO_PROXY` keeps clients of `HTTPS_PROXY` from the proxy. */
export function checkNoProxy(
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

/** Characters that kubectl, like every program in Go, takes in no URL, while others leave them out. */
// deno-lint-ignore no-control-regex -- these are what it is about
const BLANKS = /[\x00-\x20\x7f]/;
/** What may stand in front of the @ (RFC 3986 §3.2.1). */
const USER_INFO = /^(?:[\w.~!$&'()*+,;=:@-]|%[0-9a-f]{2})*$/i;

/** Adds what kubectl cannot read in a URL. The text is not shown: it may have a secret in it. */
function checkCharacters(field: string, text: string, problems: Finding[]): void {
  const [, userInfo = ""] = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)@/i.exec(text) ?? [];
  if (BLANKS.test(text)) {
    problems.push(failed(
      `${field} has a blank or a line break in it, with which kubectl cannot read it`,
      `Remove it from ${field}.`,
    ));
  } else if (!USER_INFO.test(userInfo)) {
    problems.push(failed(
      `the name and secret in ${field} have a character with which kubectl cannot read it`,
      "Write such characters percent-encoded there: % as %25, # as %23, / as %2F.",
    ));
  }
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
