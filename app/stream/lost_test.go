package stream

import (
	"errors"
	"slices"
	"testing"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/input"
	"github.com/voxelstream/voxelstream/internal/dedupe"
	"github.com/voxelstream/voxelstream/internal/tally"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
)

// TestOutcomesOfClassification checks that what becomes of a volume after it was sent counts for its file: once,
// however often it is delivered, and not for volumes of other processes.
func TestOutcomesOfClassification(t *testing.T) {
	c := &classifying{files: &input.Files{}, lostIDs: dedupe.NewWindow(lostWindow), tally: tally.New()}
	c.repeats.sinks = 2
	file := c.files.Add("a.h5")
	if err := c.files.Claim("a", file); err != nil {
		t.Fatal(err)
	}
	if err := c.files.Claim("a", c.files.Add("other.h5")); err == nil {
		t.Error("two files have one stream")
	}
	file.Used(4)
	id := func(seq uint64) record.ID { return record.ID{Stream: "a", Seq: seq} }
	reason := pipeline.Permanent(&pipeline.Failure{Stage: "classify", Err: errors.New("the network's output is NaN")})
	for range 2 {
		c.lost(id(0), reason)
	}
	c.lost(record.ID{Stream: "of another process"}, reason)
	c.repeats.add(id(1)) // of one sink only
	c.repeats.add(id(2))
	c.repeats.add(id(2))
	for _, seq := range []uint64{1, 2, 2, 3} {
		c.done(record.Classification{EventID: id(seq).String(), Stream: "a", Seq: seq})
	}
	want := app.FileOutcome{
		File: "a.h5", Status: app.FileFailed, Rows: 3, Failed: 1, New: 2, Repeated: 1, Error: "the network's output is NaN",
	}
	if got := c.files.List(); !slices.Contains(got, want) {
		t.Errorf("found %+v, want %+v", got, want)
	}
	if c.failed.Load() != 2 || c.repeated.Load() != 1 || len(c.repeats.count) != 0 {
		t.Errorf("found %d failed, %d repeated and reports %v", c.failed.Load(), c.repeated.Load(), c.repeats.count)
	}
}
