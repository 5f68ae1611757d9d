/** The flags of the command line, and all defaults. */
import {
  address,
  apiServer,
  authority,
  certificates,
  credential,
  duration,
  oneOf,
  orWord,
  sourceBlock,
  type ValueKind,
  wholeNumber,
} from "./values.ts";

/** One flag: the table of flags feeds the parser, `--help` and docs/reference.md. */
export interface Flag<T = unknown> extends ValueKind<T> {
  /** Heading under which `--help` lists it. */
  readonly group: string;
  /** Placeholder for the value in `--help`. */
  readonly value: string;
  /** The default, as an operator would write it; empty when there is none. */
  readonly fallback: string;
  /** How `--help` describes the default where `fallback` alone would not explain it. */
  readonly fallbackHelp?: string;
  readonly help: string;
  /** Comma separated, and the flag may repeat. */
  readonly list?: true;
  /** What follows its first colon is not printed: it may be a secret. */
  readonly isSecret?: true;
  /** An empty value counts as not given: Liqo's charts may render one. */
  readonly mayBeEmpty?: true;
}

const UPSTREAM = {
  group: "Destinations",
  value: "HOST:PORT,…",
  fallback: "",
  list: true,
  ...authority,
} as const;

/** Every flag that takes a value, with its default. */
export const FLAGS = {
  "upstream": {
    ...UPSTREAM,
    ...apiServer,
    fallbackHelp: "in a pod: the API server of its cluster",
    help: "connect every tunnel here, whatever host the client asks for; list several for failover",
  },
  "force-host": {
    ...UPSTREAM,
    ...apiServer,
    mayBeEmpty: true,
    help: "the same as --upstream, under Liqo's name",
  },
  "allowed-hosts": {
    ...UPSTREAM,
    mayBeEmpty: true,
    fallbackHelp: "any",
    help: "hosts that clients may ask for; without --upstream, also where their tunnels go",
  },
  "probe": {
    group: "Destinations",
    value: "readyz|tcp|off",
    fallback: "readyz",
    ...oneOf("readyz", "tcp", "off"),
    help: "how to check upstreams in the background: GET /readyz over TLS, connect only, or not",
  },
  "upstream-ca": {
    group: "Destinations",
    value: "PEM",
    fallback: "",
    fallbackHelp: "probes accept any certificate",
    ...certificates,
    help: "CA certificate of the API servers, for probes only; the text itself, not a file",
  },
  "allow-from": {
    group: "Clients",
    value: "[NAME=]CIDR,…",
    fallback: "",
    fallbackHelp: "all sources",
    list: true,
    ...sourceBlock,
    help: "source addresses that may use the proxy; log and metrics call the client by the name",
  },
  "credentials": {
    group: "Clients",
    value: "NAME:SHA256,…",
    fallback: "",
    fallbackHelp: "none: clients need no secret",
    list: true,
    isSecret: true,
    ...credential,
    help: "peers that may use the proxy, each with the hash of its secret; two hashes to rotate it",
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
    help: "port to listen on; 0 picks a free one and logs it",
  },
  "admin-host": {
    group: "Listening",
    value: "ADDRESS",
    fallback: "",
    fallbackHelp: "as --host",
    ...address,
    help: "address to serve health checks and metrics on",
  },
  "admin-port": {
    group: "Listening",
    value: "N|off",
    fallback: "8119",
    ...orWord(wholeNumber(0, 65_535), "off"),
    help: "port for /livez, /readyz, /metrics and /tunnels; off disables them",
  },
  "workers": {
    group: "Listening",
    value: "N|auto",
    fallback: "1",
    ...orWord(wholeNumber(1, 64), "auto"),
    help: "event loops sharing the port, each on its own core; auto starts one per core, 8 at most",
  },
  "max-connections": {
    group: "Limits",
    value: "N",
    fallback: "4096",
    ...wholeNumber(0, 1_000_000),
    help: "client connections at the same time, over all workers",
  },
  "max-connections-per-source": {
    group: "Limits",
    value: "N",
    fallback: "0",
    ...wholeNumber(0, 1_000_000),
    help: "client connections at the same time from one peer, or one address without a peer's name",
  },
  "header-timeout": {
    group: "Limits",
    value: "DURATION",
    fallback: "10s",
    ...duration,
    help: "time from accepting a client to the end of its request head",
  },
  "connect-timeout": {
    group: "Limits",
    value: "DURATION",
    fallback: "4s",
    ...duration,
    help: "time to connect to the upstream, over all attempts",
  },
  "idle-timeout": {
    group: "Limits",
    value: "DURATION",
    fallback: "4h",
    ...duration,
    help: "close a tunnel that carries no byte in either direction for this long",
  },
  "half-close-timeout": {
    group: "Limits",
    value: "DURATION",
    fallback: "1m",
    ...duration,
    help: "after one side has ended, how long the other may stay silent",
  },
  "max-tunnel-age": {
    group: "Limits",
    value: "DURATION",
    fallback: "0",
    ...duration,
    help: "close a tunnel older than this, give or take 10 %, at its next quiet moment",
  },
  "shutdown-delay": {
    group: "Shutdown",
    value: "DURATION",
    fallback: "0",
    ...duration,
    help: "after SIGTERM, how long to keep accepting while endpoints are updated",
  },
  "drain-timeout": {
    group: "Shutdown",
    value: "DURATION",
    fallback: "25s",
    ...duration,
    help: "after that, how long live tunnels may continue",
  },
  "log-open-after": {
    group: "Log",
    value: "DURATION",
    fallback: "10s",
    ...duration,
    help: "log a tunnel as opened once it is this old, so that long ones are seen while they live",
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
