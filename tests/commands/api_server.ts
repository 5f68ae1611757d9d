/** A stand-in for an API server: TLS of node, with a certificate and answers of the test's choice. */
import tls from "node:tls";
import { once } from "node:events";
import { createServerCertificate, type ServerCertificate } from "../../demo/certificate.ts";
import type { Authority } from "../../lib/protocol/authority.ts";

/** What it answers with, by path. */
export interface Answer {
  readonly status: number;
  readonly body: string;
}

/** A request, as far as it matters here. */
export interface Seen {
  readonly line: string;
  readonly authorization: string | undefined;
  readonly clientCertificate: string | undefined;
}

/** The token that it accepts. */
export const TOKEN = "token-of-me";
const READY: Answer = { status: 200, body: "[+]ping ok\n[+]etcd ok\nreadyz check passed\n" };
const VERSION: Answer = { status: 200, body: '{"gitVersion":"v1.33.1"}' };
const USER = {
  status: { userInfo: { username: "me", groups: ["developers", "system:authenticated"] } },
};

/** A running one. */
export class FakeApiServer implements AsyncDisposable {
  readonly certificate: ServerCertificate;
  readonly requests: Seen[] = [];
  readonly #server: tls.Server;

  private constructor(certificate: ServerCertificate, server: tls.Server) {
    this.certificate = certificate;
    this.#server = server;
  }

  /** @param answers What to answer other than a healthy API server, by path. */
  static async start(
    answers: Readonly<Record<string, Answer>> = {},
    certificate?: ServerCertificate,
  ): Promise<FakeApiServer> {
    const own = certificate ?? await createServerCertificate(["kubernetes.default.svc"]);
    const server = tls.createServer({
      cert: own.certificate,
      key: own.privateKey,
      requestCert: true,
      rejectUnauthorized: false,
    });
    const api = new FakeApiServer(own, server);
    server.on("secureConnection", (socket) => api.#serve(socket, answers));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return api;
  }

  get authority(): Authority {
    return { host: "127.0.0.1", port: (this.#server.address() as { port: number }).port };
  }

  #serve(socket: tls.TLSSocket, answers: Readonly<Record<string, Answer>>): void {
    let text = "";
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      text += chunk;
      const [head = "", ...rest] = text.split("\r\n\r\n");
      const length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0);
      if (rest.length === 0 || rest.join("\r\n\r\n").length < length) return;
      const authorization = /^authorization: (.*)/im.exec(head)?.[1];
      const clientCertificate = socket.getPeerX509Certificate()?.subject;
      this.requests.push({ line: head.split("\r\n")[0]!, authorization, clientCertificate });
      const path = head.split(" ")[1]!.split("?")[0]!;
      const { status, body } = answers[path] ?? healthy(path, authorization, clientCertificate);
      socket.end(
        `HTTP/1.1 ${status} Answer\r\nContent-Type: text/plain\r\nConnection: close\r\n` +
          `Content-Length: ${body.length}\r\n\r\n${body}`,
      );
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    await once(this.#server, "close");
  }
}

function healthy(path: string, authorization?: string, clientCertificate?: string): Answer {
  if (path === "/readyz") return READY;
  if (path === "/version") return VERSION;
  const isKnown = authorization === `Bearer ${TOKEN}` || clientCertificate !== undefined;
  return isKnown
    ? { status: 201, body: JSON.stringify(USER) }
    : { status: 401, body: '{"message":"Unauthorized"}' };
}
