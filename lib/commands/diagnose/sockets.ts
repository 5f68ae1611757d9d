/** Sockets of node: that fail by themselves when a step's time is over. */
import net from "node:net";
import tls from "node:tls";
import { once } from "node:events";
import type { Trust } from "./target.ts";

/** A step took longer than it may. */
export class StepTimeout extends Error {
  override readonly name = "StepTimeout";
}

/** The code of an error of a socket, such as `ECONNREFUSED`; empty when it has none. */
export function codeOf(error: unknown): string {
  return String((error as { code?: unknown }).code ?? "");
}

/** Destroys a socket when the signal aborts, so that whatever waits for it ends. */
async function whileOpen<T>(
  socket: net.Socket,
  signal: AbortSignal,
  wait: () => Promise<T>,
): Promise<T> {
  const destroy = () => socket.destroy(signal.reason);
  if (signal.aborted) destroy();
  signal.addEventListener("abort", destroy);
  try {
    return await wait();
  } catch (error) {
    socket.destroy();
    throw signal.aborted ? signal.reason : error;
  } finally {
    signal.removeEventListener("abort", destroy);
  }
}

/** Connects to an address. @throws With a `code` when it fails, or the signal's reason. */
export async function connectTo(
  address: string,
  port: number,
  signal: AbortSignal,
): Promise<net.Socket> {
  const socket = net.connect({ host: address, port });
  // A late error of an abandoned socket must not end the process.
  socket.on("error", () => {});
  await whileOpen(socket, signal, () => once(socket, "connect"));
  return socket;
}

/** A TLS handshake over a socket, with whatever certificate; the socket says whether it is trusted. */
export async function startTls(
  socket: net.Socket,
  { name, authorities }: Pick<Trust, "name" | "authorities">,
  certificate: { readonly cert: string; readonly key: string } | undefined,
  signal: AbortSignal,
): Promise<tls.TLSSocket> {
  const isAddress = net.isIP(name) !== 0;
  const secure = tls.connect({
    socket,
    rejectUnauthorized: false,
    host: name,
    servername: isAddress ? "" : name,
    ...authorities === undefined ? {} : { ca: authorities },
    ...certificate,
  });
  secure.on("error", () => {});
  const handshake = async () => {
    const ended = once(secure, "close").then(() => {
      throw new Error("the connection was closed during the handshake");
    });
    await Promise.race([once(secure, "secureConnect"), ended]);
  };
  try {
    await whileOpen(secure, signal, handshake);
    return secure;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** Sends a text. */
export function send(socket: net.Socket, text: string): void {
  socket.write(text);
}

/**
 * Reads until `isEnough` says so, the stream ends, or there is far too much.
 *
 * @param isEnough Gets all bytes so far as Latin-1, one character each.
 */
export async function readUntil(
  socket: net.Socket,
  isEnough: (text: string) => boolean,
  signal: AbortSignal,
): Promise<string> {
  const MAX_BYTES = 1024 * 1024;
  return await whileOpen(socket, signal, async () => {
    let text = "";
    for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
      text += chunk.toString("latin1");
      if (isEnough(text) || text.length > MAX_BYTES) break;
    }
    return text;
  });
}
