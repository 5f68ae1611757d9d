import { assertEquals, assertThrows } from "@std/assert";
import { notesOf } from "../../release/notes.ts";

const CHANGELOG = `# Changelog

## Unreleased

## 0.2.0 (2026-12-01)

### Added

- A thing.

## 0.1.0

The first.
`;

Deno.test("notesOf() gives the section of a version", () => {
  assertEquals(notesOf(CHANGELOG, "0.2.0"), "### Added\n\n- A thing.\n");
  assertEquals(notesOf(CHANGELOG, "0.1.0"), "The first.\n");
});

Deno.test("notesOf() refuses a version that CHANGELOG.md says nothing of", () => {
  for (const version of ["0.3.0", "0.2", "Unreleased", "10.1.0"]) {
    assertThrows(() => notesOf(CHANGELOG, version), Error, `"## ${version}"`);
  }
});
