package live

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
)

func TestRun(t *testing.T) {
	s := newStats()
	s.sinksAre([]string{"out.jsonl"})
	for i := range 100 {
		s.Time("network", 8, time.Duration(i+1)*time.Millisecond, nil)
	}
	s.Time("out.jsonl", 1, time.Second, nil)
	s.Time("something else", 1, time.Second, nil)
	s.Count("x", pipeline.EventRetried, 2)
	s.Count("x", pipeline.EventDropped, 3)
	s.Count("x", pipeline.EventDeadLetter, 4)
	s.Level("volumes/1", pipeline.LevelLag, 7)
	s.Level("volumes/0", pipeline.LevelLag, 9)
	s.Level("volumes/2", pipeline.LevelLag, 9)
	s.Level("volumes/2", pipeline.LevelLag, pipeline.Gone)
	label := int32(1)
	for i := range 10 {
		s.classified(&record.Classification{
			Stream: "s", Class: i % 2, Name: []string{"", "one"}[i%2],
			Label: &label,
		})
	}
	s.measure(s.started.Add(2 * time.Second))
	r := s.Run()
	if r.Total != 10 || r.Throughput != 5 || r.Retries != 2 || r.Dropped != 3 || r.DeadLetters != 4 {
		t.Errorf("found %+v", r)
	}
	if len(r.Streams) != 1 || r.Streams[0].Last.Before(s.started.UTC()) || !r.Ended.IsZero() {
		t.Errorf("found streams %+v, ended %v", r.Streams, r.Ended)
	}
	if want := []Lag{{"volumes", 0, 9}, {"volumes", 1, 7}}; !reflect.DeepEqual(r.Lag, want) {
		t.Errorf("found %v, want %v", r.Lag, want)
	}
	if want := []Batches{{8, 100}}; !reflect.DeepEqual(r.Batches, want) {
		t.Errorf("found %v, want %v", r.Batches, want)
	}
	if want := [][]int64{{0, 0}, {5, 5}}; !reflect.DeepEqual(r.Confusion.Matrix, want) {
		t.Errorf("found %v, want %v", r.Confusion.Matrix, want)
	}
	if want := []string{"0", "one"}; !reflect.DeepEqual(r.Confusion.Names, want) {
		t.Errorf("found %q, want %q", r.Confusion.Names, want)
	}
	s.classesAre([]string{"null", "one"}) // a label that the model has never said has a name, too
	if want, found := []string{"null", "one"}, s.Run().Confusion.Names; !reflect.DeepEqual(found, want) {
		t.Errorf("found %q, want %q", found, want)
	}
	if len(r.Stages) != 2 || r.Stages[0].Name != "inference" || r.Stages[1].Name != "out.jsonl" ||
		r.Stages[0].Rate != 400 {
		t.Fatalf("found %+v", r.Stages)
	}
	if p := r.Stages[0]; math.Abs(p.P50-50) > 5 || math.Abs(p.P99-99) > 9 {
		t.Errorf("found %+v, want 50 and 99 ms", p)
	}
	s.measure(s.started.Add(13 * time.Second))
	s.measure(s.started.Add(25 * time.Second)) // the histogram has rotated twice
	if p := s.Run().Stages[0]; p.P50 != 0 || p.Rate != 0 {
		t.Errorf("found %+v, want nothing", p)
	}
	s.end()
	if r := s.Run(); r.Ended.Before(r.Streams[0].Last) {
		t.Errorf("found the end %v before the last classification %v", r.Ended, r.Streams[0].Last)
	}
}

func TestBuckets(t *testing.T) {
	last := -1
	for us := int64(0); us < 1e9; us += 1 + us/20 {
		b := bucketOf(time.Duration(us) * time.Microsecond)
		if b < last || b >= buckets {
			t.Fatalf("%d us: found bucket %d after %d", us, b, last)
		}
		if last = b; b < buckets-1 && (float64(us) < lower(b) || float64(us) >= lower(b+1)) {
			t.Fatalf("%d us: found bucket %d of %v to %v", us, b, lower(b), lower(b+1))
		}
	}
}

// TestDrift: classes that stay the same are within the limit in about 99 of 100 runs; others are not.
func TestDrift(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	exceeded := 0
	for range 400 {
		var d drift
		for range 2 * driftWindow {
			d.add(r.IntN(10))
		}
		if x := d.result(); x.Value > x.Limit {
			exceeded++
		}
	}
	if exceeded == 0 || exceeded > 12 {
		t.Errorf("found %d of 400 above the limit, want about 4", exceeded)
	}
	var d drift
	for range driftWindow {
		d.add(1)
	}
	if d.result() != nil {
		t.Error("found a result without anything to compare")
	}
	for range 3 * driftWindow {
		d.add(2)
	}
	if x := d.result(); math.Abs(x.Value-1) > 1e-9 || x.Counted != driftWindow || d.last[1] != 0 {
		t.Errorf("found %+v, want 1", x)
	}
}
