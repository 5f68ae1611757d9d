/** What to read with: as small as waits for little, as large as takes much at once. */

const KIB = 1024;
/** Each holds four times as much as the one before. */
const SIZES_BYTES = [KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB];
/** The most that a direction waits with: a read under way keeps its buffer, for hours if need be. */
const MAX_WAITING_BYTES = 16 * KIB;
/** A read of less than this part of a waiting buffer takes a smaller one; messages come in pieces. */
const LEAST_USE = 1 / 16;
/** Buffers that nobody uses just now, by size: to make a large one costs as much as to fill it. */
const spares = new Map(SIZES_BYTES.map((size) => [size, [] as Uint8Array<ArrayBuffer>[]]));
/** For each size. */
const MAX_SPARE_BYTES = 4 * 1024 * KIB;

/** What a direction waits with before its first byte: 1 KiB. Its bytes are anything. */
export function firstBuffer(): Uint8Array<ArrayBuffer> {
  return takeBuffer(SIZES_BYTES[0]!);
}

/**
 * What to read with after a read of so many bytes. A full buffer says that more is waiting: a larger
 * one, up to 256 KiB. Else one to wait with, in which the next message has room if it is like this.
 */
export function bufferAfter(
  buffer: Uint8Array<ArrayBuffer>,
  readBytes: number,
): Uint8Array<ArrayBuffer> {
  const { length } = buffer;
  const wantedBytes = readBytes === length
    ? sizeAbove(readBytes)
    : length > MAX_WAITING_BYTES
    ? MAX_WAITING_BYTES
    : readBytes >= length * LEAST_USE
    ? length
    : sizeAbove(readBytes);
  if (wantedBytes === length) return buffer;
  giveBack(buffer);
  return takeBuffer(wantedBytes);
}

/** Keeps a buffer for whoever needs one next. No read may be under way with it. */
export function giveBack(buffer: Uint8Array<ArrayBuffer>): void {
  const same = spares.get(buffer.length);
  if (same !== undefined && same.length * buffer.length < MAX_SPARE_BYTES) same.push(buffer);
}

function takeBuffer(bytes: number): Uint8Array<ArrayBuffer> {
  return spares.get(bytes)?.pop() ?? new Uint8Array(bytes);
}

function sizeAbove(bytes: number): number {
  return SIZES_BYTES.find((size) => size > bytes) ?? SIZES_BYTES.at(-1)!;
}
