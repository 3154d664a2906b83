package stream

import (
	"cmp"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/voxelstream/voxelstream/pipeline"
)

// dropsEvery is the least time between two log messages about the same sink.
const dropsEvery = 10 * time.Second

// drops counts the classifications that best-effort sinks drop. The first drop of a sink is logged at once. Later
// ones are logged as a sum every dropsEvery, because a full disk, for example, fails every classification.
type drops struct {
	log *slog.Logger
	// ignore lists sinks that store nothing, such as the terminal, so that nothing is lost.
	ignore []string

	mu    sync.Mutex
	sinks map[string]*dropped
}

type dropped struct {
	total, logged int
	last          time.Time
	err           error
}

// add counts n classifications that a sink has dropped. It is called from several goroutines.
func (d *drops) add(f *pipeline.Failure, n int) {
	if slices.Contains(d.ignore, f.Stage) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.sinks[f.Stage]
	if s == nil {
		if d.sinks == nil {
			d.sinks = map[string]*dropped{}
		}
		s = &dropped{}
		d.sinks[f.Stage] = s
	}
	s.total += n
	s.err = f.Err
	if now := time.Now(); s.last.IsZero() || now.Sub(s.last) >= dropsEvery {
		s.last = now
		d.report(f.Stage, s)
	}
}

// report logs the drops that were not logged yet.
func (d *drops) report(sink string, s *dropped) {
	if n := s.total - s.logged; n > 0 {
		d.log.Warn("best-effort sink dropped classifications", "sink", sink, "classifications", n, "error", s.err)
		s.logged = s.total
	}
}

// total logs the remaining drops and returns the sums, ordered by sink.
func (d *drops) total() []Dropped {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []Dropped
	for name, s := range d.sinks {
		all = append(all, Dropped{Sink: name, Classifications: s.total})
	}
	slices.SortFunc(all, func(a, b Dropped) int { return cmp.Compare(a.Sink, b.Sink) })
	for _, s := range all {
		d.report(s.Sink, d.sinks[s.Sink])
	}
	return all
}
