/** Zip archives, as Deno's releases are packed: one file in each. */

/** APPNOTE.TXT of the format, 4.3.16, 4.3.12 and 4.3.7. */
const END = { signature: 0x06054b50, bytes: 22, directory: 16 };
const ENTRY = { signature: 0x02014b50, method: 10, packed: 20, size: 24, header: 42 };
const LOCAL = { signature: 0x04034b50, bytes: 30, nameLength: 26, extraLength: 28 };
const DEFLATED = 8;

/**
 * The first file of an archive without a comment.
 *
 * @throws {Error} when it is none, or torn.
 */
export async function unzipFirst(archive: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const view = new DataView(archive.buffer, archive.byteOffset, archive.byteLength);
  const find = (at: number, signature: number) => {
    if (at < 0 || at + 4 > archive.length || view.getUint32(at, true) !== signature) {
      throw new Error("not a zip archive");
    }
    return at;
  };
  const end = find(archive.length - END.bytes, END.signature);
  const entry = find(view.getUint32(end + END.directory, true), ENTRY.signature);
  const local = find(view.getUint32(entry + ENTRY.header, true), LOCAL.signature);
  const start = local + LOCAL.bytes + view.getUint16(local + LOCAL.nameLength, true) +
    view.getUint16(local + LOCAL.extraLength, true);
  const packed = archive.subarray(start, start + view.getUint32(entry + ENTRY.packed, true));
  if (view.getUint16(entry + ENTRY.method, true) !== DEFLATED) throw new Error("not deflated");
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const file = await new Response(stream).bytes();
  if (file.length !== view.getUint32(entry + ENTRY.size, true)) throw new Error("torn");
  return file;
}
