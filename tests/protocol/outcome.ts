/** What the head parser makes of bytes, as a value that tests can compare. */
import { formatAuthority } from "../../lib/protocol/authority.ts";
import { ConnectRequestParser } from "../../lib/protocol/connect_request.ts";
import { Refusal, type RefusalKind } from "../../lib/protocol/refusal.ts";

/** What came of a head in the end. */
export type Outcome =
  | { readonly authority: string; readonly headBytes: number }
  | { readonly kind: RefusalKind; readonly message: string }
  | "need more";

/** One byte a character, so that a row can hold any byte as `\xNN`. */
export function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

/**
 * The outcome when the bytes arrive up to each of `ends` in turn. Anything
 * thrown that is not a refusal is a fault and passes through.
 */
export function outcome(
  bytes: Uint8Array,
  ends: Iterable<number> = [bytes.length],
  takesUnbracketed = false,
): Outcome {
  const parser = new ConnectRequestParser(takesUnbracketed);
  try {
    for (const end of ends) {
      const request = parser.parse(bytes.subarray(0, end));
      if (request === undefined) continue;
      return { authority: formatAuthority(request.authority), headBytes: request.headBytes };
    }
    return "need more";
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { kind: error.kind, message: error.message };
  }
}

/** One end after each byte. */
export function byteByByte(bytes: Uint8Array): number[] {
  return Array.from(bytes, (_, at) => at + 1);
}
