package stream

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/voxelstream/voxelstream/pipeline"
)

// TestDrops: drops are counted per sink and logged as sums, the first one at once.
func TestDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		d := drops{log: slog.New(slog.NewTextHandler(&b, nil)), ignore: []string{"terminal:"}}
		full := &pipeline.Failure{Stage: "b.jsonl", Err: errors.New("no space")}
		d.add(&pipeline.Failure{Stage: "terminal:", Err: errors.New("stopped")}, 5)
		for range 100 {
			d.add(full, 1)
		}
		d.add(&pipeline.Failure{Stage: "a.jsonl", Err: errors.New("queue full")}, 64)
		time.Sleep(dropsEvery)
		d.add(full, 1)
		d.add(full, 1)
		want := []Dropped{{"a.jsonl", 64}, {"b.jsonl", 102}}
		if all := d.total(); !slices.Equal(all, want) {
			t.Errorf("found %v, want %v", all, want)
		}
		d.total()
		var logged []string
		for line := range strings.Lines(b.String()) {
			_, rest, _ := strings.Cut(line, "sink=")
			logged = append(logged, strings.TrimSpace(rest))
		}
		if want := []string{
			`b.jsonl classifications=1 error="no space"`, `a.jsonl classifications=64 error="queue full"`,
			`b.jsonl classifications=100 error="no space"`, `b.jsonl classifications=1 error="no space"`,
		}; !slices.Equal(logged, want) {
			t.Errorf("found %q, want %q", logged, want)
		}
	})
}
