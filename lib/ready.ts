/** A readiness probe for where there is no curl. */

const TIMEOUT_MS = 3_000;

/** Asks a running proxy's `/readyz`. @returns Why it is not ready, or `undefined`. */
export async function checkReady(url: string): Promise<string | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    const body = (await response.text()).trim();
    return response.ok ? undefined : `${response.status} ${body}`;
  } catch (error) {
    const { message, cause } = error as Error;
    return cause instanceof Error ? cause.message : message;
  }
}
