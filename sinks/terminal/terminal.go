// Package terminal displays classifications as they arrive: on a terminal as a line of totals and a live table of the
// latest ones, elsewhere as that line every few seconds.
package terminal

import (
	"context"
	"fmt"
	"strings"

	"github.com/voxelstream/voxelstream/internal/screen"
	"github.com/voxelstream/voxelstream/internal/tally"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
)

// Sink displays classifications and stores nothing.
type Sink struct {
	screen *screen.Screen
	rows   int
	tally  *tally.Tally
	last   []record.Classification
}

var _ sinks.Sink = (*Sink)(nil)

// New returns a sink that displays on a screen.
func New(s *screen.Screen, o Options) *Sink {
	return &Sink{screen: s, rows: o.Rows, tally: tally.New()}
}

// Write displays cs.
func (s *Sink) Write(ctx context.Context, cs []record.Classification) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	fresh := s.tally.Add(cs)
	if len(fresh) == 0 {
		return nil
	}
	s.last = append(s.last, fresh[max(0, len(fresh)-s.rows):]...)
	s.last = s.last[max(0, len(s.last)-s.rows):]
	s.screen.Show(false, s.lines)
	return nil
}

// Close displays the final state, which remains visible.
func (s *Sink) Close(context.Context) error {
	if s.tally.Total().Classified > 0 {
		s.screen.Show(true, s.lines)
	}
	s.screen.Done()
	return nil
}

// lines returns the totals, followed by the table.
func (s *Sink) lines() []string {
	total := s.tally.Total()
	head := fmt.Sprintf("classified %d  %.0f/s  latency p50 %.1f ms, p99 %.1f ms", total.Classified, s.tally.Rate(),
		s.tally.Latency(0.5), s.tally.Latency(0.99))
	if a, ok := total.Accuracy(); ok {
		head += fmt.Sprintf("  accuracy %.2f %%", 100*a)
	}
	if total.Unfamiliar > 0 {
		head += fmt.Sprintf("  unfamiliar %d", total.Unfamiliar)
	}
	if n := len(s.last); !s.screen.Terminal() {
		if n == 0 {
			return []string{head}
		}
		c := &s.last[n-1]
		return []string{fmt.Sprintf("%s  last %s: %s %.3f%s", head, c.EventID, class(c), c.Score,
			verdict(c)+unfamiliar(c))}
	}
	out := []string{head, fmt.Sprintf("  %-44s %-12s %6s %9s %6s", "volume", "class", "score", "latency", "label")}
	for i := range s.last {
		c := &s.last[i]
		out = append(out, fmt.Sprintf("  %-44s %-12s %6.3f %6.1f ms %6s", short(c.EventID, 44), class(c), c.Score,
			c.LatencyMS, strings.TrimSpace(verdict(c)))+unfamiliar(c))
	}
	return out
}

func class(c *record.Classification) string {
	if c.Name != "" {
		return short(c.Name, 12)
	}
	return fmt.Sprint(c.Class)
}

func verdict(c *record.Classification) string {
	switch {
	case c.Label == nil:
		return ""
	case int(*c.Label) == c.Class:
		return fmt.Sprintf(" = %d", *c.Label)
	}
	return fmt.Sprintf(" ≠ %d", *c.Label)
}

// unfamiliar marks volumes that are unlike the training data.
func unfamiliar(c *record.Classification) string {
	if c.Unfamiliar {
		return "  unfamiliar"
	}
	return ""
}

// short keeps the end of an ID, which is the part that differs.
func short(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return "…" + string(r[len(r)-n+1:])
	}
	return s
}
