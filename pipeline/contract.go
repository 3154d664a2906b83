package pipeline

import "context"

// Source delivers values to a single reader.
type Source[T any] interface {
	// Read waits for the next delivery. It returns io.EOF at the end; any other error ends the source too. A source
	// that can continue after an error must do so itself. If ctx ends first, Read returns ctx.Err and no delivery.
	Read(ctx context.Context) (Delivery[T], error)
	// Close commits what the settled deliveries allow, then releases all resources. It waits no longer than ctx.
	// Deliveries may be settled until Close returns. Later settlements have no effect.
	Close(ctx context.Context) error
}

// Stage turns one value into zero (filtered), one or many values. Process may run on several goroutines at once, even
// for values with the same key. It must not retain in. After a [Permanent] error the value becomes a dead letter; any
// other error is retried.
type Stage[In, Out any] interface {
	Process(ctx context.Context, in In) ([]Out, error)
}

// BatchStage turns a batch of values into the same number of results, in the same order. An example is a network, which
// is fastest in batches. Up to [Pipeline].Parallel calls may run at once. A *[PartialError] names the values that have
// no result; their places in the returned slice are ignored. After any other error, no value has a result: if the error
// is [Permanent], the values become dead letters, else the call is retried. Neither ProcessBatch nor its results may
// retain the memory of in.
type BatchStage[In, Out any] interface {
	ProcessBatch(ctx context.Context, in []In) ([]Out, error)
}

// Sink stores values. Calls do not overlap.
type Sink[T any] interface {
	// Write returns nil only if all of vs are stored, and a *PartialError if some are. After any other error, none of
	// them count as stored. Values that failed are written again unless their error is permanent. Stored means durable
	// or, for a [Flusher], accepted and durable after the next Flush. Write must not retain vs.
	Write(ctx context.Context, vs []T) error
	// Close releases all resources. It waits no longer than ctx. A Flusher is flushed before it is closed.
	Close(ctx context.Context) error
}

// Flusher is a sink that makes many writes durable at once, such as a Parquet file or an object. Accepted values are
// held back and settle only when Flush returns nil. A *[PartialError] names the values that are not durable, by their
// position among all values accepted since the last Flush. After any other error, the values remain as they are and
// Flush is retried. When the attempts are used up, the pipeline gives the values up, but they stay in the sink and keep
// their positions until a later Flush succeeds or returns a PartialError.
type Flusher interface {
	Flush(ctx context.Context) error
}

// StageFunc is a function used as a [Stage].
type StageFunc[In, Out any] func(ctx context.Context, in In) ([]Out, error)

// Process calls f.
func (f StageFunc[In, Out]) Process(ctx context.Context, in In) ([]Out, error) { return f(ctx, in) }

// Pass returns a batch stage that returns its input.
func Pass[T any]() BatchStage[T, T] { return pass[T]{} }

type pass[T any] struct{}

func (pass[T]) ProcessBatch(_ context.Context, in []T) ([]T, error) { return in, nil }
