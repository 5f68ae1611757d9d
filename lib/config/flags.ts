/** The flags of the command line, and all defaults. */
import {
  address,
  authority,
  cidr,
  duration,
  oneOf,
  orWord,
  type ValueKind,
  wholeNumber,
} from "./values.ts";

/** One flag: the table of them feeds the parser, `--help` and the README. */
export interface Flag<T = unknown> extends ValueKind<T> {
  /** Heading under which `--help` lists it. */
  readonly group: string;
  /** What stands for the value in `--help`. */
  readonly value: string;
  /** As an operator would write it; empty when there is none. */
  readonly fallback: string;
  /** What to say of the default where the text itself says nothing. */
  readonly fallbackHelp?: string;
  readonly help: string;
  /** Comma separated, and the flag may repeat. */
  readonly list?: true;
  /** Given without a value it counts as not given: Liqo's charts may do so. */
  readonly mayBeEmpty?: true;
}

const UPSTREAM = {
  group: "Where to",
  value: "HOST:PORT,…",
  fallback: "",
  list: true,
  ...authority,
} as const;

/** Every flag that takes a value. All defaults stand here. */
export const FLAGS = {
  "upstream": {
    ...UPSTREAM,
    fallbackHelp: "in a pod: the API server of its cluster",
    help:
      "the API server; every tunnel goes there, whatever the client asked for; several: failover",
  },
  "force-host": {
    ...UPSTREAM,
    mayBeEmpty: true,
    help: "the same as --upstream, under Liqo's name",
  },
  "allowed-hosts": {
    ...UPSTREAM,
    mayBeEmpty: true,
    fallbackHelp: "any",
    help:
      "with --upstream: only these may be asked for; without it: the places that may be reached",
  },
  "allow-from": {
    group: "Who",
    value: "CIDR,…",
    fallback: "",
    fallbackHelp: "all sources",
    list: true,
    ...cidr,
    help: "source addresses that may use the proxy",
  },
  "host": {
    group: "Listening",
    value: "ADDRESS",
    fallback: "",
    fallbackHelp: "every address, IPv6 and IPv4",
    ...address,
    help: "address to listen on",
  },
  "port": {
    group: "Listening",
    value: "N",
    fallback: "8118",
    ...wholeNumber(0, 65_535),
    help: "port to listen on; 0 takes a free one and prints it",
  },
  "admin-host": {
    group: "Listening",
    value: "ADDRESS",
    fallback: "",
    fallbackHelp: "as --host",
    ...address,
    help: "address of health checks and metrics",
  },
  "admin-port": {
    group: "Listening",
    value: "N|off",
    fallback: "8119",
    ...orWord(wholeNumber(0, 65_535), "off"),
    help: "port of health checks and metrics (/livez, /readyz, /metrics); off for none",
  },
  "workers": {
    group: "Listening",
    value: "N|auto",
    fallback: "1",
    ...orWord(wholeNumber(1, 64), "auto"),
    help: "event loops that share the port, each on a core of its own; auto is one a core",
  },
  "max-connections": {
    group: "Limits",
    value: "N",
    fallback: "4096",
    ...wholeNumber(0, 1_000_000),
    help: "client connections at once, over all workers",
  },
  "max-connections-per-source": {
    group: "Limits",
    value: "N",
    fallback: "0",
    ...wholeNumber(0, 1_000_000),
    help: "the same for one source address",
  },
  "header-timeout": {
    group: "Limits",
    value: "DURATION",
    fallback: "10s",
    ...duration,
    help: "from accept to the end of the request head",
  },
  "connect-timeout": {
    group: "Limits",
    value: "DURATION",
    fallback: "4s",
    ...duration,
    help: "to reach the upstream, all attempts together",
  },
  "idle-timeout": {
    group: "Limits",
    value: "DURATION",
    fallback: "4h",
    ...duration,
    help: "a tunnel with no byte in either direction is closed",
  },
  "half-close-timeout": {
    group: "Limits",
    value: "DURATION",
    fallback: "1m",
    ...duration,
    help: "once one side has ended, how long the other may be silent",
  },
  "max-tunnel-age": {
    group: "Limits",
    value: "DURATION",
    fallback: "0",
    ...duration,
    help: "a tunnel older than this, give or take 10 %, is closed at its next quiet moment",
  },
  "shutdown-delay": {
    group: "Shutdown",
    value: "DURATION",
    fallback: "0",
    ...duration,
    help: "after SIGTERM: how long to go on accepting while endpoints are being updated",
  },
  "drain-timeout": {
    group: "Shutdown",
    value: "DURATION",
    fallback: "25s",
    ...duration,
    help: "after that: how long live tunnels may go on",
  },
  "log-level": {
    group: "Log",
    value: "LEVEL",
    fallback: "info",
    ...oneOf("debug", "info", "warn", "error"),
    help: "debug, info, warn or error",
  },
  "log-format": {
    group: "Log",
    value: "FORMAT",
    fallback: "",
    fallbackHelp: "json; text on a terminal",
    ...oneOf("json", "text"),
    help: "json or text",
  },
} as const satisfies Record<string, Flag>;

/** The name of a flag that takes a value. */
export type FlagName = keyof typeof FLAGS;

/** The environment variable that stands for a flag. */
export function envName(flag: FlagName): string {
  return `API_SERVER_PROXY_${flag.toUpperCase().replaceAll("-", "_")}`;
}
