// Package sinks stores classifications at the end of the pipeline. It defines the contract of a [Sink], the [Kind]
// that each folder here declares, and the [Output], which is parsed from a path or a URL. Package all lists the
// kinds. Package sinktest is the test suite that each kind must pass.
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

// Sink stores classifications. [pipeline.Sink] is the contract, and [pipeline.Flusher] that of sinks that make many
// classifications durable at once. In addition:
//
//   - Classifications are stored in the order in which they were written. Writing none is not an error.
//   - The same [record.Classification.Key] is stored as often as the [Guarantee] of the kind allows. The same event
//     classified by another model has another key, and is stored.
//   - A repetition that is dropped counts as stored and, for a Flusher, as one of the values accepted since the last
//     Flush.
//   - A classification counts as a repetition only once it is stored or held back. If a Write or Flush fails or is
//     cancelled, the same classifications may be written again, and must then be stored.
//   - A classification that can never be stored, such as one with a score that the format cannot express, is named by a
//     [pipeline.PartialError] with a [pipeline.Permanent] error. The others of the same Write or Flush are stored.
//   - A Flusher may get further writes between a Flush that failed and the next one.
//   - A Flusher may be closed without a Flush when the pipeline is stopped at once. What it held back may then be stored
//     or missing. It is delivered again, and must not be stored twice by a kind that guarantees ExactlyOnce.
//
// Package sinktest verifies these rules.
type Sink = pipeline.Sink[record.Classification]

// Guarantee is the delivery guarantee of a kind of sink.
type Guarantee string

// The guarantees. ExactlyOnce stores a classification once per [record.Classification.Key], even if it is delivered
// again or the process restarts. AtLeastOnce may store it again after a crash, so readers must skip duplicates by the
// key. With BestEffort, it may be missing.
const (
	ExactlyOnce Guarantee = "exactly once"
	AtLeastOnce Guarantee = "at least once"
	BestEffort  Guarantee = "best effort"
)

// Kind is a kind of sink.
type Kind struct {
	// Name is also the URL scheme.
	Name string
	// Doc is one or more sentences for the reference page, and ends with a full stop.
	Doc       string
	Guarantee Guarantee
	// Path describes what follows the scheme, for the help: "FILE" or "[TOPIC]". It is empty if nothing does.
	Path string
	// Schemes are further URL schemes. The scheme "-" stands for the text "-" alone. Extensions are the file name
	// extensions that select the kind without a scheme, in lower case, such as ".jsonl" or ".jsonl.gz". A kind with
	// extensions writes to a file, whose name is the path of the target, and has no Resolve.
	Schemes, Extensions []string
	// Flush has the default limits if the sink is a [pipeline.Flusher], and is nil otherwise. A limit of 0 means 65,536
	// rows, 64 MiB or 10 s.
	Flush *Flush
	// Options returns the options with their defaults: a pointer to a struct with the tags of internal/option, which
	// are set by the query of the URL. Each has a doc that ends with a full stop, and a default within its limits. The
	// struct may have a method Validate() error. The options may depend on the target; those of an object store could
	// include the options of its format. Options is nil if there are none.
	Options func(t Target) any
	// Resolve checks the target and completes it with the defaults. It opens nothing. It returns the place that is
	// written to; two outputs with the same place are an error. Kinds with extensions have no Resolve, all others need
	// one.
	Resolve func(t *Target, d Defaults) (place string, err error)
	// Open opens a sink. options is the result of Options, set by the URL. Errors of Open and of the sink need not name
	// the target, because the caller does.
	Open func(ctx context.Context, t Target, options any, s Services) (Sink, error)
}

// Defaults are the parts of targets that come from the configuration if a URL leaves them out.
type Defaults struct {
	// Topic is the topic for classifications.
	Topic string
}

// Services are provided to sinks by the program.
type Services struct {
	Log      *slog.Logger
	Observer pipeline.Observer
	// Stdout is standard output, Screen the terminal. They are nil if there is none.
	Stdout io.Writer
	Screen *screen.Screen
	// Repeated is called for each classification that a sink has not stored because it holds it already: once, after
	// nothing can fail any more, and before the Write or Flush returns that makes the classification durable. Sinks
	// call [Services.Repeat], because Repeated may be nil.
	Repeated func(id record.ID)
	// Topic opens a topic of the cluster for writing. It creates the topic if it does not exist. Of the messages with
	// the same event ID, only the first is stored. window is the number of IDs per partition to remember; 0 means the
	// default. Topic is nil if there is no cluster.
	Topic func(ctx context.Context, name string, window int) (pipeline.Sink[transport.Message], error)
}

// Repeat reports a classification that a sink holds already.
func (s Services) Repeat(c *record.Classification) {
	if s.Repeated != nil {
		s.Repeated(c.ID())
	}
}
