/** Writes the table of values in the chart's README from the comments of its values.yaml. */

const CHART = new URL("api-server-proxy/", import.meta.url);
const BEGIN = "<!-- made by `deno task chart:readme` from values.yaml: begin -->";
const END = "<!-- end -->";
/** A longer default is not repeated in the table. */
const MAX_DEFAULT_LENGTH = 60;

/** One value of the chart that has a description. */
export interface DocumentedValue {
  /** Its keys, joined by dots. */
  readonly path: string;
  /** YAML, on one line. */
  readonly fallback: string;
  readonly help: string;
}

/** Every value whose comment begins with `# --`, in the order of the file. */
export function documentedValues(valuesYaml: string): DocumentedValue[] {
  const lines = valuesYaml.split("\n").filter((line) => line.trim() !== "");
  const found: DocumentedValue[] = [];
  const parents: { indent: number; key: string }[] = [];
  let help: string[] | undefined;
  for (const [i, line] of lines.entries()) {
    const [, comment] = /^\s*# ?(.*)$/.exec(line) ?? [];
    if (comment !== undefined) {
      if (comment.startsWith("-- ")) help = [comment.slice(3)];
      else help?.push(comment);
      continue;
    }
    const [, spaces = "", key, inline = ""] = /^(\s*)([\w.-]+):(?: (.*))?$/.exec(line) ?? [];
    if (key === undefined) continue;
    const indent = spaces.length;
    while (parents.length > 0 && parents.at(-1)!.indent >= indent) parents.pop();
    parents.push({ indent, key });
    if (help === undefined) continue;
    const path = parents.map(({ key }) => key).join(".");
    found.push({ path, fallback: inline || flow(linesWithin(lines, i)), help: help.join(" ") });
    help = undefined;
  }
  return found;
}

/** The chart's README with the table as these values have it. */
export function withTable(readme: string, values: readonly DocumentedValue[]): string {
  const rows = values.map(({ path, fallback, help }) => {
    const shown = fallback.length > MAX_DEFAULT_LENGTH ? "see values.yaml" : `\`${fallback}\``;
    return `| \`${path}\` | ${shown} | ${help} |`;
  });
  const table = ["| value | default | meaning |", "| --- | --- | --- |", ...rows].join("\n");
  const [before, rest] = splitOnce(readme, BEGIN);
  const [, after] = splitOnce(rest, END);
  return `${before}${BEGIN}\n\n${table}\n\n${END}${after}`;
}

/** The lines below one that are indented more than it. */
function linesWithin(lines: readonly string[], start: number): string[] {
  const indentOf = (line: string) => line.search(/\S/);
  const rest = lines.slice(start + 1);
  const end = rest.findIndex((line) => indentOf(line) <= indentOf(lines[start]!));
  return end < 0 ? rest : rest.slice(0, end);
}

/** A block of YAML in flow style. */
function flow(block: readonly string[]): string {
  const [first = ""] = block;
  const indent = first.search(/\S/);
  const isList = first.trimStart().startsWith("- ");
  const entries: string[][] = [];
  for (const line of block) {
    if (line.search(/\S/) > indent) entries.at(-1)!.push(line);
    else entries.push([line]);
  }
  if (isList) return `[${entries.map((entry) => flow(withoutDash(entry))).join(", ")}]`;
  const pairs = entries.map(([line = "", ...nested]) =>
    nested.length === 0 ? line.trim() : `${line.trim()} ${flow(nested)}`
  );
  return `{${pairs.join(", ")}}`;
}

function withoutDash([first = "", ...rest]: readonly string[]): string[] {
  return [first.replace("- ", "  "), ...rest];
}

function splitOnce(text: string, at: string): [before: string, after: string] {
  const i = text.indexOf(at);
  if (i < 0) throw new Error(`the README has no ${JSON.stringify(at)}`);
  return [text.slice(0, i), text.slice(i + at.length)];
}

if (import.meta.main) {
  const path = new URL("README.md", CHART);
  const values = documentedValues(await Deno.readTextFile(new URL("values.yaml", CHART)));
  await Deno.writeTextFile(path, withTable(await Deno.readTextFile(path), values));
}
