// Package tally counts classifications for the summary of a run and the live table.
package tally

import (
	"slices"
	"sync"
	"time"

	"github.com/voxelstream/voxelstream/internal/dedupe"
	"github.com/voxelstream/voxelstream/record"
)

// Tally counts classifications. It counts duplicates once. It is safe for concurrent use.
type Tally struct {
	mu      sync.Mutex
	start   time.Time
	count   Count
	classes map[int]*Count
	recent  [latencies]float64 // ring buffer
	known   *dedupe.Window
	repeats int
}

// Count is the count of some classifications.
type Count struct {
	// Classified counts all of them, Labelled those whose true class is known, and Correct those whose class is the
	// true one. Unfamiliar counts those of volumes that are unlike the training data.
	Classified, Labelled, Correct, Unfamiliar int

	scores float64
}

// Accuracy returns Correct / Labelled. ok is false if nothing is labelled.
func (c Count) Accuracy() (a float64, ok bool) {
	return float64(c.Correct) / float64(max(1, c.Labelled)), c.Labelled > 0
}

// MeanScore returns the mean score of the best class.
func (c Count) MeanScore() float64 { return c.scores / float64(max(1, c.Classified)) }

func (c *Count) add(x *record.Classification) {
	c.Classified++
	c.scores += float64(x.Score)
	if x.Unfamiliar {
		c.Unfamiliar++
	}
	if x.Label != nil {
		c.Labelled++
		if int(*x.Label) == x.Class {
			c.Correct++
		}
	}
}

const (
	// latencies is the number of latest latencies that quantiles are computed from.
	latencies = 4096
	// window is the number of keys remembered, far more than can be in flight.
	window = 1 << 18
)

// New returns an empty tally. Rates are measured from now on.
func New() *Tally {
	return &Tally{start: time.Now(), classes: map[int]*Count{}, known: dedupe.NewWindow(window)}
}

// Add counts cs and returns those that are not duplicates.
func (t *Tally) Add(cs []record.Classification) []record.Classification {
	var fresh []record.Classification
	for i := range cs {
		if t.Count(&cs[i]) {
			fresh = append(fresh, cs[i])
		}
	}
	return fresh
}

// Count counts a classification. It reports false for a duplicate.
func (t *Tally) Count(c *record.Classification) bool {
	var room [256]byte
	key := dedupe.Of(c.AppendKey(room[:0]))
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.known.Add(key) {
		t.repeats++
		return false
	}
	t.recent[t.count.Classified%latencies] = c.LatencyMS
	t.count.add(c)
	// With labels, the table is by true class, which shows which classes are hard.
	class := c.Class
	if c.Label != nil {
		class = int(*c.Label)
	}
	if t.classes[class] == nil {
		t.classes[class] = &Count{}
	}
	t.classes[class].add(c)
	return true
}

// Total returns the count of all classifications.
func (t *Tally) Total() Count {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count
}

// Repeats returns the number of duplicates.
func (t *Tally) Repeats() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.repeats
}

// Classes returns the counts by true class or, for classifications without a label, by predicted class.
func (t *Tally) Classes() map[int]Count {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make(map[int]Count, len(t.classes))
	for k, c := range t.classes {
		out[k] = *c
	}
	return out
}

// Rate returns the classifications per second since New.
func (t *Tally) Rate() float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return float64(t.count.Classified) / max(time.Since(t.start).Seconds(), 1e-3)
}

// Latency returns a quantile (0 to 1) of the latest few thousand latencies, in milliseconds.
func (t *Tally) Latency(q float64) float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(t.count.Classified, latencies)
	if n == 0 {
		return 0
	}
	sorted := slices.Clone(t.recent[:n])
	slices.Sort(sorted)
	return sorted[min(n-1, int(q*float64(n)))]
}
