/** Which sources may use the proxy, and for which authorities. */
import { addressNumber, type Cidr } from "./address.ts";
import { type Authority, formatAuthority } from "./authority.ts";

/** A block of source addresses, with the name of the peer that has it, if it was given one. */
export interface SourceBlock extends Cidr {
  readonly peer?: string;
}

/** What is allowed; an empty list of sources or authorities allows all. */
export interface Policy {
  /** @param source A normalised address. */
  sourceAllowed(source: string): boolean;
  /** The name of the smallest named block that has the source. */
  peerOf(source: string): string | undefined;
  authorityAllowed(authority: Authority): boolean;
}

/** Makes a policy of `--allow-from` and `--allowed-hosts`. */
export function createPolicy(
  allowFrom: readonly SourceBlock[],
  allowedAuthorities: readonly Authority[],
): Policy {
  const blocks = new BlockTable(allowFrom);
  const named = new BlockTable(allowFrom.filter(({ peer }) => peer !== undefined));
  const authorities = new Set(allowedAuthorities.map(destination));
  return {
    sourceAllowed: (source) => allowFrom.length === 0 || blocks.find(source) !== undefined,
    peerOf: (source) => named.find(source)?.peer,
    authorityAllowed: (authority) =>
      authorities.size === 0 || authorities.has(destination(authority)),
  };
}

/** The same for a name with and without a trailing dot: allowing one allows the other. */
function destination({ host, port }: Authority): string {
  return formatAuthority({ host, port });
}

/** The blocks of one prefix length, by the bits of their prefix. */
interface BlocksOfLength {
  readonly addressBits: number;
  readonly prefixBits: number;
  readonly byPrefix: Map<bigint, SourceBlock>;
}

/** Finds an address in one step a prefix length, however many blocks there are. */
class BlockTable {
  readonly #lengths: BlocksOfLength[] = [];

  constructor(blocks: readonly SourceBlock[]) {
    for (const block of blocks) {
      const { byPrefix, addressBits, prefixBits } = this.#ofLength(block);
      byPrefix.set(addressNumber(block.address) >> BigInt(addressBits - prefixBits), block);
    }
    this.#lengths.sort((a, b) => b.prefixBits - a.prefixBits);
  }

  /** The smallest block that has the address. */
  find(source: string): SourceBlock | undefined {
    if (this.#lengths.length === 0) return undefined;
    const number = addressNumber(source), sourceBits = bitsOf(source);
    for (const { addressBits, prefixBits, byPrefix } of this.#lengths) {
      if (addressBits !== sourceBits) continue;
      const block = byPrefix.get(number >> BigInt(addressBits - prefixBits));
      if (block !== undefined) return block;
    }
    return undefined;
  }

  #ofLength({ address, prefixBits }: SourceBlock): BlocksOfLength {
    const addressBits = bitsOf(address);
    const known = this.#lengths.find((length) =>
      length.addressBits === addressBits && length.prefixBits === prefixBits
    );
    if (known !== undefined) return known;
    const made = { addressBits, prefixBits, byPrefix: new Map<bigint, SourceBlock>() };
    this.#lengths.push(made);
    return made;
  }
}

function bitsOf(address: string): number {
  return address.includes(":") ? 128 : 32;
}
