// Package input parses what a command is to read: files, folders, live sources and topics.
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

// String is what the user named, without passwords and other secrets. It stands for the input in logs, summaries and
// dead letters.
func (in Input) String() string { return in.text }

// Live says whether the input is a live source: samples may arrive at any time, and it is read beside the others.
// Standard input counts as one.
func (in Input) Live() bool { return in.live != nil }

// Endless says whether only a signal ends the reading of the input.
func (in Input) Endless() bool { return in.live != nil && in.live.Endless() }

// Topic is the topic that the input is; ok is false for all others.
func (in Input) Topic() (t *Topic, ok bool) {
	t, ok = in.live.(*Topic)
	return t, ok
}

// Open opens the input, which must not be a topic.
func (in Input) Open(ctx context.Context, a *app.Env) (ingest.Source, error) {
	read := a.Config.Ingest
	openFile := func(ctx context.Context, path string) (ingest.Source, error) { return formats.Open(ctx, path, read) }
	if in.live == nil {
		return openFile(ctx, in.path)
	}
	opener, ok := in.live.(live.Opener)
	if !ok {
		return nil, errors.New("a topic is read by a consumer of its cluster")
	}
	observer := pipeline.Observed(a.Observer)
	return opener.Open(ctx, live.Services{
		Log: a.Log, Stdin: os.Stdin, OpenFile: openFile, MaxFile: int64(read.WithDefaults().MaxBytes),
		Report: func(e live.Event, n int) { observer.Count(in.text, pipeline.Event(e), n) },
	})
}

// Stream is the stream that the items of the input are in as far as that can be told without reading it: that of a
// file, the text for others.
func (in Input) Stream() string {
	if in.live == nil {
		if name, err := ingest.StreamName(in.path); err == nil {
			return name
		}
	}
	return in.text
}

// Endless says whether only a signal ends the reading of all inputs.
func Endless(inputs []Input) bool {
	for _, in := range inputs {
		if !in.Endless() {
			return false
		}
	}
	return len(inputs) > 0
}
