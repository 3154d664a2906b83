package pipeline

import "context"

// Source hands values out, to one reader.
type Source[T any] interface {
	// Read waits for the next delivery. io.EOF says that nothing more will come; any other error ends the source. A
	// source that can go on behind an error does so itself. When ctx ends first, Read returns ctx.Err and no
	// delivery.
	Read(ctx context.Context) (Delivery[T], error)
	// Close waits, within ctx, until what the settled deliveries allow is committed, and frees everything. Deliveries
	// may be settled until Close returns; later settlements have no effect.
	Close(ctx context.Context) error
}

// Stage turns one value into none (filtered), one, or many. Process may run on many goroutines at once, also on
// values of one key; it must not keep in after it returned. A [Permanent] error makes the value a dead letter, any
// other is retried.
type Stage[In, Out any] interface {
	Process(ctx context.Context, in In) ([]Out, error)
}

// BatchStage turns a batch of values into as many results, in their order: a network, which is fastest in batches. As
// many calls as [Pipeline].Parallel says may be made at once. A
// *[PartialError] names the values that have no result; their places in the slice are ignored. Of any other error no value has one: a
// [Permanent] error concerns the values, any other is retried. Neither ProcessBatch nor its results may keep the
// memory of in.
type BatchStage[In, Out any] interface {
	ProcessBatch(ctx context.Context, in []In) ([]Out, error)
}

// Sink stores values. Calls do not overlap.
type Sink[T any] interface {
	// Write returns nil only when all of vs are stored, a *PartialError when some are, any other error when none may
	// be. What failed and is not permanent is written again. Stored means durable or, where the sink is a [Flusher],
	// taken: durable after the next Flush. Write must not keep vs.
	Write(ctx context.Context, vs []T) error
	// Close frees everything, within ctx. A Flusher is flushed before it is closed.
	Close(ctx context.Context) error
}

// Flusher is a sink that makes many writes durable at once: a Parquet file, an object. What Write took is held back,
// and settles only when Flush has returned nil. A *[PartialError] names what is not durable by its position among all
// values taken since the last Flush; any other error leaves all of them as they are, and the same Flush is tried
// again. When the attempts are used up, the values are given up but stay with the sink: they keep their positions
// until a later Flush succeeds or names values.
type Flusher interface {
	Flush(ctx context.Context) error
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

// BatchFunc is a [BatchStage] of one function.
type BatchFunc[In, Out any] func(ctx context.Context, in []In) ([]Out, error)

// ProcessBatch calls f.
func (f BatchFunc[In, Out]) ProcessBatch(ctx context.Context, in []In) ([]Out, error) {
	return f(ctx, in)
}

// Pass is the batch stage that changes nothing.
func Pass[T any]() BatchStage[T, T] { return pass[T]{} }

type pass[T any] struct{}

func (pass[T]) ProcessBatch(_ context.Context, in []T) ([]T, error) { return in, nil }
