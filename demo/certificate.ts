/**
 * A certificate authority and a certificate signed by it, made at run time
 * (RFC 5280; keys and signatures of RFC 5480 and RFC 5758): no file, no tool.
 */

/** What a TLS server needs, and what those need who are to trust it; all in PEM. */
export interface ServerCertificate {
  /** The server's own certificate. */
  readonly certificate: string;
  readonly privateKey: string;
  /** The certificate of the authority that signed it. */
  readonly authority: string;
}

type Bytes = Uint8Array<ArrayBuffer>;

/** One entity that certificates speak of. */
interface Party {
  readonly name: string;
  readonly keys: CryptoKeyPair;
}

const KEY_TYPE = { name: "ECDSA", namedCurve: "P-256" };
const SIGNATURE_TYPE = { name: "ECDSA", hash: "SHA-256" };
const ONE_DAY_MS = 24 * 3_600_000;

/**
 * Makes a certificate that is valid for one day.
 *
 * @param hosts DNS names and IPv4 addresses at which the server is reached.
 * @param validFromMs When that day begins, in milliseconds since 1970.
 */
export async function createServerCertificate(
  hosts: readonly string[],
  validFromMs = Date.now(),
): Promise<ServerCertificate> {
  const authority = await createParty("api-server-proxy demo CA");
  const server = await createParty(hosts[0]!);
  const pkcs8 = await crypto.subtle.exportKey("pkcs8", server.keys.privateKey);
  return {
    certificate: pem(
      "CERTIFICATE",
      await sign(authority, server, serverExtensions(hosts), validFromMs),
    ),
    privateKey: pem("PRIVATE KEY", new Uint8Array(pkcs8)),
    authority: pem(
      "CERTIFICATE",
      await sign(authority, authority, authorityExtensions(), validFromMs),
    ),
  };
}

async function createParty(name: string): Promise<Party> {
  return { name, keys: await crypto.subtle.generateKey(KEY_TYPE, true, ["sign", "verify"]) };
}

/** The certificate of one party, signed by another or by itself (RFC 5280 §4.1). */
async function sign(
  issuer: Party,
  subject: Party,
  extensions: Bytes,
  validFromMs: number,
): Promise<Bytes> {
  const toBeSigned = sequence(
    der(CONTEXT_0, integer(Uint8Array.of(2))), // version 3
    integer(crypto.getRandomValues(new Uint8Array(16))), // serial number
    SIGNATURE_ALGORITHM,
    commonName(issuer.name),
    sequence(utcTime(validFromMs), utcTime(validFromMs + ONE_DAY_MS)),
    commonName(subject.name),
    new Uint8Array(await crypto.subtle.exportKey("spki", subject.keys.publicKey)),
    der(CONTEXT_3, extensions),
  );
  const raw = new Uint8Array(
    await crypto.subtle.sign(SIGNATURE_TYPE, issuer.keys.privateKey, toBeSigned),
  );
  // WebCrypto gives the two numbers side by side, X.509 wants them in a sequence.
  const signature = sequence(integer(raw.slice(0, 32)), integer(raw.slice(32)));
  return sequence(toBeSigned, SIGNATURE_ALGORITHM, bitString(signature));
}

function authorityExtensions(): Bytes {
  return sequence(
    extension(BASIC_CONSTRAINTS, sequence(TRUE)), // it is an authority
    extension(KEY_USAGE, bitString(Uint8Array.of(0b100), 2)), // keyCertSign
  );
}

function serverExtensions(hosts: readonly string[]): Bytes {
  return sequence(
    extension(KEY_USAGE, bitString(Uint8Array.of(0b1000_0000), 7)), // digitalSignature
    extension(EXTENDED_KEY_USAGE, sequence(SERVER_AUTH)),
    extension(SUBJECT_ALT_NAME, sequence(...hosts.map(generalName))),
  );
}

/** All of ours are critical: software that does not know one must not trust the certificate. */
function extension(id: Bytes, value: Bytes): Bytes {
  return sequence(id, TRUE, der(OCTET_STRING, value));
}

function generalName(host: string): Bytes {
  return /^[\d.]+$/.test(host)
    ? der(IP_ADDRESS, Uint8Array.from(host.split("."), Number))
    : der(DNS_NAME, ascii(host));
}

function commonName(name: string): Bytes {
  return sequence(der(SET, sequence(COMMON_NAME, der(UTF8_STRING, ascii(name)))));
}

// DER (X.690 §8 and §10): a tag, how many bytes follow, the bytes.

const INTEGER = 0x02, BIT_STRING = 0x03, OCTET_STRING = 0x04, OBJECT_ID = 0x06;
const UTF8_STRING = 0x0c, UTC_TIME = 0x17, SEQUENCE = 0x30, SET = 0x31;
const DNS_NAME = 0x82, IP_ADDRESS = 0x87, CONTEXT_0 = 0xa0, CONTEXT_3 = 0xa3;
const TRUE = Uint8Array.of(0x01, 1, 0xff);

const SIGNATURE_ALGORITHM = sequence(objectId("1.2.840.10045.4.3.2")); // ecdsa-with-SHA256
const COMMON_NAME = objectId("2.5.4.3");
const KEY_USAGE = objectId("2.5.29.15");
const SUBJECT_ALT_NAME = objectId("2.5.29.17");
const BASIC_CONSTRAINTS = objectId("2.5.29.19");
const EXTENDED_KEY_USAGE = objectId("2.5.29.37");
const SERVER_AUTH = objectId("1.3.6.1.5.5.7.3.1");

function der(tag: number, ...parts: readonly Bytes[]): Bytes {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const lengthBytes = length < 0x80
    ? [length]
    : length < 0x100
    ? [0x81, length]
    : [0x82, length >> 8, length & 0xff];
  return concat(Uint8Array.of(tag, ...lengthBytes), ...parts);
}

function sequence(...items: readonly Bytes[]): Bytes {
  return der(SEQUENCE, ...items);
}

/** A number of zero or more, given big-endian: no zero byte too many, no sign bit set. */
function integer(bytes: Bytes): Bytes {
  const first = bytes.findIndex((byte) => byte !== 0);
  const digits = first < 0 ? Uint8Array.of(0) : bytes.slice(first);
  return der(INTEGER, digits[0]! < 0x80 ? digits : concat(Uint8Array.of(0), digits));
}

function bitString(bytes: Bytes, unusedBits = 0): Bytes {
  return der(BIT_STRING, Uint8Array.of(unusedBits), bytes);
}

/** Good until 2049 (RFC 5280 §4.1.2.5.1): YYMMDDHHMMSSZ. */
function utcTime(ms: number): Bytes {
  const digits = new Date(ms).toISOString().replace(/\D/g, "");
  return der(UTC_TIME, ascii(`${digits.slice(2, 14)}Z`));
}

function objectId(dotted: string): Bytes {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  return der(OBJECT_ID, Uint8Array.from([first * 40 + second, ...rest].flatMap(base128)));
}

/** Seven bits a byte, the top bit set in all but the last. */
function base128(value: number): number[] {
  const bytes = [value & 0x7f];
  for (let rest = value >> 7; rest > 0; rest >>= 7) bytes.unshift(rest & 0x7f | 0x80);
  return bytes;
}

function ascii(text: string): Bytes {
  return new TextEncoder().encode(text);
}

function concat(...parts: readonly Bytes[]): Bytes {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function pem(label: string, bytes: Bytes): string {
  const lines = bytes.toBase64().match(/.{1,64}/g)!.join("\n");
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}
