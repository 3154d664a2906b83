// Package sinks defines what stores the classifications at the end of the pipeline: the contract of a [Sink], the
// [Kind] that each folder here declares, and the [Output] that a path or a URL becomes. Package all lists the kinds,
// package sinktest is the suite that each must pass.
package sinks

import (
	"context"
	"io"
	"log/slog"

	"github.com/voxelstream/voxelstream/internal/screen"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/record"
)

// Sink stores classifications; see [pipeline.Sink] for the contract, and [pipeline.Flusher] for sinks that store many
// at once.
type Sink = pipeline.Sink[record.Classification]

// Guarantee is what a kind of sink promises of each classification.
type Guarantee string

// The guarantees. ExactlyOnce: it is stored once per [record.Classification.Key], whatever is delivered again, across
// restarts too. AtLeastOnce: it is stored, and may be stored again after a crash; readers drop repeats by the key.
// BestEffort: it may be missing.
const (
	ExactlyOnce Guarantee = "exactly once"
	AtLeastOnce Guarantee = "at least once"
	BestEffort  Guarantee = "best effort"
)

// Kind is one kind of sink.
type Kind struct {
	// Name is also the scheme of its URLs.
	Name string
	// Doc is one or more sentences for the reference page.
	Doc       string
	Guarantee Guarantee
	// Path says what stands behind the scheme, for the help: "FILE", "[TOPIC]"; empty: nothing does.
	Path string
	// Schemes are further schemes; the scheme "-" is that text alone. Extensions are the ends of the file names that
	// choose the kind without a scheme, such as ".jsonl" or ".jsonl.gz". A kind that has extensions stores to a file:
	// its targets' paths are file names.
	Schemes, Extensions []string
	// Flush says by default when what was written is made durable, where the sink is a [pipeline.Flusher]; nil where
	// it is none. Bounds that are 0 are 65,536 rows, 64 MiB and 10 s.
	Flush *Flush
	// Options makes the options with their defaults: a pointer to a struct with the tags of internal/option, which
	// the query of the URL sets. It may have a method Validate() error. They may depend on the target: an object
	// store has those of the format that it stores. Nil: there are none.
	Options func(t Target) any
	// Resolve checks the target and completes it by the defaults, without opening anything, and says what is written
	// to. Two outputs of the same place are an error. It may be nil for kinds that store to a file.
	Resolve func(t *Target, d Defaults) (place string, err error)
	// Open opens a sink. options is what Options made, set by the URL.
	Open func(ctx context.Context, t Target, options any, s Services) (Sink, error)
}

// Defaults is what the configuration says of targets that leave it open.
type Defaults struct {
	// Topic is the topic of the classifications.
	Topic string
}

// Services are what sinks get from the program.
type Services struct {
	Log      *slog.Logger
	Observer pipeline.Observer
	// Stdout is the standard output, Screen the terminal. Nil where there is none.
	Stdout io.Writer
	Screen *screen.Screen
	// Topic opens a topic of the cluster for writing, and makes it where it is missing. Of messages with one event ID
	// it stores the first; window is how many IDs of each partition are known, 0 a default. Nil where there is no
	// cluster.
	Topic func(ctx context.Context, name string, window int) (pipeline.Sink[transport.Message], error)
}
