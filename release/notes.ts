/** What CHANGELOG.md says of a version. */

/**
 * The section of a version, without its heading.
 *
 * @throws {Error} when there is none, or it is empty.
 */
export function notesOf(changelog: string, version: string): string {
  const sections = changelog.split(/^## /m).slice(1);
  const section = sections.find((text) => text.split("\n", 1)[0]!.split(/[ (]/, 1)[0] === version);
  const notes = section?.slice(section.indexOf("\n")).trim();
  if (!notes) throw new Error(`CHANGELOG.md has nothing under "## ${version}"`);
  return `${notes}\n`;
}
