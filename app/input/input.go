// Package input parses the inputs of a command: files, folders, live sources and topics.
package input

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/ingest/live"
	"github.com/voxelstream/voxelstream/ingest/live/watch"
	"github.com/voxelstream/voxelstream/internal/service"
	"github.com/voxelstream/voxelstream/pipeline"
)

// Input is one input of a command, parsed and checked.
type Input struct {
	text string
	path string     // of a file or a folder
	live live.Input // nil for a file or a folder
	// file is set for a file that [Files] has found, and named if that is the input itself. failure is why it cannot be
	// read, if that is known.
	file    *formats.File
	named   bool
	failure error
}

// String returns the input as the user specified it, with secrets masked. It identifies the input in logs, summaries
// and dead letters.
func (in Input) String() string { return in.text }

// Path returns the path of a file or folder; it is empty for a live source.
func (in Input) Path() string { return in.path }

// Live reports whether the input is a live source, whose samples may arrive at any time. Live sources are read
// concurrently. Standard input is one.
func (in Input) Live() bool { return in.live != nil }

// IsFile reports whether the input is a file, and not a folder or a live source.
func (in Input) IsFile() bool {
	info, err := os.Stat(in.path)
	return in.live == nil && err == nil && info.Mode().IsRegular()
}

// Endless reports whether the input only ends with a signal.
func (in Input) Endless() bool { return in.live != nil && in.live.Endless() }

// Topic returns the input's topic; ok is false if the input is not a topic.
func (in Input) Topic() (t *Topic, ok bool) {
	t, ok = in.live.(*Topic)
	return t, ok
}

// Named reports whether the input was named by the user, and not found in a folder.
func (in Input) Named() bool { return in.file == nil || in.named }

// Open opens the input. Opening a topic is an error.
func (in Input) Open(ctx context.Context, a *app.Env) (ingest.Source, error) {
	read := a.Reading()
	if in.live == nil {
		return in.OpenWith(ctx, read)
	}
	arriving := a.Arriving()
	openFile := func(ctx context.Context, path string) (ingest.Source, error) {
		return formats.Open(ctx, path, arriving)
	}
	opener, ok := in.live.(live.Opener)
	if !ok {
		return nil, errors.New("a topic can only be read by a consumer of its cluster")
	}
	observer := pipeline.Observed(a.Observer)
	ready := new(service.State)
	a.Ready("input "+in.text, ready.Check)
	return opener.Open(ctx, live.Services{
		Log: a.Log, Stdin: os.Stdin, OpenFile: openFile, MaxFile: int64(read.WithDefaults().MaxBytes),
		Report: func(e live.Event, n int) { observer.Count(in.text, pipeline.Event(e), n) },
		Ready:  ready.Set, StateDir: a.StateDir(),
	})
}

// OpenWith opens a file or a folder with options.
func (in Input) OpenWith(ctx context.Context, o ingest.Options) (ingest.Source, error) {
	switch {
	case in.failure != nil:
		return nil, in.failure
	case in.file != nil:
		return in.file.Open(ctx, o)
	}
	return formats.Open(ctx, in.path, o)
}

// Err returns why the input cannot be read, if that is known before it is opened.
func (in Input) Err() error { return in.failure }

// Stream returns the stream of the input's items as far as it is known without reading: that of a file, or the input's
// text.
func (in Input) Stream() string {
	if in.live == nil && in.failure == nil {
		if name, err := ingest.StreamName(in.path); err == nil {
			return name
		}
	}
	return in.text
}

// Watched returns inputs that never end: folders are watched for files that arrive. An input that ends and cannot be
// watched is a usage error.
func Watched(inputs []Input) ([]Input, error) {
	var errs []error
	out := make([]Input, len(inputs))
	for i, in := range inputs {
		switch {
		case in.Endless():
			out[i] = in
		case in.live == nil && isFolder(in.path):
			var err error
			out[i].text = watch.Kind.Scheme + "://" + in.path
			out[i].live, err = watch.Kind.New(in.path, watch.Kind.Options())
			errs = append(errs, err)
		default:
			what := "a single file"
			if in.Live() {
				what = "an input that ends"
			}
			errs = append(errs, fmt.Errorf("%s is %s; --forever needs a folder, a topic or another live source",
				in.text, what))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, app.Usage(err)
	}
	return out, nil
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
