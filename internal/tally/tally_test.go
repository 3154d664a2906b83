package tally

import (
	"testing"

	"github.com/voxelstream/voxelstream/record"
)

func TestTally(t *testing.T) {
	label := int32(2)
	var cs []record.Classification
	for i, class := range []int{2, 3, 3} {
		c := record.Classification{EventID: string(rune('a' + i)), Class: class, Score: 0.5, LatencyMS: float64(i + 1)}
		if i < 2 {
			c.Label = &label
		}
		cs = append(cs, c)
	}
	counts := New()
	if fresh := counts.Add(append(cs[:2:2], cs[0])); len(fresh) != 2 {
		t.Errorf("found %d new, want 2", len(fresh))
	}
	if fresh := counts.Add(cs); len(fresh) != 1 || fresh[0].EventID != "c" {
		t.Errorf("found %v, want c alone", fresh)
	}
	total := counts.Total()
	if a, ok := total.Accuracy(); total.Classified != 3 || total.Labelled != 2 || !ok || a != 0.5 ||
		total.MeanScore() != 0.5 || counts.Repeats() != 3 {
		t.Errorf("found %+v, accuracy %g, %d repeats", total, a, counts.Repeats())
	}
	// By label where there is one, else by what was found.
	classes := counts.Classes()
	if len(classes) != 2 || classes[2].Classified != 2 || classes[2].Correct != 1 || classes[3].Classified != 1 {
		t.Errorf("found %+v", classes)
	}
	if counts.Latency(0) != 1 || counts.Latency(0.5) != 2 || counts.Latency(1) != 3 || New().Latency(0.5) != 0 {
		t.Error("found other latencies")
	}
	if counts.Rate() <= 0 {
		t.Error("found no rate")
	}
}
