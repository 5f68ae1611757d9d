/** A new secret for one peer: what the client needs, and what the proxy needs of it. */
import { credential, isPeerName, PEER_NAME_TAKES } from "../config/values.ts";
import { EXIT_SUCCESS, EXIT_USAGE, type Io } from "./command.ts";

/** As many bits as the hash has: too many to guess. */
const SECRET_BYTES = 32;

/** `credentials NAME`: prints a secret for that peer, and the value of `--credentials` for it. */
export async function credentials(
  args: readonly string[],
  { print, printError }: Io,
): Promise<number> {
  const [name = "", ...rest] = args;
  if (rest.length > 0 || name === "" || name.startsWith("-")) {
    printError("usage: api-server-proxy credentials NAME");
    printError("e.g.   api-server-proxy credentials cl01");
    return EXIT_USAGE;
  }
  if (!isPeerName(name)) {
    printError(`NAME ${JSON.stringify(name)}: takes ${PEER_NAME_TAKES}`);
    return EXIT_USAGE;
  }
  const bytes = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
  // Needs no escape in a URL.
  const secret = bytes.toBase64({ alphabet: "base64url", omitPadding: true });
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(secret));
  const value = `${name}:${new Uint8Array(hash).toHex()}`;
  if (credential.read(value) === undefined) throw new Error("a value that --credentials refuses");
  print("# For the client, in its kubeconfig; HOST is the proxy's address:");
  print(`proxy-url: http://${name}:${secret}@HOST:8118`);
  print("# For the proxy:");
  print(`--credentials=${value}`);
  return EXIT_SUCCESS;
}
