package stream

import (
	"bytes"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
)

func TestSummaryText(t *testing.T) {
	label := int32(1)
	tally := sinks.NewTally()
	tally.Add([]record.Classification{{EventID: "s/0", Class: 1, Score: 0.5, Label: &label}, {EventID: "s/1", Class: 2, Score: 0.5, Label: &label}})
	total := tally.Total()
	s := &Summary{Inputs: 1, Volumes: 2, Classified: 2, Labelled: 2, Correct: 1, Accuracy: accuracy(total), Classes: []ClassCount{{Class: 1, Volumes: 2, Correct: 1, Accuracy: accuracy(total), MeanScore: 0.5}}}
	var b bytes.Buffer
	s.text(&b)
	for _, want := range []string{"50.00 % (1 of 2)", "class  volumes  correct  accuracy  mean score\n1      2        1        50.0 %    0.500"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("found %s, want %q", &b, want)
		}
	}
}
