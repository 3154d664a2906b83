//go:build unix

package integration

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/record"
)

// TestObjectsOfScans: each object of a scan becomes a volume and a classification with its box and its distance, in
// every sink, and a scan without objects is settled too.
func TestObjectsOfScans(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var scan strings.Builder
	for _, x := range []float64{9, 5} {
		for i := range 7 * 7 * 7 {
			fmt.Fprintf(&scan, "%g %g %g\n", x+float64(i%7)*0.1, float64(i/7%7)*0.1-0.3, float64(i/49)*0.1)
		}
	}
	w.write("scan.xyz", []byte(scan.String()))
	w.write("nothing.xyz", []byte("1 2 3\n4 5 6\n"))
	w.do(exitDone, "run", "scan.xyz", "nothing.xyz", "--objects", "--steps", "euclidean-clusters", "--model", "digits",
		"--out", "o.jsonl", "--out", "o.csv")
	text := string(must(os.ReadFile(w.path("o.csv")))(t))
	if n := strings.Count(text, "\n"); n != 3 {
		t.Errorf("o.csv: found %d lines, want a header and 2 objects:\n%s", n, text)
	}
	w.broker()
	for name, all := range map[string][]record.Classification{
		"o.jsonl": stored(t, w.path("o.jsonl")), "topic classifications": published(t, client(t, w.addr())),
	} {
		if len(all) != 2 {
			t.Errorf("%s: found %d classifications, want 2", name, len(all))
			continue
		}
		for i := range all {
			c := &all[i]
			near := map[uint32]float64{1: 5, 2: 9}[c.Object]
			if c.Box == nil || math.Abs(c.Box.Center[0]-near-0.3) > 0.01 || c.Distance == nil ||
				math.Abs(c.Distance.Nearest-near) > 0.1 {
				t.Errorf("%s: found %+v, want an object at %g m", name, c, near)
			}
		}
	}
}
