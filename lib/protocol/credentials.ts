/** Who a client is, by the secret in its Proxy-Authorization field (RFC 9110 §11.7.2, RFC 7617, RFC 6750 §2.1). */
import { Refusal } from "./refusal.ts";

/** A secret that proves a name. The secret itself is known to its client only. */
export interface Credential {
  readonly name: string;
  /** SHA-256 of the secret, in lower-case hexadecimal. */
  readonly sha256: string;
}

const FIELD = /^(\S+) +(\S+)$/;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/** What a client claims. */
interface Claim {
  /** `undefined` where the secret comes alone. */
  readonly name: string | undefined;
  readonly secret: Uint8Array<ArrayBuffer>;
}

/** Checks secrets against those that are configured. */
export class Credentials {
  readonly #names: readonly string[];
  readonly #hashes: readonly Uint8Array[];

  constructor(credentials: readonly Credential[]) {
    this.#names = credentials.map(({ name }) => name);
    this.#hashes = credentials.map(({ sha256 }) =>
      Uint8Array.from(sha256.match(/../g) ?? [], (digits) => parseInt(digits, 16))
    );
  }

  /**
   * Checks what a client has sent. A wrong secret takes the same time whatever the name: names are
   * compared only once a secret is right.
   *
   * @param values The values of its Proxy-Authorization fields.
   * @returns The name that the secret proves.
   * @throws {Refusal} `credentials_missing` where there is nothing to check, `credentials_wrong` else.
   */
  async verify(values: readonly Uint8Array[]): Promise<string> {
    const { name, secret } = readClaim(values);
    const proven = this.#ownerOf(new Uint8Array(await crypto.subtle.digest("SHA-256", secret)));
    if (proven === undefined || (name !== undefined && name !== proven)) {
      throw new Refusal("credentials_wrong");
    }
    return proven;
  }

  /** Looks at every byte of every hash, whatever it finds. */
  #ownerOf(hash: Uint8Array): string | undefined {
    let found = 0;
    this.#hashes.forEach((known, index) => {
      let difference = 0;
      for (let at = 0; at < known.length; at++) difference |= known[at]! ^ hash[at]!;
      // 1 if there is no difference, else 0.
      found |= ((difference - 1) >>> 31) * (index + 1);
    });
    return this.#names[found - 1];
  }
}

function readClaim(values: readonly Uint8Array[]): Claim {
  const [value] = values;
  if (value === undefined) throw new Refusal("credentials_missing");
  if (values.length > 1) throw missing("more than one Proxy-Authorization field");
  const [, scheme = "", text = ""] = FIELD.exec(String.fromCharCode(...value)) ?? [];
  switch (scheme.toLowerCase()) {
    case "bearer":
      return { name: undefined, secret: bytesOf(text) };
    case "basic":
      return readBasic(text);
    default:
      throw missing("the scheme of Proxy-Authorization is neither Basic nor Bearer");
  }
}

function readBasic(text: string): Claim {
  const decoded = BASE64.test(text) ? tryDecode(text) : undefined;
  if (decoded === undefined) throw missing("Basic credentials that are not Base64");
  const colon = decoded.indexOf(":");
  if (colon < 0) throw missing("Basic credentials without a colon");
  return { name: decoded.slice(0, colon), secret: bytesOf(decoded.slice(colon + 1)) };
}

function tryDecode(base64: string): string | undefined {
  try {
    return atob(base64);
  } catch {
    return undefined;
  }
}

/** One byte a character. */
function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

function missing(reason: string): Refusal {
  return new Refusal("credentials_missing", reason);
}
