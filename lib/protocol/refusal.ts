/** Every refusal: the one place that pairs a situation with an answer. */

/**
 * Situation → status (RFC 9110 §15), Proxy-Status error type (RFC 9209 §2.3),
 * reason phrase, log level and advice for the person who reads the answer.
 *
 * Go clients such as kubectl show their users only the phrase.
 */
export const REFUSALS = {
  malformed_head: {
    status: 400,
    error: "http_request_error",
    level: "warn",
    phrase: "Malformed CONNECT request",
    advice:
      "Send `CONNECT host:port HTTP/1.1`, a Host field and a blank line, each line ending in CR LF.",
  },
  body_announced: {
    status: 400,
    error: "http_request_error",
    level: "warn",
    phrase: "CONNECT takes no body",
    advice:
      "Leave out Content-Length and Transfer-Encoding: bytes after a CONNECT request belong to the tunnel.",
  },
  source_denied: {
    status: 403,
    error: "http_request_denied",
    level: "warn",
    phrase: "Source address not allowed by the API server proxy",
    advice: "Ask the administrator of this proxy to add your address to --allow-from.",
  },
  authority_denied: {
    status: 403,
    error: "http_request_denied",
    level: "warn",
    phrase: "Host not allowed by the API server proxy",
    advice: "Ask for a host and port on this proxy's --allowed-hosts list.",
  },
  method_not_allowed: {
    status: 405,
    error: "http_request_error",
    level: "warn",
    phrase: "Only CONNECT is served here",
    advice:
      "This is a proxy, not the API server: use its address as proxy-url (kubeconfig) or https_proxy.",
    fields: "Allow: CONNECT\r\n",
  },
  credentials_missing: {
    status: 407,
    error: "http_request_denied",
    level: "warn",
    phrase: "Credentials for the API server proxy missing",
    advice:
      "Put the name and the secret that its administrator gave you into the proxy's URL: http://NAME:SECRET@HOST:PORT.",
    fields: 'Proxy-Authenticate: Basic realm="api-server-proxy"\r\n',
  },
  credentials_wrong: {
    status: 407,
    error: "http_request_denied",
    level: "warn",
    phrase: "Credentials not accepted by the API server proxy",
    advice: "Ask the administrator of this proxy for a new secret for your name.",
    fields: 'Proxy-Authenticate: Basic realm="api-server-proxy"\r\n',
  },
  head_timeout: {
    status: 408,
    error: "http_request_error",
    level: "warn",
    phrase: "Request head not complete in time",
    advice: "Send the whole CONNECT request, including the blank line, at once.",
  },
  request_line_too_long: {
    status: 414,
    error: "http_request_error",
    level: "warn",
    phrase: "Request line too long",
    advice: "The request line may be at most 8 KiB: `CONNECT host:port HTTP/1.1`.",
  },
  head_too_long: {
    status: 431,
    error: "http_request_error",
    level: "warn",
    phrase: "Request head too long",
    advice: "The request line and all fields together may be at most 16 KiB.",
  },
  internal_error: {
    status: 500,
    error: "proxy_internal_error",
    level: "error",
    phrase: "API server proxy failed",
    advice: "This is a fault in the proxy: its log has the details.",
  },
  upstream_refused: {
    status: 502,
    error: "connection_refused",
    level: "error",
    phrase: "API server refused the connection",
    advice:
      "The API server may be restarting: try again, and if it keeps failing ask the proxy's administrator to check --upstream.",
  },
  upstream_unreachable: {
    status: 502,
    error: "destination_ip_unroutable",
    level: "error",
    phrase: "API server cannot be reached from its proxy",
    advice: "Ask the administrator of this proxy to check --upstream and the routes to it.",
  },
  upstream_name_not_found: {
    status: 502,
    error: "dns_error",
    level: "error",
    phrase: "Name of the API server not found by its proxy",
    advice: "Ask the administrator of this proxy to check --upstream and DNS.",
  },
  upstream_is_proxy: {
    status: 502,
    error: "proxy_loop_detected",
    level: "error",
    phrase: "API server proxy would connect to itself",
    advice:
      "Ask the administrator of this proxy to set --upstream to the API server's address, not the proxy's.",
  },
  too_many_connections: {
    status: 503,
    error: "connection_limit_reached",
    level: "warn",
    phrase: "Too many connections to the API server proxy",
    advice: "Try again in a moment, or ask the administrator of this proxy to raise its limits.",
    fields: "Retry-After: 1\r\n",
  },
  too_many_from_source: {
    status: 503,
    error: "connection_limit_reached",
    level: "warn",
    phrase: "Too many connections from one source address to the API server proxy",
    advice:
      "Close connections and try again, or ask the administrator of this proxy to raise --max-connections-per-source.",
    fields: "Retry-After: 1\r\n",
  },
  local_shortage: {
    status: 503,
    error: "connection_limit_reached",
    level: "error",
    phrase: "API server proxy is short of ports or descriptors",
    advice:
      "Try again in a moment, or ask the administrator of this proxy to raise its limit of open files or its machine's range of local ports.",
    fields: "Retry-After: 1\r\n",
  },
  draining: {
    status: 503,
    error: "destination_unavailable",
    level: "info",
    phrase: "API server proxy is shutting down",
    advice: "Try again: another replica, or this one after its restart, will answer.",
    fields: "Retry-After: 1\r\n",
  },
  version_not_supported: {
    status: 505,
    error: "http_protocol_error",
    level: "warn",
    phrase: "Only HTTP/1.0 and HTTP/1.1 are served here",
    advice: "Send the CONNECT request itself with HTTP/1.1; the tunnel may carry any protocol.",
  },
  upstream_timeout: {
    status: 504,
    error: "connection_timeout",
    level: "error",
    phrase: "API server did not answer its proxy in time",
    advice:
      "The API server or the network path to it may be down: try again, and if it keeps failing ask its administrator.",
  },
} as const;

/** A situation in which the proxy refuses a client. */
export type RefusalKind = keyof typeof REFUSALS;

/** Ends a connection with a refusal. The message says what was wrong, to clients and in the log. */
export class Refusal extends Error {
  override readonly name = "Refusal";

  /** @param reason Our own words, never the client's bytes: it is sent and logged. */
  constructor(readonly kind: RefusalKind, reason?: string) {
    super(reason ?? REFUSALS[kind].phrase);
  }
}

/**
 * The whole HTTP/1.1 response (RFC 9112 §4) to a refused request.
 *
 * @param hasBody `false` for HEAD: the fields are the same, and the body is left out.
 */
export function refusalResponse(
  { kind, message }: Refusal,
  hasBody = true,
): Uint8Array<ArrayBuffer> {
  const { status, error, phrase, advice, ...more } = REFUSALS[kind];
  const body = `${message === phrase ? phrase : `${phrase}: ${message}`}. ${advice}\n`;
  // An sf-string (RFC 8941 §3.3.3): what reasons are made of needs no escape but these.
  const details = message.replace(/["\\]/g, "\\$&");
  return new TextEncoder().encode(
    `HTTP/1.1 ${status} ${phrase}\r\n` +
      "Content-Type: text/plain\r\n" +
      `Content-Length: ${body.length}\r\n` +
      "Connection: close\r\n" +
      `Proxy-Status: api-server-proxy; error=${error}; details="${details}"\r\n` +
      ("fields" in more ? more.fields : "") +
      `\r\n${hasBody ? body : ""}`,
  );
}
