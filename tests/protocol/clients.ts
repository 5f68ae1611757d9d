/** The CONNECT heads of real clients, byte for byte, for api.example:6443 each. */
import { head } from "./heads.ts";

const AT = "api.example:6443";

export const CLIENTS: readonly (readonly [client: string, head: string])[] = [
  ["Python http.client before 3.12", head(`CONNECT ${AT} HTTP/1.0`)],
  ["Python http.client from 3.12 on", head(`CONNECT ${AT} HTTP/1.1`, `Host: ${AT}`)],
  ["openssl s_client -proxy", head(`CONNECT ${AT} HTTP/1.0`)],
  [
    "openssl s_client -proxy -proxy_user",
    head(`CONNECT ${AT} HTTP/1.0`, "Proxy-Authorization: Basic dXNlcjpwYXNz"),
  ],
  [
    "curl",
    head(
      `CONNECT ${AT} HTTP/1.1`,
      `Host: ${AT}`,
      "User-Agent: curl/8.5.0",
      "Proxy-Connection: Keep-Alive",
    ),
  ],
  [
    "curl --proxy-user --proxy1.0",
    head(
      `CONNECT ${AT} HTTP/1.0`,
      `Host: ${AT}`,
      "Proxy-Authorization: Basic dXNlcjpwYXNz",
      "User-Agent: curl/8.5.0",
      "Proxy-Connection: Keep-Alive",
    ),
  ],
  [
    "Go net/http (kubectl)",
    head(`CONNECT ${AT} HTTP/1.1`, `Host: ${AT}`, "User-Agent: Go-http-client/1.1"),
  ],
  ["kube-apiserver", head(`CONNECT ${AT} HTTP/1.1`, "Host: 127.0.0.1")],
  [
    "Node undici",
    head(`CONNECT ${AT} HTTP/1.1`, "host: api.example", "connection: close"),
  ],
  [
    "Node https-proxy-agent",
    head(`CONNECT ${AT} HTTP/1.1`, `Host: ${AT}`, "Proxy-Connection: close"),
  ],
  [
    "Node http.request",
    head(`CONNECT ${AT} HTTP/1.1`, `host: ${AT}`, "connection: close"),
  ],
  [
    "Python aiohttp",
    head(
      `CONNECT ${AT} HTTP/1.1`,
      "Host: api.example",
      "Accept: */*",
      "Accept-Encoding: gzip, deflate",
      "User-Agent: Python/3.11 aiohttp/3.9.1",
    ),
  ],
  [
    "Java HttpURLConnection",
    head(
      `CONNECT ${AT} HTTP/1.1`,
      "User-Agent: Java/17.0.9",
      `Host: ${AT}`,
      "Accept: text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
      "Proxy-Connection: keep-alive",
    ),
  ],
  [
    "Java okhttp (fabric8)",
    head(
      `CONNECT ${AT} HTTP/1.1`,
      `Host: ${AT}`,
      "Proxy-Connection: Keep-Alive",
      "User-Agent: okhttp/4.12.0",
    ),
  ],
  [
    "Rust hyper (kube-rs)",
    head(`CONNECT ${AT} HTTP/1.1`, `Host: ${AT}`),
  ],
  [
    "Chrome",
    head(
      `CONNECT ${AT} HTTP/1.1`,
      `Host: ${AT}`,
      "Proxy-Connection: keep-alive",
      "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)",
    ),
  ],
];
