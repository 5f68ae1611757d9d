import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { bufferAfter, firstBuffer, giveBack } from "../../lib/proxy/buffers.ts";

const KIB = 1024;

/** The sizes that a direction reads with, one after each read. */
function sizesAfter(reads: readonly number[]): number[] {
  let buffer = firstBuffer();
  return reads.map((readBytes) => (buffer = bufferAfter(buffer, readBytes)).length);
}

/** The reads that it takes to get so many bytes that are there at once. */
function readsOf(messages: readonly number[]): number[][] {
  let buffer = firstBuffer();
  return messages.map((message) => {
    const reads: number[] = [];
    for (let left = message; left > 0; left -= reads.at(-1)!) {
      reads.push(Math.min(left, buffer.length));
      buffer = bufferAfter(buffer, reads.at(-1)!);
    }
    return reads;
  });
}

Deno.test("a direction waits for its first byte with 1 KiB", () => {
  assertEquals(firstBuffer().length, KIB);
});

Deno.test("readers that stall hold 32 MiB of large buffers at most, all together", () => {
  const full = (buffer: Uint8Array<ArrayBuffer>) => {
    let last;
    do {
      last = buffer;
      buffer = bufferAfter(buffer, buffer.length);
    } while (buffer.length > last.length);
    return buffer;
  };
  const held = Array.from({ length: 1_000 }, () => full(firstBuffer()));
  const large = held.filter(({ length }) => length > 16 * KIB);
  const largeBytes = large.reduce((sum, { length }) => sum + length, 0);
  assert(largeBytes <= 32 * 1024 * KIB && largeBytes > 24 * 1024 * KIB, `${largeBytes}`);
  assertEquals(held.at(-1)!.length, 16 * KIB);
  held.forEach(giveBack);
  // What has been given back is there for the next one.
  assertEquals(full(firstBuffer()).length, 256 * KIB);
});

Deno.test("buffers grow as long as reads fill them, up to 256 KiB", () => {
  const full = [1, 4, 16, 64, 256, 256].map((size) => size * KIB);
  assertEquals(sizesAfter(full), [4, 16, 64, 256, 256, 256].map((size) => size * KIB));
});

for (const message of [100, 1_500, 4_096, 10_000]) {
  Deno.test(`messages of ${message} B take one read each, but for the first ones`, () => {
    const later = readsOf(Array<number>(10).fill(message)).slice(2);
    assertEquals(later, Array(8).fill([message]));
  });
}

Deno.test("nothing larger than 16 KiB waits for what may never come", () => {
  assertEquals(sizesAfter([KIB, 4 * KIB, 16 * KIB, 64 * KIB, 100_000]).at(-1), 16 * KIB);
  assertEquals(sizesAfter([KIB, 4 * KIB, 16 * KIB, 60_000]).at(-1), 16 * KIB);
});

Deno.test("a buffer that is hardly used gives way to one that is", () => {
  assertEquals(sizesAfter([KIB, 4 * KIB, 2_000, 40]).at(-1), KIB);
});

Deno.test("a buffer that was given back is the next one, and not many are kept", () => {
  const buffer = new Uint8Array(256 * KIB);
  giveBack(buffer);
  assertStrictEquals(bufferAfter(new Uint8Array(64 * KIB), 64 * KIB), buffer);
  const many = Array.from({ length: 1_000 }, () => new Uint8Array(256 * KIB));
  many.forEach(giveBack);
  const kept = many.map(() => bufferAfter(new Uint8Array(64 * KIB), 64 * KIB))
    .filter((taken) => many.includes(taken));
  assert(kept.length > 0 && kept.length <= 16, `${kept.length} are kept`);
});
