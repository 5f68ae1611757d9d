/** A name server of a test: what it answers, how late or badly, and what it was asked (RFC 1035). */

/** The types of records that a lookup of addresses asks for. */
export type RecordType = "A" | "AAAA";

/** What it answers for a name. */
export interface Zone {
  readonly A?: readonly string[];
  readonly AAAA?: readonly string[];
  /** The name is another name for this one, whose records come with the answer if it has some. */
  readonly CNAME?: string;
  /** How long the answer is kept back. */
  readonly delayMs?: number;
  /** No answer; only over TCP; or an answer that says what went wrong. */
  readonly how?: "silence" | "truncated" | "SERVFAIL" | "REFUSED" | "NXDOMAIN";
  /** What `delayMs` and `how` are for: both types, unless given. */
  readonly only?: RecordType;
}

/** One question that has come. */
export interface Query {
  readonly name: string;
  /** A {@linkcode RecordType}, or the number of another type. */
  readonly type: string;
  readonly transport: "udp" | "tcp";
}

const TYPES: Readonly<Record<number, string>> = { 1: "A", 28: "AAAA" };
const NUMBERS = { A: 1, CNAME: 5, AAAA: 28 } as const;
const RCODES = { NOERROR: 0, SERVFAIL: 2, NXDOMAIN: 3, REFUSED: 5 } as const;
const HEADER_BYTES = 12;
/** QR, AA, RD and RA. */
const RESPONSE = 0x8580;
const TRUNCATED = 0x0200;
const TTL_SECONDS = 30;

/**
 * Answers over UDP and TCP at port 53, the one that resolvers ask: to be used in a network of the
 * test's own (`network.ts`). It knows the names of `zones`, with `*.` for all others of a
 * domain; any other name does not exist. `zones` may change while it runs.
 */
export class DnsServer implements AsyncDisposable {
  readonly zones: Map<string, Zone>;
  readonly queries: Query[] = [];
  readonly #udp: Deno.DatagramConn;
  readonly #tcp: Deno.TcpListener;
  readonly #conns = new Set<Deno.TcpConn>();
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  readonly #served: Promise<unknown>;
  #more = Promise.withResolvers<void>();

  /** @param zones By name, in lower case, without a dot at the end. */
  constructor(zones: Readonly<Record<string, Zone>>, hostname = "127.0.0.1", port = 53) {
    this.zones = new Map(Object.entries(zones));
    this.#udp = Deno.listenDatagram({ transport: "udp", hostname, port });
    this.#tcp = Deno.listen({ hostname, port });
    this.#served = Promise.all([this.#serveUdp(), this.#serveTcp()]);
  }

  /** How often that name was asked for, for one type or for all. */
  count(name: string, type?: RecordType): number {
    return this.queries.filter((query) =>
      query.name === name && (type === undefined || query.type === type)
    ).length;
  }

  /** Resolves once that name has been asked for so often. */
  async asked(name: string, times = 1, type?: RecordType): Promise<void> {
    while (this.count(name, type) < times) await this.#more.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#timers.forEach((timer) => clearTimeout(timer));
    this.#udp.close();
    this.#tcp.close();
    this.#conns.forEach((conn) => conn.close());
    await this.#served;
  }

  async #serveUdp(): Promise<void> {
    for (;;) {
      const received = await this.#udp.receive().catch(() => undefined);
      if (received === undefined) return;
      const [message, from] = received;
      this.#answer(message, "udp", (answer) => void this.#udp.send(answer, from).catch(() => {}));
    }
  }

  async #serveTcp(): Promise<void> {
    const serving = [];
    for (;;) {
      const conn = await this.#tcp.accept().catch(() => undefined);
      if (conn === undefined) break;
      this.#conns.add(conn);
      serving.push(this.#serveConnection(conn).catch(() => {}));
    }
    await Promise.all(serving);
  }

  /** Messages with their length before them (RFC 1035 §4.2.2). */
  async #serveConnection(conn: Deno.TcpConn): Promise<void> {
    let received = new Uint8Array();
    const buffer = new Uint8Array(1024);
    for (let count; (count = await conn.read(buffer)) !== null;) {
      received = new Uint8Array([...received, ...buffer.subarray(0, count)]);
      for (let end; received.length >= 2 && received.length >= (end = 2 + uint16(received, 0));) {
        this.#answer(received.subarray(2, end), "tcp", (answer) => {
          const message = new Uint8Array([...bytes16(answer.length), ...answer]);
          void conn.write(message).catch(() => {});
        });
        received = received.slice(end);
      }
    }
    this.#conns.delete(conn);
    conn.close();
  }

  #answer(
    message: Uint8Array,
    transport: Query["transport"],
    send: (answer: Uint8Array<ArrayBuffer>) => void,
  ): void {
    const { name, type, end } = questionOf(message);
    this.queries.push({ name, type, transport });
    this.#more.resolve();
    this.#more = Promise.withResolvers();

    const zone = this.#zoneOf(name);
    const isMeant = zone?.only === undefined || zone.only === type;
    const how = isMeant ? zone?.how : undefined;
    if (how === "silence") return;
    const isTruncated = how === "truncated" && transport === "udp";
    const rcode = zone === undefined
      ? "NXDOMAIN"
      : how === undefined || how === "truncated"
      ? "NOERROR"
      : how;
    const records = rcode === "NOERROR" && !isTruncated ? this.#recordsOf(name, type) : [];
    const flags = RESPONSE | (isTruncated ? TRUNCATED : 0) | RCODES[rcode];
    const answer = new Uint8Array([
      ...message.subarray(0, 2),
      ...[flags, 1, records.length, 0, 0].flatMap(bytes16),
      ...message.subarray(HEADER_BYTES, end),
      ...records.flat(),
    ]);
    const delayMs = isMeant ? zone?.delayMs : undefined;
    if (delayMs === undefined) return send(answer);
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      send(answer);
    }, delayMs);
    this.#timers.add(timer);
  }

  #zoneOf(name: string): Zone | undefined {
    return this.zones.get(name) ?? this.zones.get(name.replace(/^[^.]+/, "*"));
  }

  /** The records of that type, by way of the names it is another name for. */
  #recordsOf(name: string, type: string): number[][] {
    const zone = this.#zoneOf(name);
    if (zone?.CNAME !== undefined) {
      const alias = recordOf(name, "CNAME", nameBytes(zone.CNAME));
      return [alias, ...this.#recordsOf(zone.CNAME, type)];
    }
    if (type === "A") {
      return (zone?.A ?? []).map((address) => recordOf(name, type, address.split(".").map(Number)));
    }
    if (type !== "AAAA") return [];
    return (zone?.AAAA ?? []).map((address) => recordOf(name, type, ipv6Bytes(address)));
  }
}

/** The name in lower case, the type, and where the question ends. */
function questionOf(message: Uint8Array): { name: string; type: string; end: number } {
  const labels = [];
  let at = HEADER_BYTES;
  for (let length; (length = message[at]!) > 0; at += 1 + length) {
    labels.push(new TextDecoder().decode(message.subarray(at + 1, at + 1 + length)));
  }
  const number = uint16(message, at + 1);
  return {
    name: labels.join(".").toLowerCase(),
    type: TYPES[number] ?? String(number),
    end: at + 5,
  };
}

function recordOf(name: string, type: keyof typeof NUMBERS, data: readonly number[]): number[] {
  const IN = 1;
  const ttl = [...bytes16(0), ...bytes16(TTL_SECONDS)];
  return [
    ...nameBytes(name),
    ...bytes16(NUMBERS[type]),
    ...bytes16(IN),
    ...ttl,
    ...bytes16(data.length),
    ...data,
  ];
}

function nameBytes(name: string): number[] {
  const labels = name.split(".").map((label) => [...new TextEncoder().encode(label)]);
  return [...labels.flatMap((label) => [label.length, ...label]), 0];
}

function ipv6Bytes(address: string): number[] {
  const [head = [], tail] = address.split("::")
    .map((part) => part.split(":").filter((group) => group !== ""));
  const zeros = tail === undefined ? [] : Array(8 - head.length - tail.length).fill("0");
  return [...head, ...zeros, ...tail ?? []].flatMap((group) => bytes16(parseInt(group, 16)));
}

function uint16(bytes: Uint8Array, at: number): number {
  return bytes[at]! << 8 | bytes[at + 1]!;
}

function bytes16(value: number): number[] {
  return [value >> 8, value & 0xff];
}
