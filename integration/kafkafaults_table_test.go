//go:build unix

package integration

import (
	"fmt"
	"os"
	"strings"
)

// faultTable is what the cases have come to on a cluster.
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
	return fmt.Sprintf("%s %s | %d | %d | %d | %d | %d | %d | %d | %.1f s | %.1f s | %d |\n", row.head(), row.what,
		len(row.verdicts), row.failed, sum.Volumes, sum.Lost, sum.Repeated, sum.Reordered, sum.Dead.Lost, sum.Gap,
		sum.PartitionGap, sum.Redelivered)
}

// head is how the line begins.
func (row *faultRow) head() string { return "| **" + row.name + "**:" }

// write puts the lines in the table for this cluster in a page. Lines of cases that were not run stay.
func (f *faultTable) write(path string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	heading := "\n## " + f.cluster + "\n"
	before, old, found := strings.Cut(string(page), heading)
	after := ""
	if found {
		if next := strings.Index(old, "\n## "); next >= 0 {
			old, after = old[:next], old[next:]
		}
	}
	var b strings.Builder
	b.WriteString(strings.TrimRight(before, "\n") + "\n" + heading)
	b.WriteString("| fault | runs | failed | volumes | lost | repeated | reordered | dead letters wrong | longest gap | " +
		"longest gap of a partition | redelivered |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, c := range faultCases() {
		b.WriteString(f.line(c, old))
	}
	return os.WriteFile(path, []byte(b.String()+after), 0o644)
}

// line is the line of a case: of this run, or the old one.
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
