/** Reports with one fault each, by the name of the fault: Prometheus' linter and ours find all. */
export const WRONG_REPORTS: Readonly<Record<string, string>> = {
  "not the text format": "a{b=} 1\n",
  "not the text format: a family twice":
    "# HELP a_total Help.\n# TYPE a_total counter\na_total 1\n" +
    "# HELP a_total Help.\n# TYPE a_total counter\na_total 1\n",
  "not the text format: no end of the last line": "# HELP a Help.\n# TYPE a gauge\na 1",
  "not the text format: no number": "# HELP a Help.\n# TYPE a gauge\na one\n",
  "not the text format: labels": '# HELP a Help.\n# TYPE a gauge\na{b="c" 1\n',
  "a counter without _total": "# HELP a_x Help.\n# TYPE a_x counter\na_x 1\n",
  "a gauge with _total": "# HELP a_total Help.\n# TYPE a_total gauge\na_total 1\n",
  "a gauge with _count": "# HELP a_count Help.\n# TYPE a_count gauge\na_count 1\n",
  "no help": "# TYPE a gauge\na 1\n",
  "upper case": "# HELP aB Help.\n# TYPE aB gauge\naB 1\n",
  "a unit that is not a base unit":
    "# HELP a_milliseconds Help.\n# TYPE a_milliseconds gauge\na_milliseconds 1\n",
  "buckets that shrink":
    '# HELP h Help.\n# TYPE h histogram\nh_bucket{le="1"} 3\nh_bucket{le="2"} 2\n' +
    'h_bucket{le="+Inf"} 3\nh_sum 1\nh_count 3\n',
  "a last bucket that does not hold all":
    '# HELP h Help.\n# TYPE h histogram\nh_bucket{le="1"} 1\nh_bucket{le="+Inf"} 1\n' +
    "h_sum 1\nh_count 2\n",
};
