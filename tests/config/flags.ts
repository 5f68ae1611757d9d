/** Every flag: its default, values that it may be given, and one that it may not. */
import type { Config } from "../../lib/config/config.ts";
import type { FlagName } from "../../lib/config/flags.ts";

const b2 = { host: "b", port: 2 }, c3 = { host: "c", port: 3 };
const TAKES_DURATION = "takes a duration such as 500ms, 10s, 1m30s or 1h, at most 576h, or 0";
const TAKES_AUTHORITY = "takes HOST:PORT with a port from 1 to 65535, an IPv6 address in brackets";

/** Section 1 of the design: each flag's default, and two values that it may be given. */
export interface FlagRow {
  readonly key: keyof Config;
  readonly fallback: unknown;
  readonly given: readonly [text: string, value: unknown];
  readonly other: readonly [text: string, value: unknown];
  readonly wrong: readonly [text: string, takes: string];
}
const WRONG_PORT = ["65536", "takes a whole number from 0 to 65535"] as const;
const WRONG_COUNT = ["many", "takes a whole number from 0 to 1000000"] as const;
const WRONG_DURATION = ["10", TAKES_DURATION] as const;
const WRONG_AUTHORITY = ["a:0443", TAKES_AUTHORITY] as const;
const WRONG_UPSTREAM = ["a:0443", `${TAKES_AUTHORITY}, or https://HOST:PORT`] as const;
const SHA256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
const times = (key: keyof Config, fallback: number): FlagRow => ({
  key,
  fallback,
  given: ["1m30s", 90_000],
  other: ["0", 0],
  wrong: WRONG_DURATION,
});
const counts = (key: keyof Config, fallback: number): FlagRow => ({
  key,
  fallback,
  given: ["7", 7],
  other: ["0", 0],
  wrong: WRONG_COUNT,
});
/** Not a whole certificate, but it begins as one. */
/** As long as its header says; what is in it does not matter here. */
const DER = "\x30\x82\x01\x00" + "\x05\x00".repeat(128);
const PEM = `-----BEGIN CERTIFICATE-----\n${btoa(DER)}\n-----END CERTIFICATE-----\n`;
export const ROWS: Readonly<Record<FlagName, FlagRow>> = {
  "upstream": {
    key: "upstreams",
    fallback: [{ host: "10.96.0.1", port: 443 }],
    given: ["b:2", [b2]],
    other: ["c:3,B.:2", [c3, { ...b2, isAbsolute: true }]],
    wrong: WRONG_UPSTREAM,
  },
  "force-host": {
    key: "upstreams",
    fallback: [{ host: "10.96.0.1", port: 443 }],
    given: ["b:2", [b2]],
    other: ["https://c:3/,b:2", [c3, b2]],
    wrong: WRONG_UPSTREAM,
  },
  "allowed-hosts": {
    key: "allowedAuthorities",
    fallback: [],
    given: ["b:2", [b2]],
    other: ["c:3, b:2", [c3, b2]],
    wrong: WRONG_AUTHORITY,
  },
  "probe": {
    key: "probe",
    fallback: "readyz",
    given: ["tcp", "tcp"],
    other: ["off", "off"],
    wrong: ["http", "takes readyz, tcp or off"],
  },
  "upstream-ca": {
    key: "upstreamCa",
    fallback: undefined,
    given: [PEM, PEM],
    other: [`${PEM}${PEM}`, `${PEM}${PEM}`],
    wrong: [
      "/etc/ca.crt",
      "takes certificates in PEM, the text itself: -----BEGIN CERTIFICATE-----…",
    ],
  },
  "allow-from": {
    key: "allowFrom",
    fallback: [],
    given: ["10.0.0.0/8", [{ address: "10.0.0.0", prefixBits: 8 }]],
    other: ["cl01=fd00::1,1.2.3.4", [
      { address: "fd00::1", prefixBits: 128, peer: "cl01" },
      { address: "1.2.3.4", prefixBits: 32 },
    ]],
    wrong: [
      "10.0.0.1/8",
      "takes an address block such as 10.0.0.0/8 or 2001:db8::/32 with no bit set after " +
      "the prefix, or a single address, or NAME= and one of them",
    ],
  },
  "credentials": {
    key: "credentials",
    fallback: [],
    given: [`cl01:${SHA256}`, [{ name: "cl01", sha256: SHA256 }]],
    other: [`a:${SHA256.toUpperCase()},a:${"0".repeat(64)}`, [
      { name: "a", sha256: SHA256 },
      { name: "a", sha256: "0".repeat(64) },
    ]],
    wrong: ["cl01:…", "takes NAME:SHA256, as `api-server-proxy credentials NAME` prints it"],
  },
  "host": {
    key: "host",
    fallback: undefined,
    given: ["127.0.0.1", "127.0.0.1"],
    other: ["[::1]", "::1"],
    wrong: ["localhost", "takes an IP address such as 127.0.0.1, 0.0.0.0 or ::"],
  },
  "port": { key: "port", fallback: 8_118, given: ["80", 80], other: ["0", 0], wrong: WRONG_PORT },
  "admin-host": {
    key: "adminHost",
    fallback: undefined,
    given: ["127.0.0.1", "127.0.0.1"],
    other: ["[::1]", "::1"],
    wrong: ["localhost", "takes an IP address such as 127.0.0.1, 0.0.0.0 or ::"],
  },
  "admin-port": {
    key: "adminPort",
    fallback: 8119,
    given: ["9000", 9000],
    other: ["off", "off"],
    wrong: ["no", "takes a whole number from 0 to 65535, or off"],
  },
  "workers": {
    key: "workers",
    fallback: 1,
    given: ["2", 2],
    other: ["auto", "auto"],
    wrong: ["0", "takes a whole number from 1 to 64, or auto"],
  },
  "max-connections": counts("maxConnections", 4_096),
  "max-connections-per-source": counts("maxConnectionsPerSource", 0),
  "header-timeout": times("headerTimeoutMs", 10_000),
  "connect-timeout": times("connectTimeoutMs", 4_000),
  "idle-timeout": times("idleTimeoutMs", 14_400_000),
  "half-close-timeout": times("halfCloseTimeoutMs", 60_000),
  "max-tunnel-age": times("maxTunnelAgeMs", 0),
  "shutdown-delay": times("shutdownDelayMs", 0),
  "drain-timeout": times("drainTimeoutMs", 25_000),
  "log-open-after": times("logOpenAfterMs", 10_000),
  "log-level": {
    key: "logLevel",
    fallback: "info",
    given: ["debug", "debug"],
    other: ["error", "error"],
    wrong: ["trace", "takes debug, info, warn or error"],
  },
  "log-format": {
    key: "logFormat",
    fallback: undefined,
    given: ["text", "text"],
    other: ["json", "json"],
    wrong: ["xml", "takes json or text"],
  },
};
