package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
)

// Via is a sink that maps each batch and writes the result to next. f returns one value per input, in order; with a *PartialError the values
// of the failed inputs are left out of the write.
func Via[A, B any](f func(ctx context.Context, in []A) ([]B, error), next Sink[B]) Sink[A] {
	return &via[A, B]{f, next}
}

type via[A, B any] struct {
	f    func(context.Context, []A) ([]B, error)
	next Sink[B]
}

func (v *via[A, B]) Close(ctx context.Context) error { return v.next.Close(ctx) }

func (v *via[A, B]) Write(ctx context.Context, in []A) error {
	out, err := v.f(ctx, in)
	failed := &PartialError{Failed: map[int]error{}}
	if err != nil {
		var partial *PartialError
		if !errors.As(err, &partial) {
			return err
		}
		maps.Copy(failed.Failed, partial.Failed)
	}
	if len(out) != len(in) {
		return Permanent(fmt.Errorf("a batch of %d became %d values; one each is wanted", len(in), len(out)))
	}
	// rest are the values that go on, back their indices in the batch.
	rest, back := out, []int(nil)
	if len(failed.Failed) > 0 {
		rest = make([]B, 0, len(out))
		for i, b := range out {
			if failed.Failed[i] == nil {
				rest, back = append(rest, b), append(back, i)
			}
		}
	}
	if len(rest) > 0 {
		if err := v.next.Write(ctx, rest); err != nil {
			var partial *PartialError
			all := !errors.As(err, &partial)
			for i := range rest {
				e := err
				if !all {
					e = partial.Failed[i]
				}
				if e == nil {
					continue
				}
				if back != nil {
					failed.Failed[back[i]] = e
				} else {
					failed.Failed[i] = e
				}
			}
		}
	}
	if len(failed.Failed) > 0 {
		return failed
	}
	return nil
}
