/** What `/metrics` answers, read as Prometheus reads it; a report with a fault fails its test. */

/** A report that Prometheus' parser or linter would find fault with, or that cannot be true. */
export class ReportError extends Error {
  override readonly name = "ReportError";
}

const TYPES = ["counter", "gauge", "histogram"];
const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/;
const LABELS = /^(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*"(?:,(?!$)|$))+$/;
/** Prometheus names what is measured in seconds, bytes and other units without a prefix. */
const OTHER_UNITS =
  /_(?:(?:nano|micro|milli)seconds|minutes|hours|days|(?:kilo|mega|giga|kibi|mebi|gibi)?bits|(?:kilo|mega|giga|kibi|mebi|gibi)bytes|ms|us|ns|kb|mb|gb)(?=_|$)/;

/**
 * The value of each sample, by its name with its labels.
 *
 * Refuses what Prometheus' parser and `promlint` refuse, as far as a report of ours could have it,
 * histograms that do not add up, and values below zero: nothing that we measure can be.
 *
 * @throws {ReportError}
 */
export function samplesOf(report: string): ReadonlyMap<string, number> {
  if (!report.endsWith("\n")) throw new ReportError(`a report that ends in a line: ${report}`);
  const samples = new Map<string, number>();
  const families = new Set<string>();
  for (const text of report.split(/^(?=# HELP )/m)) {
    const [, name = "", type = ""] = /^# HELP (\S+) \S.*\n# TYPE \1 (\w+)\n/.exec(text) ?? [];
    const expect = (isRight: boolean, what: string) => {
      if (!isRight) throw new ReportError(`${what}:\n${text}`);
    };
    expect(TYPES.includes(type), "a family begins with its help and its type");
    expect(!families.has(name), "a family stands there once");
    families.add(name);
    expect(name.endsWith("_total") === (type === "counter"), "counters alone end in _total");
    expect(!/_(?:bucket|count|sum)$/.test(name), "_bucket, _count and _sum are of histograms");
    expect(/^[a-z0-9_]+$/.test(name), "names are in lower case");
    expect(!OTHER_UNITS.test(name), "units are base units");
    const own = new Map<string, number>();
    for (const line of text.trimEnd().split("\n").slice(2)) {
      const [, full = "", labels, number] = SAMPLE.exec(line) ?? [];
      const suffix = full.slice(name.length);
      const isOwn = full.startsWith(name) &&
        (type === "histogram" ? ["_bucket", "_sum", "_count"].includes(suffix) : suffix === "");
      expect(isOwn, `"${line}" is no sample of the family`);
      expect(labels === undefined || LABELS.test(labels), `"${line}" has no good labels`);
      const hasBound = /(?:^|,)le="/.test(labels ?? "");
      expect(hasBound === (suffix === "_bucket"), "le is a label of buckets alone");
      const value = Number(number);
      expect(value >= 0, `"${line}" is below zero, or no number`);
      const key = line.slice(0, line.lastIndexOf(" "));
      expect(!own.has(key), `"${key}" stands there once`);
      own.set(key, value);
    }
    if (type === "histogram") expect(addsUp(name, own), "buckets grow, and the last holds all");
    for (const [key, value] of own) samples.set(key, value);
  }
  return samples;
}

/** Of each series of a histogram, which all labels but the bound make. */
function addsUp(name: string, samples: ReadonlyMap<string, number>): boolean {
  const series = Map.groupBy(samples, ([key]) => {
    const labels = key.slice(key.indexOf("{") + 1).replace(/,?le="[^"]*"|\}$/g, "");
    return key.includes("{") ? labels : "";
  });
  return [...series].every(([labels, own]) => {
    const end = labels === "" ? "" : `{${labels}}`;
    const buckets = own.filter(([key]) => key.startsWith(`${name}_bucket`));
    const counts = buckets.map(([, count]) => count);
    const isGrowing = counts.every((count, at) => count >= (counts[at - 1] ?? 0));
    return isGrowing && buckets.at(-1)?.[0].includes('le="+Inf"') === true &&
      samples.has(`${name}_sum${end}`) && samples.get(`${name}_count${end}`) === counts.at(-1);
  });
}
