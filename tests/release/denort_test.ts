/** Where the runtime of the binary comes from. */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { crc32, deflateRawSync } from "node:zlib";
import { fetchDenort, parseArch } from "../../release/denort.ts";
import { unzipFirst } from "../../release/zip.ts";
import { test } from "../harness/test.ts";

const CONTENT = new TextEncoder().encode("\x7fELF and so on ".repeat(1_000));

/** An archive with one file, as zip(1) writes it. */
function zip(content: Uint8Array): Uint8Array<ArrayBuffer> {
  const name = new TextEncoder().encode("denort"), extra = [1, 2, 3, 4];
  const packed = deflateRawSync(content);
  const u16 = (n: number) => [n & 0xff, n >> 8];
  const u32 = (n: number) => [...u16(n & 0xffff), ...u16(n >>> 16)];
  const sizes = [...u32(crc32(content)), ...u32(packed.length), ...u32(content.length)];
  const common = [...u16(20), ...u16(0), ...u16(8), ...u32(0), ...sizes, ...u16(name.length)];
  const local = [...u32(0x04034b50), ...common, ...u16(extra.length), ...name, ...extra];
  const place = [...u16(0), ...u16(0), ...u16(0), ...u32(0), ...u32(0)];
  const entry = [...u32(0x02014b50), ...u16(20), ...common, ...u16(0), ...place, ...name];
  const start = local.length + packed.length;
  const end = [...u16(0), ...u16(0), ...u16(1), ...u16(1), ...u32(entry.length), ...u32(start)];
  return new Uint8Array([
    ...[...local, ...packed, ...entry],
    ...[...u32(0x06054b50), ...end, ...u16(0)],
  ]);
}

test("unzipFirst() gives the file of an archive", async () => {
  assertEquals(await unzipFirst(zip(CONTENT)), CONTENT);
});

test("unzipFirst() refuses what is torn, and what is no archive", async () => {
  const archive = zip(CONTENT);
  for (const bytes of [archive.slice(0, -1), archive.slice(1), new Uint8Array(5)]) {
    await assertRejects(() => unzipFirst(bytes), Error, "not a zip archive");
  }
});

test("fetchDenort() asks for this release and the processor that is named", async () => {
  const asked: string[] = [];
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    asked.push(new URL(request.url).pathname);
    return new Response(zip(CONTENT));
  });
  const site = `http://127.0.0.1:${server.addr.port}`;
  assertEquals(await fetchDenort("amd64", site), CONTENT);
  assertEquals(await fetchDenort("arm64", site), CONTENT);
  assertEquals(asked, [
    `/release/v${Deno.version.deno}/denort-x86_64-unknown-linux-gnu.zip`,
    `/release/v${Deno.version.deno}/denort-aarch64-unknown-linux-gnu.zip`,
  ]);
});

test("fetchDenort() says from where it cannot be had, and what to do", async () => {
  const answer = () => new Response("no such file", { status: 404, statusText: "Not Found" });
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, answer);
  const site = `http://127.0.0.1:${server.addr.port}`;
  const { message } = await assertRejects(() => fetchDenort("arm64", site), Error);
  assertEquals(
    message,
    `${site}/release/v${Deno.version.deno}/denort-aarch64-unknown-linux-gnu.zip: 404 Not Found; ` +
      "DENORT_BIN can name a denort of this release",
  );
});

test("parseArch() takes the processors of the releases and nothing else", () => {
  assertEquals(parseArch([]), undefined);
  assertEquals(parseArch(["--arch", "arm64"]), "arm64");
  assertEquals(parseArch(["--arch=amd64"]), "amd64");
  for (const args of [["--arch=x86"], ["--arch="], ["arm64"], ["--arhc=arm64"]]) {
    assertThrows(() => parseArch(args), Error, "give");
  }
});
