/** Which hosts `NO_PROXY` keeps from the proxy, as Go's clients read it (golang.org/x/net/http/httpproxy). */
import { matchSubnets } from "@std/net/unstable-ip";
import { normalAddress } from "../../protocol/address.ts";

/** The first entry of a `NO_PROXY` list that matches that place, or `undefined`. */
export function noProxyEntryFor(host: string, port: number, list: string): string | undefined {
  return list.split(",").map((entry) => entry.trim()).find((entry) => matches(entry, host, port));
}

function matches(entry: string, host: string, port: number): boolean {
  if (entry === "*") return true;
  const address = normalAddress(host);
  // Go takes a block with bits behind its prefix, too.
  const [, first = "", bits] = /^([^/]+)\/(\d+)$/.exec(entry) ?? [];
  const block = normalAddress(first);
  if (block !== undefined) {
    return address !== undefined && matchSubnets(address, [`${block}/${bits}`]);
  }
  // The last group of an IPv6 address without brackets is no port.
  const [, name = entry, portText] = /^(\[.*\]|[^:]*):(\d+)$/.exec(entry) ?? [];
  if (portText !== undefined && Number(portText) !== port) return false;
  const wanted = name.toLowerCase().replace(/^\*(?=\.)/, "");
  const asked = host.toLowerCase();
  if (wanted === "") return false;
  if (address !== undefined) return normalAddress(wanted.replace(/^\[|\]$/g, "")) === address;
  return wanted.startsWith(".")
    ? asked.endsWith(wanted)
    : asked === wanted || asked.endsWith(`.${wanted}`);
}
