/** How the value of each kind of flag is read from text. */
import { normalAddress, parseCidr } from "../protocol/address.ts";
import { type Authority, parseAuthority } from "../protocol/authority.ts";
import type { Credential } from "../protocol/credentials.ts";
import type { SourceBlock } from "../protocol/policy.ts";

/** A kind of value: how it is read, and the message for a wrong one. */
export interface ValueKind<T> {
  /** Completes "takes …" in a message to the operator. */
  readonly takes: string;
  /** The value, or `undefined` when the text is not one. */
  readonly read: (text: string) => T | undefined;
}

/** The longest delay that a timer can hold is 2³¹ - 1 ms, near 25 days. */
const MAX_DURATION_MS = 24 * 24 * 3_600_000;
const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};
const DURATION = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/;

/** Milliseconds; `0` switches a limit off. */
export const duration: ValueKind<number> = {
  takes: "a duration such as 500ms, 10s, 1m30s or 1h, at most 576h, or 0",
  read(text) {
    if (text === "0") return 0;
    if (!DURATION.test(text)) return undefined;
    let ms = 0;
    for (const [, amount, unit] of text.matchAll(/([\d.]+)(ms|s|m|h)/g)) {
      ms += Number(amount) * UNIT_MS[unit!]!;
    }
    // Less than a millisecond must not become 0, which would switch the limit off.
    const tooSmall = ms > 0 && ms < 1;
    return tooSmall || ms > MAX_DURATION_MS ? undefined : Math.round(ms);
  },
};

/** A whole number from `least` to `most`, in plain digits. */
export function wholeNumber(least: number, most: number): ValueKind<number> {
  return {
    takes: `a whole number from ${least} to ${most}`,
    read(text) {
      const value = Number(text);
      const inRange = value >= least && value <= most;
      return /^\d{1,15}$/.test(text) && inRange ? value : undefined;
    },
  };
}

/** One of a few words. */
export function oneOf<T extends string>(...words: T[]): ValueKind<T> {
  return {
    takes: `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`,
    read: (text) => words.find((word) => word === text),
  };
}

/** A value of that kind, or a word that stands for something else. */
export function orWord<T, W extends string>(kind: ValueKind<T>, word: W): ValueKind<T | W> {
  return {
    takes: `${kind.takes}, or ${word}`,
    read: (text) => text === word ? word : kind.read(text),
  };
}

/** An IP address, an IPv6 one with or without brackets. */
export const address: ValueKind<string> = {
  takes: "an IP address such as 127.0.0.1, 0.0.0.0 or ::",
  read: (text) => normalAddress(text.replace(/^\[(.*:.*)\]$/, "$1")),
};

/** `host:port`. */
export const authority: ValueKind<Authority> = {
  takes: "HOST:PORT with a port from 1 to 65535, an IPv6 address in brackets",
  read: parseAuthority,
};

const PEER_NAME = /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/i;

/** Completes "takes …" for the name of a peer. */
export const PEER_NAME_TAKES =
  "1 to 63 letters, digits, dots, dashes and underscores, the first and last a letter or digit";

/** Whether a peer may have that name. */
export function isPeerName(text: string): boolean {
  return PEER_NAME.test(text);
}

/** A block of addresses or a single one, with a peer's name before it if it has one. */
export const sourceBlock: ValueKind<SourceBlock> = {
  takes: "an address block such as 10.0.0.0/8 or 2001:db8::/32 with no bit set " +
    "after the prefix, or a single address, or NAME= and one of them",
  read(text) {
    const [, peer, cidrText = ""] = /^(?:([^=]*)=)?(.*)$/s.exec(text) ?? [];
    const cidr = parseCidr(cidrText);
    if (peer === undefined || cidr === undefined) return cidr;
    return isPeerName(peer) ? { ...cidr, peer } : undefined;
  },
};

/** The name of a peer and the SHA-256 of its secret. */
export const credential: ValueKind<Credential> = {
  takes: "NAME:SHA256, as `api-server-proxy credentials NAME` prints it",
  read(text) {
    const [, name = "", sha256 = ""] = /^([^:]*):([0-9a-f]{64})$/i.exec(text) ?? [];
    return isPeerName(name) ? { name, sha256: sha256.toLowerCase() } : undefined;
  },
};

/** `host:port`, or the URL of an API server as `kubectl cluster-info` prints it. */
export const apiServer: ValueKind<Authority> = {
  takes: `${authority.takes}, or https://HOST:PORT`,
  read(text) {
    const [, inUrl] = /^https:\/\/([^/?#]*)\/?$/i.exec(text) ?? [];
    if (inUrl === undefined) return parseAuthority(text);
    const hasPort = /:\d*$/.test(inUrl.replace(/^\[[^\]]*\]/, ""));
    return parseAuthority(hasPort ? inUrl : `${inUrl}:443`);
  },
};

/** One certificate or several, as PEM (RFC 7468 §5) has them; text around them is ignored. */
export const certificates: ValueKind<string> = {
  takes: "certificates in PEM, the text itself: -----BEGIN CERTIFICATE-----…",
  read(text) {
    const found = [
      ...text.matchAll(/-----BEGIN CERTIFICATE-----([^-]*)-----END CERTIFICATE-----/g),
    ];
    return found.length > 0 && found.every(([, base64 = ""]) => isDer(base64)) ? text : undefined;
  },
};

/** Whether a text is base64 of an ASN.1 sequence, as certificates are. */
function isDer(base64: string): boolean {
  try {
    const der = atob(base64);
    // The sequence is as long as its header says: no part was lost on the way here.
    return der.startsWith("\x30\x82") &&
      der.length === 4 + (der.charCodeAt(2) << 8) + der.charCodeAt(3);
  } catch {
    return false;
  }
}
