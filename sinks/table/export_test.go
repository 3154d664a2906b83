package table

import (
	"time"

	"github.com/voxelstream/voxelstream/sinks"
)

// OpenWithFaults opens a staged sink that calls before before each operation that changes files.
func OpenWithFaults(f *Format, path string, every time.Duration, services sinks.Services,
	before func(operation string) error,
) (sinks.Sink, error) {
	o := stagedDefaults(f)
	o.PublishEvery, o.MemoryKeys = every, 1000 // fewer keys than the tests write
	return openStaged(f, path, o, services, disk{before})
}

// JournalPath returns the name of the journal of a file.
var JournalPath = journalPath
