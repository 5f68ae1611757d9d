/** What tests read of `/metrics` is checked while it is read. */
import { assertEquals, assertThrows } from "@std/assert";
import { WRONG_REPORTS } from "../monitoring/wrong_reports.ts";
import { ReportError, samplesOf } from "./metrics_report.ts";
import { test } from "./test.ts";

for (const [what, text] of Object.entries(WRONG_REPORTS)) {
  test(`samplesOf() refuses a report: ${what}`, () => {
    assertThrows(() => samplesOf(text), ReportError);
  });
}

test("samplesOf() refuses a family without a type, which promlint lets pass", () => {
  assertThrows(() => samplesOf("# HELP a Help.\na 1\n"), ReportError, "its type");
});

test("samplesOf() refuses a gauge below zero: nobody is not there", () => {
  const report = "# HELP a Help.\n# TYPE a gauge\na -1\n";
  assertThrows(() => samplesOf(report), ReportError, "below zero");
});

test("samplesOf() gives each sample by its name and labels", () => {
  const report = `# HELP a_total Help.
# TYPE a_total counter
a_total{to="up"} 7
a_total{to="down"} 0
# HELP h_seconds Help.
# TYPE h_seconds histogram
h_seconds_bucket{way="a\\"b",le="1"} 1
h_seconds_bucket{way="a\\"b",le="+Inf"} 2
h_seconds_sum{way="a\\"b"} 1e+09
h_seconds_count{way="a\\"b"} 2
# HELP none Help.
# TYPE none gauge
`;
  assertEquals([...samplesOf(report)], [
    ['a_total{to="up"}', 7],
    ['a_total{to="down"}', 0],
    ['h_seconds_bucket{way="a\\"b",le="1"}', 1],
    ['h_seconds_bucket{way="a\\"b",le="+Inf"}', 2],
    ['h_seconds_sum{way="a\\"b"}', 1e9],
    ['h_seconds_count{way="a\\"b"}', 2],
  ]);
});
