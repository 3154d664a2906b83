// Package pipelinetest holds what tests of pipelines share: a sink that fails at random around any other, a source of
// given values that keeps their outcomes, and an observer that keeps what it is told.
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

// ErrChaos is what a Chaos sink fails with.
var ErrChaos = errors.New("chaos")

// Chaos wraps a sink and fails at random in the three ways that hurt: nothing is written, a part is written, or
// everything is written and the answer is lost. A pipeline in front of it must lose nothing; a sink that drops repeats
// must store nothing twice.
type Chaos[T any] struct {
	pipeline.Sink[T]
	// Rate is the share of writes that fail, Rand where chance comes from.
	Rate float64
	Rand *rand.Rand
}

// Write writes none, some or all of vs, and lies about it only by saying that what it wrote failed.
func (c *Chaos[T]) Write(ctx context.Context, vs []T) error {
	if c.Rand.Float64() >= c.Rate {
		return c.Sink.Write(ctx, vs)
	}
	switch c.Rand.IntN(3) {
	case 0:
		return ErrChaos
	case 1:
		n := c.Rand.IntN(len(vs) + 1)
		if err := c.Sink.Write(ctx, vs[:n]); err != nil {
			return err
		}
		failed := map[int]error{}
		for i := n; i < len(vs); i++ {
			failed[i] = ErrChaos
		}
		return &pipeline.PartialError{Failed: failed}
	default:
		if err := c.Sink.Write(ctx, vs); err != nil {
			return err
		}
		return ErrChaos
	}
}

// Source delivers Values, then io.EOF, and keeps the outcome of each.
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

// Outcomes is what the value at that index was settled with: nothing yet, or one outcome; more would break the
// contract.
func (s *Source[T]) Outcomes(index int) []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.outcomes[index])
}
