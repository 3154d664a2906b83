//go:build unix

package integration

import (
	"fmt"
	"os"
	"strings"
)

// faultTable holds the results of the cases on a cluster.
type faultTable struct {
	cluster string
	rows    []*faultRow
}

// row is a line of the table in Markdown.
func (row *faultRow) String() string {
	var sum verdict
	for _, v := range row.verdicts {
		sum.Volumes += v.Volumes
		sum.Lost += v.Lost
		sum.Repeated += v.Repeated + v.Unknown
		sum.Reordered += v.Reordered
		sum.Dead.Lost += v.Dead.Lost + v.Dead.Repeated + v.Dead.Unknown
		sum.Redelivered += v.Redelivered
		sum.Gap, sum.PartitionGap = max(sum.Gap, v.Gap), max(sum.PartitionGap, v.PartitionGap)
	}
	return fmt.Sprintf("%s %d | %d | %d | %d | %d | %d | %d | %.1f s | %.1f s | %d |\n", row.head(), len(row.verdicts),
		row.failed, sum.Volumes, sum.Lost, sum.Repeated, sum.Reordered, sum.Dead.Lost, sum.Gap,
		sum.PartitionGap, sum.Redelivered)
}

// head is the beginning of the line.
func (row *faultRow) head() string { return "| " + row.name + " |" }

// write puts the lines in the table for this cluster in a page. Lines of cases that were not run stay.
func (f *faultTable) write(path string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, old, after := section(string(page), f.cluster)
	var b strings.Builder
	b.WriteString("| fault | runs | failed | volumes | lost | repeated | reordered | dead letters wrong | longest gap | " +
		"of a partition | redelivered |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, c := range faultCases() {
		b.WriteString(f.line(c, old))
	}
	text := before + b.String() + after
	before, _, after = section(text, "The faults")
	b.Reset()
	b.WriteString("| fault | cluster | what happens |\n|---|---|---|\n")
	for _, c := range faultCases() {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", c.name, c.clusters(), c.what)
	}
	return os.WriteFile(path, []byte(before+b.String()+after), 0o644)
}

// section cuts a page before and after the text below a heading. A section that is missing is added at the end.
func section(page, title string) (before, text, after string) {
	heading := "\n## " + title + "\n"
	before, text, found := strings.Cut(page, heading)
	if found {
		if next := strings.Index(text, "\n## "); next >= 0 {
			text, after = text[:next], text[next:]
		}
	}
	return strings.TrimRight(before, "\n") + "\n" + heading, text, after
}

// clusters names the clusters on which a case runs.
func (c *faultCase) clusters() string {
	switch c.on {
	case onAny:
		return "any cluster"
	case onKafka:
		return "Apache Kafka"
	case onThree:
		return "three brokers"
	}
	return "one broker"
}

// line returns the line of a case: from this run or, if it was not run, from the old page.
func (f *faultTable) line(c faultCase, old string) string {
	for _, row := range f.rows {
		if row.name == c.name && len(row.verdicts) > 0 {
			return row.String()
		}
	}
	for line := range strings.Lines(old) {
		if strings.HasPrefix(line, (&faultRow{faultCase: c}).head()) {
			return line
		}
	}
	return ""
}
