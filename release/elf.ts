/** Linux executables, as far as a release touches them: elf(5). */

/** Where the ELF-64 header has what is read here. */
const HEADER = {
  bytes: 64,
  machine: 0x12,
  segmentTable: 0x20,
  sectionTable: 0x28,
  segmentCount: 0x38,
  sectionCount: 0x3c,
  nameSection: 0x3e,
};
const SECTION = { bytes: 64, type: 4, flags: 8, offset: 24, size: 32 };
const SEGMENT = { bytes: 56, offset: 8, fileSize: 32 };
const SHT_NOBITS = 8, SHF_ALLOC = 2n;
/** `0x7f ELF`, 64-bit, little-endian. */
const MAGIC = [0x7f, 0x45, 0x4c, 0x46, 2, 1];

/** Names of Go and of container images for processors, by ELF's number. */
const MACHINES: Readonly<Record<number, string>> = { 62: "amd64", 183: "arm64" };

/**
 * The processor that an executable is for: `amd64`, `arm64`, or ELF's number of another one.
 *
 * @throws {Error} when it is no 64-bit little-endian ELF image.
 */
export function architectureOf(image: Uint8Array): string {
  const machine = viewOf(image).getUint16(HEADER.machine, true);
  return MACHINES[machine] ?? String(machine);
}

/**
 * An executable without what is never loaded: symbols, their names, comments. The result is that of
 * `strip`, which would have to be there for each processor.
 *
 * @throws {Error} when it is no 64-bit little-endian ELF image, or when its loaded sections do not
 * come first: `deno compile` appends one, so a compiled program is refused.
 */
export function stripSymbols(image: Uint8Array): Uint8Array<ArrayBuffer> {
  const view = viewOf(image);
  const number = (at: number) => Number(view.getBigUint64(at, true));
  const tableOf = (offset: number, count: number, bytes: number) =>
    Array.from({ length: view.getUint16(count, true) }, (_, i) => number(offset) + i * bytes);
  const sections = tableOf(HEADER.sectionTable, HEADER.sectionCount, SECTION.bytes);
  const segments = tableOf(HEADER.segmentTable, HEADER.segmentCount, SEGMENT.bytes);

  const startOf = (section: number) => number(section + SECTION.offset);
  const endOf = (section: number) => startOf(section) + number(section + SECTION.size);
  const isLoaded = (section: number) =>
    (view.getBigUint64(section + SECTION.flags, true) & SHF_ALLOC) !== 0n;
  const isInFile = (section: number) => view.getUint32(section + SECTION.type, true) !== SHT_NOBITS;

  const loaded = sections.filter(isLoaded);
  const loadedEnd = Math.max(
    ...loaded.filter(isInFile).map(endOf),
    ...segments.map((at) => number(at + SEGMENT.offset) + number(at + SEGMENT.fileSize)),
  );
  // Sections refer to one another by number: those that stay must keep theirs. Number 0 is empty.
  const rest = sections.slice(1 + loaded.length);
  if (rest.some((section) => isLoaded(section) || startOf(section) < loadedEnd)) {
    throw new Error("its loaded sections do not come first");
  }

  const names = sections[view.getUint16(HEADER.nameSection, true)]!;
  const nameBytes = image.subarray(startOf(names), endOf(names));
  const kept = [...sections.slice(0, 1 + loaded.length), names];
  const table = Math.ceil((loadedEnd + nameBytes.length) / 8) * 8;
  const stripped = new Uint8Array(table + kept.length * SECTION.bytes);
  stripped.set(image.subarray(0, loadedEnd));
  stripped.set(nameBytes, loadedEnd);
  for (const [i, section] of kept.entries()) {
    stripped.set(image.subarray(section, section + SECTION.bytes), table + i * SECTION.bytes);
  }
  const header = viewOf(stripped);
  header.setBigUint64(HEADER.sectionTable, BigInt(table), true);
  header.setUint16(HEADER.sectionCount, kept.length, true);
  header.setUint16(HEADER.nameSection, kept.length - 1, true);
  const newNames = table + (kept.length - 1) * SECTION.bytes;
  header.setBigUint64(newNames + SECTION.offset, BigInt(loadedEnd), true);
  return stripped;
}

function viewOf(image: Uint8Array): DataView {
  if (image.length < HEADER.bytes || MAGIC.some((byte, i) => image[i] !== byte)) {
    throw new Error("not a 64-bit little-endian ELF image");
  }
  return new DataView(image.buffer, image.byteOffset, image.byteLength);
}
