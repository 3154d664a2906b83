package pipeline

import "context"

// Source hands values out, to one reader.
type Source[T any] interface {
	// Read waits for the next delivery. io.EOF says that nothing more will come; any other error ends the source. A source that can go on
	// behind an error does so itself. When ctx ends first, Read returns ctx.Err and no delivery.
	Read(ctx context.Context) (Delivery[T], error)
	// Close waits, within ctx, until what the settled deliveries allow is committed, and frees everything. Deliveries may be settled until
	// Close returns; later settlements have no effect.
	Close(ctx context.Context) error
}

// Stage turns one value into none (filtered), one, or many. Process may run on many goroutines at once, also on values of one key; it must
// not keep in after it returned. A [Permanent] error parks the value, any other is retried.
type Stage[In, Out any] interface {
	Process(ctx context.Context, in In) ([]Out, error)
}

// Sink stores values. Calls do not overlap.
type Sink[T any] interface {
	// Write returns nil only when all of vs are durable, a *PartialError when some are, any other error when none may be. What failed and is
	// not permanent comes again. Write must not keep vs.
	Write(ctx context.Context, vs []T) error
	// Close flushes, within ctx, and frees everything.
	Close(ctx context.Context) error
}

// StageFunc is a [Stage] of one function.
type StageFunc[In, Out any] func(ctx context.Context, in In) ([]Out, error)

// Process calls f.
func (f StageFunc[In, Out]) Process(ctx context.Context, in In) ([]Out, error) { return f(ctx, in) }

// Chain runs two stages one after the other.
func Chain[A, B, C any](first Stage[A, B], second Stage[B, C]) Stage[A, C] {
	return StageFunc[A, C](func(ctx context.Context, in A) ([]C, error) {
		mid, err := first.Process(ctx, in)
		if err != nil {
			return nil, err
		}
		var out []C
		for _, m := range mid {
			cs, err := second.Process(ctx, m)
			if err != nil {
				return nil, err
			}
			out = append(out, cs...)
		}
		return out, nil
	})
}

// Via is a sink that maps each batch and writes the result to next. f returns one value per input, in order; with a *PartialError the values
// of the failed inputs are left out of the write. It is how a network, which wants batches, stands before a sink.
func Via[A, B any](f func(ctx context.Context, in []A) ([]B, error), next Sink[B]) Sink[A] {
	return &via[A, B]{f, next}
}
