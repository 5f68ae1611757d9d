/** Which releases of Deno the proxy runs on. */

const OLDEST = "2.9.5";
const REASON = "before it, close() does not cancel a write whose peer does not read, " +
  "so that a stuck tunnel never ends";

/** What is wrong with running on a release of Deno, such as `2.9.6`, in one line; none if nothing. */
export function runtimeMistake(release: string): string | undefined {
  const found = partsOf(release), oldest = partsOf(OLDEST);
  const at = found.findIndex((part, i) => part !== oldest[i]);
  if (at === -1 || found[at]! > oldest[at]!) return undefined;
  return `Deno ${release} is too old: api-server-proxy needs ${OLDEST} or later; ${REASON}`;
}

/** Major, minor, patch: `2.9.6-rc.1` counts as `2.9.6`. */
function partsOf(release: string): number[] {
  return release.split(/[-+]/, 1)[0]!.split(".").map(Number);
}
