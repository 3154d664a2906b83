//go:build chaos

package app

import (
	"context"
	"errors"
	"time"

	"github.com/voxelstream/voxelstream/nn/infer"
	"github.com/voxelstream/voxelstream/pipeline"
)

// The build tag chaos makes a binary for the kill -9 test: every sixteenth volume of a stream fails for a while before it is classified, so that
// messages are settled out of order, as they are when a sink takes some of a batch and refuses the rest. Without it a single process settles
// nearly in order, and a consumer that commits the highest settled offset would hardly ever be caught.
const (
	slowEvery = 16
	slowFor   = 400 * time.Millisecond
)

var errSlow = errors.New("chaos: not yet")

func slowly(s pipeline.Sink[infer.Item]) pipeline.Sink[infer.Item] {
	return &slow{Sink: s, since: map[string]time.Time{}}
}

type slow struct {
	pipeline.Sink[infer.Item]
	since map[string]time.Time
}

func (s *slow) Write(ctx context.Context, items []infer.Item) error {
	failed := map[int]error{}
	var rest []infer.Item
	var back []int
	for i := range items {
		if items[i].Seq%slowEvery == 0 {
			id := items[i].ID()
			if s.since[id].IsZero() {
				s.since[id] = time.Now()
			}
			if time.Since(s.since[id]) < slowFor {
				failed[i] = errSlow
				continue
			}
		}
		rest, back = append(rest, items[i]), append(back, i)
	}
	if len(rest) > 0 {
		err := s.Sink.Write(ctx, rest)
		partial, ok := errors.AsType[*pipeline.PartialError](err)
		if err != nil && !ok {
			return err
		}
		if ok {
			for i, e := range partial.Failed {
				failed[back[i]] = e
			}
		}
	}
	if len(failed) > 0 {
		return &pipeline.PartialError{Failed: failed}
	}
	return nil
}
