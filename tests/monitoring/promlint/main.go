// Reads an answer of /metrics from standard input as Prometheus would, and says what Prometheus'
// own linter has against it. With -print it lists the metrics with their types and labels.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func main() {
	print := flag.Bool("print", false, "list what was read")
	flag.Parse()
	if err := run(*print); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(print bool) error {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(text)))
	if err != nil {
		return fmt.Errorf("not the text format: %w", err)
	}
	problems, err := promlint.New(strings.NewReader(string(text))).Lint()
	if err != nil {
		return fmt.Errorf("cannot be linted: %w", err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if err := checkHistogram(metric.GetHistogram()); err != nil {
				problems = append(problems, promlint.Problem{Metric: family.GetName(), Text: err.Error()})
			}
		}
	}
	if print {
		printFamilies(families)
	}
	if len(problems) == 0 {
		return nil
	}
	lines := make([]string, len(problems))
	for i, problem := range problems {
		lines[i] = problem.Metric + ": " + problem.Text
	}
	return fmt.Errorf("%s", strings.Join(lines, "\n"))
}

// checkHistogram looks at what neither parser nor linter does: buckets only ever grow, and the last
// holds all.
func checkHistogram(histogram *dto.Histogram) error {
	if histogram == nil {
		return nil
	}
	var before uint64
	for _, bucket := range histogram.GetBucket() {
		if bucket.GetCumulativeCount() < before {
			return fmt.Errorf("bucket %g holds less than the one before", bucket.GetUpperBound())
		}
		before = bucket.GetCumulativeCount()
	}
	if before != histogram.GetSampleCount() {
		return fmt.Errorf("the last bucket holds %d, not %d", before, histogram.GetSampleCount())
	}
	return nil
}

func printFamilies(families map[string]*dto.MetricFamily) {
	names := make([]string, 0, len(families))
	for name := range families {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		family := families[name]
		labels := map[string]bool{}
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				labels[label.GetName()] = true
			}
		}
		sorted := make([]string, 0, len(labels))
		for label := range labels {
			sorted = append(sorted, label)
		}
		slices.Sort(sorted)
		fmt.Printf("%s %s %s\n", name, strings.ToLower(family.GetType().String()), strings.Join(sorted, ","))
	}
}
