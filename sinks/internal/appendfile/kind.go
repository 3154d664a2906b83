package appendfile

import (
	"context"

	"github.com/voxelstream/voxelstream/internal/dedupe"
	"github.com/voxelstream/voxelstream/sinks"
)

// Options are the options of sinks that append to files.
type Options struct {
	MemoryKeys int `yaml:"memory_keys" min:"1000" max:"1000000000" doc:"Number of keys to keep in memory for deduplication, at 32 to 80 bytes each. Older keys are kept in temporary files next to the output, at 16 bytes each."`

	Rotation `yaml:",inline"`
}

// Kind completes the declaration of a kind whose sinks are a [File]. layout returns a layout for a file name.
func Kind(k sinks.Kind, layout func(path string) Layout) sinks.Kind {
	k.Guarantee = sinks.ExactlyOnce
	k.Path = "FILE"
	k.Options = func(sinks.Target) any { return &Options{MemoryKeys: dedupe.DefaultMemory} }
	k.Open = func(_ context.Context, t sinks.Target, options any, s sinks.Services) (sinks.Sink, error) {
		return OpenFile(t.Path, Config{
			Layout: func() Layout { return layout(t.Path) }, Options: *options.(*Options),
			Log: s.Log, Repeated: s.Repeat,
		})
	}
	return k
}
