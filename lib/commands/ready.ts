/** A readiness probe for where there is no curl. */
import { askAdmin, isHttpUrl, NO_ADMIN_PORT, ownAdminUrl } from "./admin_client.ts";
import { EXIT_FAILURE, EXIT_SUCCESS, EXIT_USAGE, type Io } from "./command.ts";

/** `ready [URL]`: succeeds when a running proxy is ready, and prints why it is not. */
export async function ready(args: readonly string[], { env, printError }: Io): Promise<number> {
  const [url = ownAdminUrl("/readyz", env), ...rest] = args;
  if (url === undefined) {
    printError(NO_ADMIN_PORT);
    return EXIT_USAGE;
  }
  if (rest.length > 0 || !isHttpUrl(url)) {
    printError("usage: api-server-proxy ready [URL]");
    printError("e.g.   api-server-proxy ready http://127.0.0.1:8119/readyz");
    return EXIT_USAGE;
  }
  const failure = await checkReady(url);
  if (failure === undefined) return EXIT_SUCCESS;
  printError(`${url}: ${failure}`);
  return EXIT_FAILURE;
}

/**
 * Asks a running proxy's `/readyz`.
 *
 * @returns Why it is not ready, or `undefined`.
 */
export async function checkReady(url: string): Promise<string | undefined> {
  const answer = await askAdmin(url);
  if ("failure" in answer) return answer.failure;
  const { status, body } = answer;
  return status >= 200 && status < 300 ? undefined : `${status} ${body}`;
}
