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

// String is the table in Markdown.
func (f *faultTable) String() string {
	var b strings.Builder
	b.WriteString("| fault | runs | volumes | lost | repeated | reordered | dead letters wrong | longest gap | " +
		"longest gap of a partition | redelivered |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, row := range f.rows {
		if len(row.verdicts) == 0 {
			continue
		}
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
		fmt.Fprintf(&b, "| **%s**: %s | %d | %d | %d | %d | %d | %d | %.1f s | %.1f s | %d |\n", row.name, row.what,
			len(row.verdicts), sum.Volumes, sum.Lost, sum.Repeated, sum.Reordered, sum.Dead.Lost, sum.Gap,
			sum.PartitionGap, sum.Redelivered)
	}
	return b.String()
}

// write puts the table in the place of the one for this cluster in a page.
func (f *faultTable) write(path string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	heading := "\n## " + f.cluster + "\n"
	before, after, found := strings.Cut(string(page), heading)
	if found {
		if next := strings.Index(after, "\n## "); next >= 0 {
			after = after[next:]
		} else {
			after = ""
		}
	}
	return os.WriteFile(path, []byte(strings.TrimRight(before, "\n")+"\n"+heading+f.String()+after), 0o644)
}
