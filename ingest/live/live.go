// Package live holds what the doors have in common through which samples come while we run: packages udp, watch and push.
package live

import "github.com/voxelstream/voxelstream/ingest"

// Settler is a source that wants to know what became of its samples, to remember or to answer it. Settle may be called by any goroutine.
type Settler interface {
	ingest.Source
	// Settle says that a sample is stored further on, or, with an error, that it never will be and the error is.
	Settle(stream string, seq uint64, err error)
}
