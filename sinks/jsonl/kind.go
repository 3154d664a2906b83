package jsonl

import (
	"context"

	"github.com/voxelstream/voxelstream/internal/dedupe"
	"github.com/voxelstream/voxelstream/sinks"
)

// Kind is a JSON lines file.
var Kind = sinks.Kind{
	Name: "jsonl",
	Doc: "A file with one JSON object per line ([schema](classification.schema.json)). Every write is synced to disk.\n\n" +
		"New classifications are appended to an existing file. The file is read once at startup, so that classifications " +
		"it already holds are skipped. An incomplete last line, left by a crash, is removed and written again. Only one " +
		"process at a time may write to a file.",
	Guarantee:  sinks.ExactlyOnce,
	Path:       "FILE",
	Extensions: []string{".jsonl", ".ndjson"},
	Options:    func(sinks.Target) any { return &Options{MemoryKeys: dedupe.DefaultMemory} },
	Open: func(_ context.Context, t sinks.Target, options any, services sinks.Services) (sinks.Sink, error) {
		s, err := Open(t.Path, *options.(*Options))
		if err != nil {
			return nil, err
		}
		s.repeated = services.Repeat
		return s, nil
	},
}

// Options are the options of the file.
type Options struct {
	MemoryKeys int `yaml:"memory_keys" min:"1000" max:"1000000000" doc:"Number of keys to keep in memory for deduplication, at 32 to 80 bytes each. Older keys are kept in temporary files next to the output, at 16 bytes each."`
}
