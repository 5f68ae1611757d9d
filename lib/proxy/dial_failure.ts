/** Turns the errors of a dial, from Deno and getaddrinfo, into an answer to the client, by errno. */
import { type Authority, formatAuthority } from "../protocol/authority.ts";
import { Refusal, type RefusalKind } from "../protocol/refusal.ts";

/** A dial that failed. */
export class DialFailure extends Refusal {
  /**
   * @param upstream What was dialled.
   * @param cause Names the error, by its errno if it has one.
   */
  constructor(
    kind: RefusalKind,
    readonly upstream: Authority,
    override readonly cause: string,
    reason?: string,
  ) {
    super(kind, reason);
  }

  /** Whether this machine lacks something, which says nothing about the upstream. */
  get isLocal(): boolean {
    return this.kind === "local_shortage";
  }

  /** What the log has beside the refusal. */
  get logFields() {
    return { upstream: formatAuthority(this.upstream), cause: this.cause };
  }
}

const KINDS = {
  upstream_refused: [
    "ECONNREFUSED",
    // It may reset between accept and the first look at the connection.
    ...["ECONNRESET", "ECONNABORTED", "ENOTCONN", "EPIPE"],
  ],
  upstream_unreachable: [
    ...["EHOSTUNREACH", "ENETUNREACH", "EHOSTDOWN", "ENETDOWN"],
    // What a local firewall, a host without IPv6 and a link-local address answer.
    ...["EPERM", "EACCES", "EAFNOSUPPORT", "EINVAL"],
  ],
  upstream_timeout: ["ETIMEDOUT"],
  upstream_name_not_found: ["ENOTFOUND", "ENODATA", "EAI_AGAIN", "EAI_FAIL", "EAI_NONAME"],
  local_shortage: ["EADDRNOTAVAIL", "EMFILE", "ENFILE", "EAGAIN", "ENOBUFS", "ENOMEM"],
} as const satisfies Partial<Record<RefusalKind, readonly string[]>>;

const KIND_OF_CODE = new Map(
  Object.entries(KINDS).flatMap(([kind, codes]) =>
    codes.map((code) => [code as string, kind as RefusalKind])
  ),
);

/** What to answer when a lookup or a connection has failed with that error. */
export function dialFailure(error: unknown, upstream: Authority): DialFailure {
  if (error instanceof DialFailure) return error;
  const { code = String(error) } = error as { code?: string };
  const kind = KIND_OF_CODE.get(code);
  if (kind === undefined) {
    const reason = "the connection to the API server could not be opened";
    return new DialFailure("internal_error", upstream, code, reason);
  }
  // A host without IPv6 answers as one that is out of ports.
  const isUnroutable = code === "EADDRNOTAVAIL" && !hasIPv6() && upstream.host.includes(":");
  return new DialFailure(isUnroutable ? "upstream_unreachable" : kind, upstream, code);
}

/** Whether this machine has an IPv6 address at all. */
function hasIPv6(): boolean {
  try {
    Deno.listen({ hostname: "::1", port: 0, tcpBacklog: 1 }).close();
    return true;
  } catch (error) {
    return !(error instanceof Deno.errors.AddrNotAvailable);
  }
}
