package table

import (
	"time"

	"github.com/voxelstream/voxelstream/sinks"
)

// OpenWithFaults opens a staged sink that calls before before each operation that changes files. It publishes once at
// the first flush after a time, and when it is closed.
func OpenWithFaults(f *Format, path string, every time.Duration, services sinks.Services,
	before func(operation string) error,
) (sinks.Sink, error) {
	o := stagedDefaults(f)
	o.PublishEvery, o.MemoryKeys = time.Hour, 1000 // more than the tests take, and fewer keys than the suite writes
	s, err := openStaged(f, path, o, services, disk{before})
	if err != nil {
		return nil, err
	}
	s.due = time.Now().Add(every)
	return s, nil
}

// JournalPath returns the name of the journal of a file.
var JournalPath = journalPath
