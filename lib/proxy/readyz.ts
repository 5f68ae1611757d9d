/** One look at an API server: TLS, and GET /readyz without credentials. */
import { type Authority, formatAuthority, lookupName } from "../protocol/authority.ts";
import type { TLSSocket } from "node:tls";
import { unlessAborted, within } from "../telemetry/delay.ts";
import { isAddress, type Resolver } from "./resolver.ts";

/** What a look needs. */
export interface LookOptions {
  readonly resolver: Resolver;
  /** Certificates in PEM that the server's must be signed by; none: every certificate will do. */
  readonly ca: string | undefined;
  /** For all addresses of a name together. */
  readonly timeoutMs: number;
  /** Ends the look. */
  readonly signal: AbortSignal;
}

/** An answer that shows something else than a live API server. */
export class NotReady extends Error {
  /** @param isProxy It is an api-server-proxy, perhaps this one. */
  constructor(reason: string, readonly isProxy = false) {
    super(reason);
  }
}

/** With 401 or 403 it does not let strangers ask, but it lives. */
const UNAUTHORIZED = 401, FORBIDDEN = 403;
/** Far more than an API server sends. */
const MAX_ANSWER_CHARS = 16 * 1024;

/** Handshakes that fail, by the runtime's code for it. */
const REASON_OF_CODE: Readonly<Record<string, string>> = {
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: "it speaks no TLS of version 1.2 or newer",
  ERR_SSL_UNSUPPORTED_PROTOCOL: "it speaks no TLS of version 1.2 or newer",
  ECONNRESET: "it closes the connection before the TLS handshake is complete",
};

/**
 * Looks at an API server, at one of its addresses after the other until one is ready. The handshake
 * is completed whatever the certificate is: the API server counts one that is broken off as an error.
 *
 * @throws {NotReady} Saying what was found instead.
 * @throws What the lookup or the connection of the last address has thrown.
 */
export async function lookAtReadyz(authority: Authority, options: LookOptions): Promise<void> {
  const { timeoutMs, signal, resolver } = options;
  const deadlineMs = performance.now() + timeoutMs;
  const late = new NotReady(`no answer within ${timeoutMs / 1_000} s`);
  const look = async (signal: AbortSignal) => {
    const answer = resolver.resolve(lookupName(authority));
    const addresses = answer instanceof Promise ? await unlessAborted(answer, signal) : answer;
    for (const [index, address] of addresses.entries()) {
      const left = addresses.length - index;
      const shareMs = (deadlineMs - performance.now()) / left;
      try {
        const lookHere = (signal: AbortSignal) => lookAt(address, authority, options.ca, signal);
        return await within(shareMs, late, signal, lookHere);
      } catch (error) {
        signal.throwIfAborted();
        if (left === 1) throw error;
      }
    }
  };
  await within(timeoutMs, late, signal, look);
}

async function lookAt(
  address: string,
  authority: Authority,
  ca: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  // Loaded by the first look: it takes some megabytes.
  const { connect } = await import("node:tls");
  signal.throwIfAborted();
  const socket = connect({
    host: address,
    port: authority.port,
    ALPNProtocols: ["http/1.1"],
    rejectUnauthorized: false,
    // An upstream may be given by an address that the certificate does not have.
    checkServerIdentity: () => undefined,
    ...(ca === undefined ? {} : { ca }),
    ...(isAddress(authority.host) ? {} : { servername: authority.host }),
  });
  const onAbort = () => socket.destroy(signal.reason);
  signal.addEventListener("abort", onAbort);
  try {
    await secured(socket);
    if (ca !== undefined && !socket.authorized) {
      throw new NotReady("its certificate is not signed by --upstream-ca");
    }
    socket.write(
      `GET /readyz HTTP/1.1\r\nHost: ${formatAuthority(authority)}\r\n` +
        "User-Agent: api-server-proxy\r\nAccept: */*\r\nConnection: close\r\n\r\n",
    );
    judge(await answerOf(socket));
  } catch (error) {
    signal.throwIfAborted();
    const code = String((error as { code?: unknown }).code);
    if (code === "ERR_SSL_WRONG_VERSION_NUMBER") {
      throw await notTls(address, authority.port, signal);
    }
    const reason = REASON_OF_CODE[code] ??
      (code.startsWith("ERR_SSL_") ? `TLS: ${(error as Error).message}` : undefined);
    throw reason === undefined ? error : new NotReady(reason);
  } finally {
    signal.removeEventListener("abort", onAbort);
    socket.destroy();
  }
}

/** Resolves once the handshake is complete. */
async function secured(socket: TLSSocket): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.once("secureConnect", resolve);
  // What comes after the first error, or after the answer, is of no interest; without a listener it
  // would be an uncaught exception.
  socket.on("error", reject);
  socket.once("close", () => reject(new NotReady("it closes the connection")));
  await promise;
}

/** What comes until the server ends the connection, or most of it. */
async function answerOf(socket: AsyncIterable<Uint8Array>): Promise<string> {
  let answer = "";
  try {
    for await (const bytes of socket) {
      answer += new TextDecoder().decode(bytes);
      if (answer.length > MAX_ANSWER_CHARS) break;
    }
  } catch (error) {
    // The status line is all that counts.
    if (!answer.includes("\r\n")) throw error;
  }
  return answer;
}

function judge(answer: string): void {
  const [, code] = /^HTTP\/1\.[01] (\d{3})[ \r]/.exec(answer) ?? [];
  if (code === undefined) throw new NotReady("GET /readyz gets no answer in HTTP");
  const status = Number(code);
  const lives = status >= 200 && status < 300 || status === UNAUTHORIZED || status === FORBIDDEN;
  if (!lives) throw new NotReady(`GET /readyz answers ${status}`);
}

/** What speaks there instead of TLS: an api-server-proxy gives its name in every answer. */
async function notTls(address: string, port: number, signal: AbortSignal): Promise<NotReady> {
  let answer = "";
  try {
    using conn = await Deno.connect({ hostname: address, port, signal });
    const onAbort = () => conn.close();
    signal.addEventListener("abort", onAbort);
    await conn.write(new TextEncoder().encode("GET / HTTP/1.0\r\n\r\n"));
    answer = await answerOf(conn.readable);
  } catch {
    // Whatever it is, it speaks no TLS.
  }
  return /^Proxy-Status: api-server-proxy\b/im.test(answer)
    ? new NotReady("it is an api-server-proxy, not an API server", true)
    : new NotReady("it speaks no TLS");
}
