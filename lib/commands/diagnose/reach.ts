/** The steps `address` and `tcp`: can the proxy be found, and can it be connected to? */
import dns from "node:dns/promises";
import type net from "node:net";
import { matchSubnets } from "@std/net/unstable-ip";
import { type Cidr, formatAddress, normalAddress } from "../../protocol/address.ts";
import { remapAddress } from "../remap.ts";
import { unlessAborted } from "../../telemetry/delay.ts";
import { failed, ok, type Outcome } from "./finding.ts";
import { codeOf, connectTo, StepTimeout } from "./sockets.ts";
import type { ProxyPlace } from "./target.ts";

/** Where the addresses of the proxy come from. */
const FIND_ADDRESS =
  "To find the address with Liqo: in the proxy's cluster, `kubectl get ip -n liqo api-server-proxy " +
  "-o jsonpath='{.status.ip}'`; then `api-server-proxy remap` with the CIDR that this cluster has " +
  "for that one.";

/** Finds the addresses of the proxy, and compares them with the block in which they should lie. */
export async function findAddresses(
  { host }: ProxyPlace,
  cidr: Cidr | undefined,
  signal: AbortSignal,
): Promise<Outcome<readonly string[]>> {
  let addresses: readonly string[];
  try {
    addresses = await lookUp(host, signal);
  } catch (error) {
    if (error instanceof StepTimeout) throw error;
    return failed(
      `the name ${host} was not found`,
      "Check the spelling. A Service's name is known inside its own cluster only: from another " +
        "cluster, give the address.",
      FIND_ADDRESS,
    );
  }
  const value = addresses;
  const found = normalAddress(host) === undefined
    ? `${host} is ${addresses.join(", ")}`
    : addresses.join(", ");
  if (cidr === undefined) return { ...ok(found), value };
  const block = `${cidr.address}/${cidr.prefixBits}`;
  const outside = addresses.find((address) => !matchSubnets(address, [block]));
  if (outside === undefined) return { ...ok(`${found}, inside ${block}`), value };
  return { ...failed(`${outside} lies outside ${block}`, ...whatInstead(outside, block)), value };
}

function whatInstead(address: string, block: string): readonly string[] {
  try {
    return [
      `If ${address} is the address in the proxy's own cluster, use ` +
      `${remapAddress(address, block)} here: that is what \`api-server-proxy remap ${address} ` +
      `${block}\` prints.`,
    ];
  } catch {
    return [FIND_ADDRESS];
  }
}

async function lookUp(host: string, signal: AbortSignal): Promise<readonly string[]> {
  const address = normalAddress(host);
  if (address !== undefined) return [address];
  const found = await unlessAborted(dns.lookup(host, { all: true }), signal);
  return [...new Set(found.map((one) => one.address))];
}

/** Connects to the first of the addresses that answers. */
export async function dial(
  addresses: readonly string[],
  port: number,
  signal: AbortSignal,
): Promise<net.Socket> {
  const attempts = addresses.map((address) => connectTo(address, port, signal));
  const first = await Promise.any(attempts).catch(({ errors }: AggregateError) => {
    throw errors[0];
  });
  for (const attempt of attempts) {
    void attempt.then((socket) => socket === first || socket.destroy(), () => {});
  }
  return first;
}

/** Connects to the proxy. */
export async function reachProxy(
  addresses: readonly string[],
  proxy: ProxyPlace,
  signal: AbortSignal,
): Promise<Outcome<net.Socket>> {
  const places = addresses
    .map((hostname) => formatAddress({ hostname, port: proxy.port })).join(", ");
  const portAdvice = proxy.isDefaultPort
    ? ["proxy-url has no port, so clients use 80. api-server-proxy listens on 8118."]
    : [];
  try {
    const socket = await dial(addresses, proxy.port, signal);
    const place = formatAddress({
      hostname: socket.remoteAddress ?? addresses[0]!,
      port: proxy.port,
    });
    return { ...ok(`connected to ${place} from ${socket.localAddress}`), value: socket };
  } catch (error) {
    if (error instanceof StepTimeout) {
      return failed(
        `no answer from ${places} within ${error.message}`,
        ...portAdvice,
        "Packets are lost on the way there or back. Check that the address is the one of the " +
          "proxy as this cluster sees it (--cidr checks that), that the gateways of both clusters " +
          "are connected, and that no network policy or firewall drops the packets.",
        FIND_ADDRESS,
      );
    }
    const code = codeOf(error);
    if (code === "ECONNREFUSED") {
      return failed(
        `${places} refused the connection: the address answers, but nothing listens on that port`,
        ...proxy.isDefaultPort
          ? portAdvice
          : ["Check the port: api-server-proxy listens on 8118 unless --port says otherwise."],
        "In the proxy's cluster, check that it runs and is ready: `kubectl get pods -n liqo -l " +
          "app.kubernetes.io/name=proxy`.",
      );
    }
    if (code === "EHOSTUNREACH" || code === "ENETUNREACH") {
      return failed(
        `there is no route from here to ${places}`,
        ...portAdvice,
        "Check that the clusters' networks are connected (`kubectl get connections -A` with Liqo), " +
          "and that the address is the one of the proxy as this cluster sees it.",
        FIND_ADDRESS,
      );
    }
    return failed(`cannot connect to ${places}: ${(error as Error).message}`, ...portAdvice);
  }
}
