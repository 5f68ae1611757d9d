/** What to read with: as small as waits for little, as large as takes much at once. */

const KIB = 1024;
/** Each holds four times as much as the one before. */
const SIZES_BYTES = [KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB];
/** The most that a direction waits with: a read under way keeps its buffer, for hours if need be. */
const MAX_WAITING_BYTES = 16 * KIB;
/** A read of less than this part of a waiting buffer takes a smaller one; messages come in pieces. */
const LEAST_USE = 1 / 16;
/** Spare buffers by size: making a large one costs as much as filling it. */
const spares = new Map(SIZES_BYTES.map((size) => [size, [] as Uint8Array<ArrayBuffer>[]]));
/** For each size. */
const MAX_SPARE_BYTES = 4 * 1024 * KIB;
/** The most that all large buffers take together, spare ones included. */
const MAX_LARGE_BYTES = 32 * 1024 * KIB;
let maxLargeBytes = MAX_LARGE_BYTES;
let largeBytes = 0;

/** Divides the memory for large buffers: this isolate is one of that many that read. */
export function shareLargeBuffers(isolates: number): void {
  maxLargeBytes = MAX_LARGE_BYTES / isolates;
}

/** What a direction waits with before its first byte: 1 KiB. Its bytes are anything. */
export function firstBuffer(): Uint8Array<ArrayBuffer> {
  return takeBuffer(SIZES_BYTES[0]!);
}

/**
 * The buffer for the next read, after a read of this many bytes. After a full buffer more is
 * waiting: a larger one, up to 256 KiB. Otherwise one to wait with, which has room for a message
 * of the same size.
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

/** Keeps a buffer for the next user. No read may be under way with it. */
export function giveBack(buffer: Uint8Array<ArrayBuffer>): void {
  const { length } = buffer;
  const same = spares.get(length);
  if (same !== undefined && same.length * length < MAX_SPARE_BYTES) same.push(buffer);
  else if (length > MAX_WAITING_BYTES) largeBytes -= length;
}

/** A buffer of that size, or of 16 KiB where there is no memory left for large ones. */
function takeBuffer(bytes: number): Uint8Array<ArrayBuffer> {
  const spare = spares.get(bytes)?.pop();
  if (spare !== undefined) return spare;
  if (bytes > MAX_WAITING_BYTES) {
    // Readers that stall must not fill the memory, however many they are.
    if (largeBytes + bytes > maxLargeBytes) return takeBuffer(MAX_WAITING_BYTES);
    largeBytes += bytes;
  }
  return new Uint8Array(bytes);
}

function sizeAbove(bytes: number): number {
  return SIZES_BYTES.find((size) => size > bytes) ?? SIZES_BYTES.at(-1)!;
}
