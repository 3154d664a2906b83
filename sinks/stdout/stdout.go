// Package stdout writes classifications to standard output as JSON lines, for the next program in a pipe.
package stdout

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/voxelstream/voxelstream/internal/dedupe"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
)

// Kind is standard output.
var Kind = sinks.Kind{
	Name: "stdout",
	Doc: "One JSON object per line on standard output ([schema](classification.schema.json)). The summary then goes to " +
		"standard error, unless `--json` makes it the last line. Duplicates are skipped within a run, but not across " +
		"restarts.",
	Guarantee: sinks.AtLeastOnce,
	Schemes:   []string{"-"},
	Options:   func(sinks.Target) any { return &Options{Window: 1 << 18} },
	Resolve: func(t *sinks.Target, _ sinks.Defaults) (string, error) {
		if t.Scheme != "" && t.Path != "" {
			return "", fmt.Errorf("found %q after the scheme, want nothing", t.Path)
		}
		return "stdout", nil
	},
	Open: func(_ context.Context, _ sinks.Target, options any, s sinks.Services) (sinks.Sink, error) {
		if s.Stdout == nil {
			return nil, errors.New("standard output is not available")
		}
		return New(s.Stdout, options.(*Options).Window), nil
	},
}

// Options are the options of standard output.
type Options struct {
	Window int `yaml:"window" min:"1" max:"1000000000" doc:"Number of recent classifications to remember for deduplication, at 24 to 32 bytes each."`
}

// Sink writes lines. It is not safe for concurrent use.
type Sink struct {
	w    io.Writer
	seen *dedupe.Window
	// rest is the part of a failed write that is still to be written. keys are the keys of its lines.
	rest []byte
	keys []dedupe.Key
}

// New returns a sink that writes to w and skips duplicates among the latest window classifications.
func New(w io.Writer, window int) *Sink { return &Sink{w: w, seen: dedupe.NewWindow(window)} }

// Write writes the lines of new classifications. After a failure, the next call first writes the rest of that write, so
// that no line is broken.
func (s *Sink) Write(ctx context.Context, cs []record.Classification) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.finish(); err != nil {
		return err
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	fresh := map[dedupe.Key]bool{}
	failed := map[int]error{}
	for i := range cs {
		k := dedupe.Of(cs[i].Key())
		if s.seen.Has(k) || fresh[k] {
			continue
		}
		if err := enc.Encode(&cs[i]); err != nil {
			failed[i] = pipeline.Permanent(fmt.Errorf("%s: %w", cs[i].EventID, err)) // NaN has no JSON
			continue
		}
		fresh[k] = true
		s.keys = append(s.keys, k)
	}
	s.rest = buf.Bytes()
	if err := s.finish(); err != nil {
		return err
	}
	return pipeline.Partial(failed)
}

// finish writes the rest of a failed write.
func (s *Sink) finish() error {
	if len(s.rest) > 0 {
		n, err := s.w.Write(s.rest)
		s.rest = s.rest[n:]
		if err != nil {
			return err
		}
	}
	for _, k := range s.keys {
		s.seen.Add(k)
	}
	s.rest, s.keys = nil, s.keys[:0]
	return nil
}

// Close leaves standard output open.
func (s *Sink) Close(context.Context) error { return nil }
