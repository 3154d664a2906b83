// Package input parses the inputs of a command: files, folders, live sources and topics.
package input

import (
	"context"
	"errors"
	"os"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/ingest/live"
	"github.com/voxelstream/voxelstream/pipeline"
)

// Input is one input of a command, parsed and checked.
type Input struct {
	text string
	path string     // of a file or a folder
	live live.Input // nil for a file or a folder
}

// String returns the input as the user specified it, with secrets masked. It identifies the input in logs, summaries
// and dead letters.
func (in Input) String() string { return in.text }

// Path returns the path of a file or folder; it is empty for a live source.
func (in Input) Path() string { return in.path }

// Live reports whether the input is a live source, whose samples may arrive at any time. Live sources are read
// concurrently. Standard input is one.
func (in Input) Live() bool { return in.live != nil }

// Endless reports whether the input only ends with a signal.
func (in Input) Endless() bool { return in.live != nil && in.live.Endless() }

// Topic returns the input's topic; ok is false if the input is not a topic.
func (in Input) Topic() (t *Topic, ok bool) {
	t, ok = in.live.(*Topic)
	return t, ok
}

// Open opens the input. Opening a topic is an error.
func (in Input) Open(ctx context.Context, a *app.Env) (ingest.Source, error) {
	read := a.Reading()
	openFile := func(ctx context.Context, path string) (ingest.Source, error) { return formats.Open(ctx, path, read) }
	if in.live == nil {
		return openFile(ctx, in.path)
	}
	opener, ok := in.live.(live.Opener)
	if !ok {
		return nil, errors.New("a topic can only be read by a consumer of its cluster")
	}
	observer := pipeline.Observed(a.Observer)
	return opener.Open(ctx, live.Services{
		Log: a.Log, Stdin: os.Stdin, OpenFile: openFile, MaxFile: int64(read.WithDefaults().MaxBytes),
		Report: func(e live.Event, n int) { observer.Count(in.text, pipeline.Event(e), n) },
	})
}

// Stream returns the stream of the input's items as far as it is known without reading: that of a file, or the input's
// text.
func (in Input) Stream() string {
	if in.live == nil {
		if name, err := ingest.StreamName(in.path); err == nil {
			return name
		}
	}
	return in.text
}

// Endless reports whether all inputs only end with a signal.
func Endless(inputs []Input) bool {
	for _, in := range inputs {
		if !in.Endless() {
			return false
		}
	}
	return len(inputs) > 0
}
