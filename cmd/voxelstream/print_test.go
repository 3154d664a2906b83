package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app/stream"
)

func TestSummaryText(t *testing.T) {
	half := 0.5
	s := &stream.Summary{Inputs: 1, Volumes: 2, Classified: 2, Labelled: 2, Correct: 1, Accuracy: &half, Classes: []stream.ClassCount{{Class: 1, Volumes: 2, Correct: 1, Accuracy: &half, MeanScore: 0.5}}}
	var b bytes.Buffer
	summaryText(&b, s)
	for _, want := range []string{"50.00 % (1 of 2)", "class  volumes  correct  accuracy  mean score\n1      2        1        50.0 %    0.500"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("found %s, want %q", &b, want)
		}
	}
}
