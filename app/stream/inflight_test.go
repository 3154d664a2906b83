package stream

import (
	"context"
	"testing"

	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
)

type plainSink struct{}

func (plainSink) Write(context.Context, []record.Classification) error { return nil }
func (plainSink) Close(context.Context) error                          { return nil }

type flushedSink struct{ plainSink }

func (flushedSink) Flush(context.Context) error { return nil }

// TestInFlight: a sink that is flushed by rows gets as many rows, even if each message has one and all are of one
// partition.
func TestInFlight(t *testing.T) {
	type output = pipeline.Output[record.Classification]
	flushed := output{Sink: flushedSink{}, Flush: pipeline.Flush[record.Classification]{Rows: 1000}}
	for _, c := range []struct {
		configured, want int
		out              []output
	}{
		{256, 256, []output{{Sink: plainSink{}}}},
		{256, 1000, []output{{Sink: plainSink{}}, flushed}},
		{4096, 4096, []output{flushed}},
	} {
		if got := inFlight(c.configured, c.out); got != c.want {
			t.Errorf("%d with %d sinks: found %d, want %d", c.configured, len(c.out), got, c.want)
		}
	}
}
