/** `--check`: what the proxy would do with its flags, without doing it. */
import dns from "node:dns/promises";
import type { Config } from "../config/config.ts";
import { normalAddress } from "../protocol/address.ts";
import { type Authority, formatAuthority, lookupName } from "../protocol/authority.ts";
import { EXIT_SUCCESS, EXIT_USAGE, type Io } from "./command.ts";

/** Looks up the upstreams, and prints what the proxy would do, or which names are not found. */
export async function check(config: Config, { print, printError }: Io): Promise<number> {
  const upstreams = await Promise.all(config.upstreams.map(lookUp));
  const unknown = upstreams.filter(({ addresses }) => addresses.length === 0);
  for (const { upstream } of unknown) {
    printError(
      `--upstream ${JSON.stringify(formatAuthority(upstream))}: the name ${upstream.host} was ` +
        "not found; takes the address of an API server, or a name that this machine can look up",
    );
  }
  if (unknown.length > 0) return EXIT_USAGE;
  const destinations = upstreams.map(({ upstream, addresses }) =>
    normalAddress(upstream.host) === undefined
      ? `${formatAuthority(upstream)} (${addresses.join(", ")})`
      : formatAuthority(upstream)
  );
  const { allowedAuthorities, allowFrom, host, port, adminHost, adminPort } = config;
  const allowed = allowedAuthorities.map(formatAuthority);
  const sources = allowFrom.map(({ address, prefixBits, peer }) =>
    `${address}/${prefixBits}${peer === undefined ? "" : ` (${peer})`}`
  );
  const named = [...new Set(config.credentials.map(({ name }) => name))];
  print(`listen: ${host ?? "every address"}, port ${port}`);
  print(
    adminPort === "off"
      ? "health and metrics: off"
      : `health and metrics: ${adminHost ?? host ?? "every address"}, port ${adminPort}`,
  );
  print(`connect tunnels to: ${listOr(destinations, "the host that the client asks for")}`);
  if (upstreams.length > 0) print(`probe them by: ${probing(config)}`);
  print(`serve requests for: ${listOr(allowed, "any host")}`);
  print(`serve clients from: ${listOr(sources, "every address")}`);
  if (named.length > 0) print(`serve clients with a secret of: ${named.join(", ")}`);
  return EXIT_SUCCESS;
}

function probing({ probe, upstreamCa }: Config): string {
  if (probe !== "readyz") return probe;
  const certificate = upstreamCa === undefined
    ? "any certificate"
    : "certificate checked with --upstream-ca";
  return `${probe}, ${certificate}`;
}

function listOr(items: readonly string[], none: string): string {
  return items.length === 0 ? none : items.join(", ");
}

async function lookUp(upstream: Authority) {
  const address = normalAddress(upstream.host);
  if (address !== undefined) return { upstream, addresses: [address] };
  try {
    const found = await dns.lookup(lookupName(upstream), { all: true });
    return { upstream, addresses: [...new Set(found.map(({ address }) => address))] };
  } catch {
    return { upstream, addresses: [] };
  }
}
