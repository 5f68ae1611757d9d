import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  Refusal,
  type RefusalKind,
  refusalResponse,
  REFUSALS,
} from "../../lib/protocol/refusal.ts";

/** Section 3 of the design, row by row. */
const ANSWERS: readonly (readonly [kind: RefusalKind, status: number, error: string])[] = [
  ["malformed_head", 400, "http_request_error"],
  ["body_announced", 400, "http_request_error"],
  ["source_denied", 403, "http_request_denied"],
  ["authority_denied", 403, "http_request_denied"],
  ["credentials_missing", 407, "http_request_denied"],
  ["credentials_wrong", 407, "http_request_denied"],
  ["method_not_allowed", 405, "http_request_error"],
  ["head_timeout", 408, "http_request_error"],
  ["request_line_too_long", 414, "http_request_error"],
  ["head_too_long", 431, "http_request_error"],
  ["version_not_supported", 505, "http_protocol_error"],
  ["upstream_refused", 502, "connection_refused"],
  ["upstream_unreachable", 502, "destination_ip_unroutable"],
  ["upstream_name_not_found", 502, "dns_error"],
  ["upstream_timeout", 504, "connection_timeout"],
  ["too_many_connections", 503, "connection_limit_reached"],
  ["too_many_from_source", 503, "connection_limit_reached"],
  ["local_shortage", 503, "connection_limit_reached"],
  ["draining", 503, "destination_unavailable"],
  ["upstream_is_proxy", 502, "proxy_loop_detected"],
  ["internal_error", 500, "proxy_internal_error"],
];

interface Response {
  readonly status: number;
  readonly phrase: string;
  readonly fields: ReadonlyMap<string, string>;
  readonly body: string;
}

/** Reads a response strictly; the body is all that comes after the head. */
function parseResponse(bytes: Uint8Array): Response {
  const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  const end = text.indexOf("\r\n\r\n");
  assert(end > 0, "no blank line");
  const [line = "", ...fieldLines] = text.slice(0, end).split("\r\n");
  const [, status, phrase = ""] = /^HTTP\/1\.1 (\d{3}) ([ -~]+)$/.exec(line) ?? [];
  assert(status !== undefined, line);
  const fields = new Map<string, string>();
  for (const fieldLine of fieldLines) {
    const [, name, value] = /^([A-Za-z-]+): ([ -~]+)$/.exec(fieldLine) ?? [];
    assert(name !== undefined && value !== undefined, fieldLine);
    assert(!fields.has(name.toLowerCase()), `${name} twice`);
    fields.set(name.toLowerCase(), value);
  }
  return { status: Number(status), phrase, fields, body: text.slice(end + 4) };
}

/** Reads a Proxy-Status field of one member (RFC 9209 §2, RFC 8941 §3.3.3). */
function parseProxyStatus(value = ""): { proxy: string; error: string; details: string } {
  const [, proxy, error, details] =
    /^([a-z-]+); error=([a-z_]+); details="((?:[ !#-[\]-~]|\\["\\])*)"$/.exec(value) ?? [];
  assert(proxy !== undefined && error !== undefined && details !== undefined, value);
  return { proxy, error, details: details.replace(/\\(.)/g, "$1") };
}

Deno.test("REFUSALS has no kind that the table of answers does not have", () => {
  assertEquals(Object.keys(REFUSALS).toSorted(), ANSWERS.map(([kind]) => kind).toSorted());
});

for (const [kind, status, error] of ANSWERS) {
  Deno.test(`refusalResponse() answers ${kind} with ${status} and ${error}`, () => {
    const response = parseResponse(refusalResponse(new Refusal(kind)));
    assertEquals(response.status, status);
    const { phrase, advice } = REFUSALS[kind];
    assertEquals(response.phrase, phrase);
    assertEquals(parseProxyStatus(response.fields.get("proxy-status")), {
      proxy: "api-server-proxy",
      error,
      details: phrase,
    });
    assertEquals(response.body, `${phrase}. ${advice}\n`);
  });

  Deno.test(`refusalResponse() is a complete response that ends the connection: ${kind}`, () => {
    for (const reason of [undefined, "what went wrong"]) {
      const { fields, body } = parseResponse(refusalResponse(new Refusal(kind, reason)));
      assertEquals(fields.get("content-type"), "text/plain");
      assertEquals(fields.get("content-length"), String(new TextEncoder().encode(body).length));
      assertEquals(fields.get("connection"), "close");
      assertEquals(fields.get("allow"), status === 405 ? "CONNECT" : undefined);
      const challenge = status === 407 ? 'Basic realm="api-server-proxy"' : undefined;
      assertEquals(fields.get("proxy-authenticate"), challenge);
      assertEquals(fields.get("retry-after"), status === 503 ? "1" : undefined);
    }
  });

  Deno.test(`refusalResponse() advises in one sentence of ASCII: ${kind}`, () => {
    const { phrase, advice } = REFUSALS[kind];
    assertMatch(advice, /^[A-Z][ -~]+\.$/);
    assertEquals(advice.match(/[.!?](?= |$)/g), ["."]);
    assertMatch(phrase, /^[A-Z][ -~]+[^.]$/);
  });
}

Deno.test("refusalResponse() tells the reason in the body and in Proxy-Status", () => {
  const refusal = new Refusal("malformed_head", "a control byte");
  const { fields, phrase, body } = parseResponse(refusalResponse(refusal));
  assertEquals(phrase, "Malformed CONNECT request");
  assertEquals(parseProxyStatus(fields.get("proxy-status")).details, "a control byte");
  assert(body.startsWith("Malformed CONNECT request: a control byte. Send "), body);
});

Deno.test("refusalResponse() to HEAD has the same fields and no body", () => {
  const refusal = new Refusal("method_not_allowed", "why");
  const { body, ...rest } = parseResponse(refusalResponse(refusal));
  assertEquals(parseResponse(refusalResponse(refusal, false)), { ...rest, body: "" });
  assert(body.length > 0);
});

Deno.test("refusalResponse() keeps quotes and backslashes within the details", () => {
  for (const reason of ['"', "\\", '\\"', '"; error=dns_error; x="', "\\\\", 'a\\"b\\']) {
    const { fields } = parseResponse(refusalResponse(new Refusal("malformed_head", reason)));
    assertEquals(parseProxyStatus(fields.get("proxy-status")), {
      proxy: "api-server-proxy",
      error: "http_request_error",
      details: reason,
    });
  }
});

Deno.test("refusalResponse() answers byte for byte as documented", () => {
  assertEquals(
    new TextDecoder().decode(refusalResponse(new Refusal("method_not_allowed"))),
    "HTTP/1.1 405 Only CONNECT is served here\r\n" +
      "Content-Type: text/plain\r\n" +
      "Content-Length: 124\r\n" +
      "Connection: close\r\n" +
      "Proxy-Status: api-server-proxy; error=http_request_error; " +
      'details="Only CONNECT is served here"\r\n' +
      "Allow: CONNECT\r\n" +
      "\r\n" +
      "Only CONNECT is served here. This is a proxy, not the API server: " +
      "use its address as proxy-url (kubeconfig) or https_proxy.\n",
  );
});

Deno.test("Refusal says its kind and, without a reason, what happened", () => {
  const refusal = new Refusal("draining");
  assert(refusal instanceof Error);
  assertEquals(refusal.name, "Refusal");
  assertEquals(refusal.kind, "draining");
  assertEquals(refusal.message, "API server proxy is shutting down");
  assertEquals(new Refusal("draining", "why").message, "why");
});
