import { assertEquals, assertThrows } from "@std/assert";
import { architectureOf, stripSymbols } from "../../release/elf.ts";

const NULL = 0, PROGBITS = 1, SYMTAB = 2, STRTAB = 3, NOBITS = 8;
const ALLOC = 2;

interface Section {
  readonly type: number;
  readonly flags?: number;
  readonly content?: string;
  /** Memory that the file does not hold. */
  readonly size?: number;
}

/** An executable of these sections, one after the other; the last has the names. One segment. */
function elf(sections: readonly Section[], machine = 62): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(4096);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1]);
  view.setUint16(0x12, machine, true);
  view.setBigUint64(0x20, 64n, true);
  view.setUint16(0x38, 1, true);
  view.setUint16(0x3c, sections.length, true);
  view.setUint16(0x3e, sections.length - 1, true);
  let at = 64 + 56;
  const table = 2048;
  view.setBigUint64(0x28, BigInt(table), true);
  for (const [i, { type, flags = 0, content = "", size = content.length }] of sections.entries()) {
    const header = table + 64 * i;
    view.setUint32(header + 4, type, true);
    view.setBigUint64(header + 8, BigInt(flags), true);
    view.setBigUint64(header + 24, BigInt(at), true);
    view.setBigUint64(header + 32, BigInt(size), true);
    bytes.set(new TextEncoder().encode(content), at);
    at += content.length;
    if (flags & ALLOC) view.setBigUint64(64 + 32, BigInt(at), true);
  }
  return bytes.slice(0, table + 64 * sections.length);
}

/** The contents of all sections in the file. */
function contentsOf(image: Uint8Array): string[] {
  const view = new DataView(image.buffer);
  const number = (at: number) => Number(view.getBigUint64(at, true));
  return Array.from({ length: view.getUint16(0x3c, true) }, (_, i) => number(0x28) + 64 * i)
    .filter((header) => view.getUint32(header + 4, true) !== NOBITS)
    .map((header) => image.subarray(number(header + 24), number(header + 24) + number(header + 32)))
    .map((content) => new TextDecoder().decode(content));
}

const CODE: Section = { type: PROGBITS, flags: ALLOC, content: "code and data" };
const BSS: Section = { type: NOBITS, flags: ALLOC, size: 100_000 };
const SYMBOLS: Section = { type: SYMTAB, content: "symbols".repeat(100) };
const STRINGS: Section = { type: STRTAB, content: "strings".repeat(100) };
const NAMES: Section = { type: STRTAB, content: ".text .bss .symtab .strtab" };

Deno.test("stripSymbols() keeps what is loaded and the names, and nothing else", () => {
  const image = elf([{ type: NULL }, CODE, BSS, SYMBOLS, STRINGS, NAMES]);
  const stripped = stripSymbols(image);
  assertEquals(contentsOf(stripped), ["", CODE.content, NAMES.content]);
  const end = 64 + 56 + CODE.content!.length;
  assertEquals(stripped.subarray(0x40, end), image.subarray(0x40, end));
  assertEquals(stripped.length, Math.ceil((end + NAMES.content!.length) / 8) * 8 + 4 * 64);
  assertEquals(new DataView(stripped.buffer).getUint16(0x3e, true), 3);
});

Deno.test("stripSymbols() leaves what has no symbols as it is", () => {
  const stripped = stripSymbols(elf([{ type: NULL }, CODE, BSS, SYMBOLS, NAMES]));
  assertEquals(stripSymbols(stripped), stripped);
});

Deno.test("stripSymbols() refuses a compiled program, whose last section is loaded", () => {
  const APPENDED: Section = { type: PROGBITS, flags: ALLOC, content: "the program" };
  for (const symbols of [[SYMBOLS], []]) {
    const image = elf([{ type: NULL }, CODE, ...symbols, NAMES, APPENDED]);
    new DataView(image.buffer).setUint16(0x3e, symbols.length + 2, true);
    assertThrows(() => stripSymbols(image), Error, "do not come first");
  }
});

Deno.test("stripSymbols() refuses what is no executable of 64 bits", () => {
  for (const text of ["", "#!/bin/sh\n".repeat(20), "\x7fELF\x01\x01".padEnd(100, "\0")]) {
    assertThrows(() => stripSymbols(new TextEncoder().encode(text)), Error, "not a 64-bit");
  }
});

Deno.test("architectureOf() has the names of container images", () => {
  assertEquals([62, 183, 243].map((machine) => architectureOf(elf([NAMES], machine))), [
    "amd64",
    "arm64",
    "243",
  ]);
});
