package sinks

import (
	"context"
	"log/slog"

	"github.com/voxelstream/voxelstream/internal/screen"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/record"
)

// Sink stores classifications; see [pipeline.Sink] for the contract, and [pipeline.Flusher] for sinks that store many at once.
type Sink = pipeline.Sink[record.Classification]

// Guarantee is what a kind of sink promises of each classification.
type Guarantee string

// The guarantees. ExactlyOnce: it is stored once per [record.Classification.Key], whatever is delivered again, across restarts too. AtLeastOnce: it
// is stored, and may be stored again after a crash; readers drop repeats by the key. BestEffort: it may be missing.
const (
	ExactlyOnce Guarantee = "exactly once by key"
	AtLeastOnce Guarantee = "at least once"
	BestEffort  Guarantee = "best effort"
)

// Kind is one kind of sink. Each lives in a folder of this one, and in the list of package all.
type Kind struct {
	// Name is also the scheme of its URLs.
	Name string
	// Doc is one or more sentences for the reference page and the help.
	Doc       string
	Guarantee Guarantee
	// Schemes are further schemes, Extensions those of the file names that choose it without a scheme: ".jsonl".
	Schemes, Extensions []string
	// Path says what stands behind the scheme, for the help: "FILE", "[TOPIC]"; empty: nothing does.
	Path string
	// Options makes the kind's options with their defaults: a pointer to a struct with the tags of internal/option, which the query of the URL
	// sets; nil: it has none.
	Options func() any
	// Open opens a sink. options is what Options made, as the URL sets it.
	Open func(ctx context.Context, t Target, options any, s Services) (Sink, error)
}

// Services are what sinks get from the program.
type Services struct {
	Log      *slog.Logger
	Observer pipeline.Observer
	// Screen is the terminal. Nil where there is none.
	Screen *screen.Screen
	// Topic writes messages to a topic of the cluster, each event ID once. Nil where there is no cluster.
	Topic func(name string) (pipeline.Sink[transport.Message], error)
	// DefaultTopic is the topic of classifications.
	DefaultTopic string
}
