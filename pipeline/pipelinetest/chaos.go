// Package pipelinetest provides helpers for tests of pipelines: a sink that fails at random, a source that records the
// outcomes of its values, and an observer that records reports.
package pipelinetest

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/voxelstream/voxelstream/pipeline"
)

// errChaos is the error of a Chaos sink.
var errChaos = errors.New("chaos")

// Chaos wraps a sink and fails at random in three ways: it writes nothing, it writes a part, or it writes everything
// and reports an error. A pipeline must lose nothing with it, and a sink that drops duplicates must store nothing
// twice.
type Chaos[T any] struct {
	pipeline.Sink[T]
	// Rate is the fraction of writes that fail.
	Rate float64
	Rand *rand.Rand
}

// Write writes none, some or all of vs. It may return an error although it wrote all of them.
func (c *Chaos[T]) Write(ctx context.Context, vs []T) error {
	if c.Rand.Float64() >= c.Rate {
		return c.Sink.Write(ctx, vs)
	}
	switch c.Rand.IntN(3) {
	case 0:
		return errChaos
	case 1:
		n := c.Rand.IntN(len(vs) + 1)
		if err := c.Sink.Write(ctx, vs[:n]); err != nil {
			return err
		}
		failed := map[int]error{}
		for i := n; i < len(vs); i++ {
			failed[i] = errChaos
		}
		return &pipeline.PartialError{Failed: failed}
	default:
		if err := c.Sink.Write(ctx, vs); err != nil {
			return err
		}
		return errChaos
	}
}

// Source delivers Values, then returns io.EOF. It records the outcome of each value.
type Source[T any] struct {
	Values []T

	mu       sync.Mutex
	next     int
	outcomes map[int][]error
}

// Read returns the next value.
func (s *Source[T]) Read(ctx context.Context) (pipeline.Delivery[T], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return pipeline.Delivery[T]{}, err
	}
	i := s.next
	if i == len(s.Values) {
		return pipeline.Delivery[T]{}, io.EOF
	}
	s.next++
	return pipeline.NewDelivery(s.Values[i], nil, func(err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.outcomes == nil {
			s.outcomes = map[int][]error{}
		}
		s.outcomes[i] = append(s.outcomes[i], err)
	}), nil
}

// Close does nothing.
func (s *Source[T]) Close(context.Context) error { return nil }

// Outcomes returns the outcomes of the value at that index. There are none before it settles. More than one is a bug.
func (s *Source[T]) Outcomes(index int) []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.outcomes[index])
}
